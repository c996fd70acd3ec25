// OperatorBackend: what the operator service needs of the controller. Implemented by the app (over the
// engine's loop, the store's reader and the shards) and by tests. Any thread may call; calls may block up to
// their stated time.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/time.h"
#include "common/model/labels.h"
#include "controller/catalogue/catalogue.h"
#include "controller/engine/engine.h"
#include "controller/engine/log_store.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"
#include "quell/v1/trust.pb.h"

namespace quell::operators {

struct RowFilter {
  bool all = false;    // ended ones too
  Micros since = 0;    // rows of this time and later
  std::string name;    // prefix of the id; "": any
  std::string parent;  // an incident's id; "": any
};
struct RowPage {
  std::vector<engine::ProjectionRow> rows;  // newest first
  std::string next_cursor;                  // "": that was all
};
struct EvidenceInfo {
  std::string sha256;  // raw
  std::string name;
  uint64_t size = 0;
  Micros expires = 0;
};
struct QuerySeries {
  Labels labels;
  std::vector<std::pair<Micros, double>> points;  // one for an instant query
};
struct ProgramInfo {
  std::string version;
  std::string controller_id;
  std::string root_pin;  // hex SHA-256 of the trust root's key: what join tokens carry
  std::string store;     // e.g. SQLite's source id
  uint64_t epoch = 0;
  Micros started = 0;
  Micros data_age = -1;  // of the stalest connected host's newest sample; -1: no host is connected
};
struct AuditReport {
  uint64_t records = 0;
  uint64_t groups = 0;
  uint64_t last_seq = 0;
  std::string problem;  // "": all of it holds
};

class OperatorBackend {
 public:
  virtual ~OperatorBackend() = default;

  // Hands the act to the engine and waits for its answer; `request` is filled by the implementation.
  // DeadlineExceeded: it may still be done. ResourceExhausted: too many wait.
  virtual absl::StatusOr<engine::Answer> Submit(v1::PersonAct act, absl::Duration timeout) = 0;

  // Rows by kind: incident, command, signal, host, notice, hold, decision, event, token, person, and evidence
  // (what a host reported of it, by the command's id).
  virtual absl::StatusOr<RowPage> List(std::string_view kind, const RowFilter& filter, size_t limit,
                                       std::string_view cursor) = 0;
  virtual absl::StatusOr<engine::ProjectionRow> Find(std::string_view kind,
                                                     std::string_view id) = 0;  // NotFound
  // An incident (parent "") or a command (parent: its incident's id, "" outside one) by its number.
  virtual absl::StatusOr<engine::ProjectionRow> FindNumber(std::string_view kind, std::string_view parent,
                                                           uint64_t number) = 0;
  virtual absl::StatusOr<std::vector<std::string>> IdsWithPrefix(std::string_view kind,
                                                                 std::string_view prefix, size_t most) = 0;
  // Evidence of an incident or a command; a content is NotFound once it has expired.
  virtual absl::StatusOr<std::vector<EvidenceInfo>> Evidence(std::string_view owner) = 0;
  virtual absl::StatusOr<std::string> EvidenceContent(std::string_view sha256) = 0;

  // `range` 0: instant, at now. InvalidArgument with the place for a bad expression.
  virtual absl::StatusOr<std::vector<QuerySeries>> Query(const std::string& expr, Micros range,
                                                         Micros step) = 0;

  virtual v1::Config Config() = 0;
  virtual std::shared_ptr<const catalogue::Catalogue> Catalogue() = 0;  // nullptr: there is none
  virtual v1::TrustBundle Trust() = 0;                                  // the one in force
  virtual ProgramInfo Info() = 0;
  virtual absl::StatusOr<AuditReport> AuditVerify() = 0;
  virtual Micros Now() = 0;  // engine time
};

}  // namespace quell::operators
