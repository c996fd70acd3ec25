// LogStore: where the engine's records go. The interface lives here because the engine's loop needs it;
// SQLite implements it in controller/store, a simulated one in tests/simulation. Called by the store thread
// alone.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/engine/engine.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::engine {

struct Blob {
  std::string sha256;  // raw
  std::string content;
  std::string name;   // "proc.status"
  std::string owner;  // incident or command id
  Micros expires = 0;
};

// One row of a list: what responders read, written in the same transaction as the records it comes from.
struct ProjectionRow {
  std::string kind;  // incident, command, signal, host, notice, hold, decision, event
  std::string id;
  Micros time = 0;      // sorts lists, newest first
  bool open = true;     // lists show these unless all are asked for
  std::string parent;   // incident of a command, decision, notice
  std::string message;  // the entity's bytes (state.proto)
  bool removed = false;
};

struct CommitGroup {
  std::vector<Record> records;
  std::vector<v1::RuleState> rule_states;  // beside the chain
  std::vector<Blob> blobs;
  std::vector<ProjectionRow> rows;
};

struct LogHead {
  uint64_t seq = 0;
  std::string chain;  // 32 bytes: SHA256(previous || stored header bytes)
};

struct Recovered {
  v1::Snapshot snapshot;     // seq 0 when there is none
  std::string digest;        // of that snapshot, as stored
  std::vector<Record> tail;  // after the snapshot, verified
  std::vector<v1::RuleState> rule_states;
  LogHead head;
  uint64_t epoch = 0;  // highest in the log
};

class LogStore {
 public:
  virtual ~LogStore() = default;
  // Verifies the newest signed snapshot and the groups after it; DataLoss names the record when one does not
  // hold.
  virtual absl::StatusOr<Recovered> Recover() = 0;
  // Durable when it returns OK. After an error nothing is trusted any more: the caller ends the process.
  virtual absl::StatusOr<LogHead> Commit(const CommitGroup& group) = 0;
  // The last three stay. DataLoss: the disk fails or the file is damaged, and the caller ends the process as
  // after a commit that failed. Any other error leaves the log as it was: recovery takes longer, no more.
  virtual absl::Status SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) = 0;
};

// Rows for the entities that these records touched, as they stand in `state` now.
std::vector<ProjectionRow> RowsFor(const std::vector<Record>& records, const State& state);
// All rows of a state: rebuilding dropped projections.
std::vector<ProjectionRow> AllRows(const State& state);

}  // namespace quell::engine
