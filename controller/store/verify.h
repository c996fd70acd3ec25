// Walks the stored log from a known point and checks every payload hash, the chain and each group's
// signature. Used by recovery (store thread) and by `audit verify` (any thread, on a connection of its own).
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "controller/engine/log_store.h"
#include "controller/store/chain.h"
#include "controller/store/sqlite.h"

namespace quell::store {

// Gets each record that was verified, in order.
using RecordSink = std::function<absl::Status(engine::Record record)>;

class LogWalk {
 public:
  // Goes on after `head` (seq 0 and Genesis(): from the start), whose epoch was `epoch`.
  LogWalk(Database& db, const KeyLookup& keys, engine::LogHead head, uint64_t epoch)
      : db_(db), keys_(keys), head_(std::move(head)), epoch_(epoch) {}

  // Verifies up to `most` further groups; false when there was none. DataLoss names the record or group.
  absl::StatusOr<bool> Next(uint64_t most, const RecordSink& sink);
  // After the last group: no record may lie behind it.
  absl::Status CheckEnd();

  const engine::LogHead& head() const { return head_; }
  uint64_t epoch() const { return epoch_; }
  uint64_t groups() const { return groups_; }
  uint64_t records() const { return records_; }

 private:
  absl::Status Group(const GroupRow& group, const RecordSink& sink);
  absl::Status OneRecord(uint64_t seq, const GroupRow& group, const RecordSink& sink);

  Database& db_;
  const KeyLookup& keys_;
  engine::LogHead head_;
  uint64_t epoch_;
  uint64_t groups_ = 0;
  uint64_t records_ = 0;
};

// The newest snapshot, verified together with the group it ends at;
// nullopt when there is none.
absl::StatusOr<std::optional<SnapshotRow>> NewestSnapshot(Database& db, const KeyLookup& keys);
// Checks one snapshot row against its signature and the group that ends where it does.
absl::Status VerifySnapshot(Database& db, const SnapshotRow& snapshot, const KeyLookup& keys);

struct VerifyReport {
  uint64_t records = 0;
  uint64_t groups = 0;
  uint64_t snapshots = 0;
  engine::LogHead head;
  uint64_t epoch = 0;
};
// All of it: every record since the first, and the kept snapshots. Streams: memory is one commit group, and
// no read lasts long enough to hold back the writer's checkpoints.
absl::StatusOr<VerifyReport> VerifyAll(const std::string& path, const KeyLookup& keys);

}  // namespace quell::store
