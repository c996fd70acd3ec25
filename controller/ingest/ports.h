// What ingest needs of its neighbours, and what it hands them. The controller's app implements these over the
// shards' queues; tests implement them in memory. A port's methods are called by gRPC's threads: they queue
// and return, and say false when their queue has no room.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/net.h"
#include "common/base/time.h"
#include "common/model/labels.h"
#include "quell/v1/link.pb.h"
#include "quell/v1/state.pb.h"
#include "quell/v1/trust.pb.h"

namespace quell::ingest {

// What the controller knows about a host, from its own records: an agent's word has no part in it.
struct HostRecord {
  std::string id;    // the certificate's uuid
  std::string name;  // what `instance` says
  Labels labels;
};

// Thread-safe.
class HostDirectory {
 public:
  virtual ~HostDirectory() = default;
  // NotFound: nobody was issued a certificate under this id. PermissionDenied: it was revoked or deleted.
  virtual absl::StatusOr<HostRecord> Find(const std::string& id) = 0;
};

// The one question about an agent, asked when its stream begins, at each heartbeat and each second of it, at
// renewal, at recovery and at dispatch: what its certificate says, what the bundle says, what our own record
// of the host says. Each refusal has its own sentence.
absl::StatusOr<HostRecord> IsAllowed(const Peer& agent, HostDirectory& hosts, const v1::TrustBundle& trust,
                                     Micros wall_now);

// The series of one layout of one session. Immutable; shared by the session, the queued batches and the
// shard's own table of handles, all of which outlive one another in any order.
struct SeriesTable {
  struct Row {
    std::string name;
    Labels labels;  // without instance and job
  };
  uint64_t key = 0;  // unique within this process: what a shard keeps its handles by
  std::string host_id;
  uint64_t session = 0;
  std::string job;  // the collector
  std::vector<Row> rows;
};

struct SampleBatch {
  std::shared_ptr<const SeriesTable> table;
  Micros at = 0;  // engine time
  std::vector<double>
      values;         // one per row; a stale marker where a series has ended (repeated until it is back)
  bool live = false;  // taken since this stream began; false: sent again from the agent's spool
};

struct TimedEvent {
  v1::Event event;  // seq 0: made by the controller itself, needs no acknowledgement
  Micros at = 0;    // engine time
};
struct TimedReport {
  v1::CommandReport report;
  Micros at = 0;
};

// One shard, as ingest sees it. Everything of one host goes to one shard. Sessions are numbered upwards over
// the process; what still comes from an older session of a host may be used, but not for its liveness.
class ShardPort {
 public:
  virtual ~ShardPort() = default;
  // history: not empty when the agent remembers another log than ours.
  virtual bool Opened(const HostRecord& host, uint64_t session, const v1::Hello& hello,
                      const std::string& history, Micros now) = 0;
  virtual void Closed(const std::string& host_id, uint64_t session, Micros now) = 0;
  virtual bool Heartbeat(const std::string& host_id, const v1::Heartbeat& heartbeat, Micros now) = 0;
  virtual void Goodbye(const std::string& host_id, const std::string& why, Micros now) = 0;
  // Shed first: false means that these samples are lost, and counted by the caller.
  virtual bool Samples(const std::string& host_id, std::vector<SampleBatch> batches) = 0;
  // False: not taken; the stream ends and the agent sends them again. Otherwise SessionRegistry::AckEvents
  // (AckReports) follows with `through` once they are committed; `through` 0 needs none. Never empty.
  virtual bool Events(const HostRecord& host, std::vector<TimedEvent> events, uint64_t through) = 0;
  virtual bool Reports(const HostRecord& host, std::vector<TimedReport> reports, uint64_t through) = 0;
  // A stream was refused although its certificate was good: no such host, revoked, another agent's id.
  virtual void Refused(const HostRecord& host, const std::string& why, Micros now) = 0;
};

class ShardRouter {
 public:
  virtual ~ShardRouter() = default;
  virtual ShardPort& Of(const std::string& host_id) = 0;
};

}  // namespace quell::ingest
