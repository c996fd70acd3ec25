// AgentSession: the controller's side of one agent's stream, without gRPC: checks, budgets, decoding, time,
// and what goes to the host's shard. Owned by its stream; frames come one after the other (any thread).
//
// Who the agent is, is settled before: `host` comes from the certificate and the controller's own record, and
// nothing in a frame changes it. A frame that is malformed, out of order, or speaks for another host ends the
// stream with the returned status; one that is over budget is dropped and counted, and the stream goes on.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/wire/decoder.h"
#include "controller/fleet/offset.h"
#include "controller/ingest/budget.h"
#include "controller/ingest/ports.h"
#include "controller/ingest/registry.h"

namespace quell::ingest {

// For /metrics. Any thread.
struct IngestCounters {
  std::atomic<uint64_t> frames{0}, bytes{0}, samples{0}, events{0}, reports{0};
  std::atomic<uint64_t> samples_shed{0};      // the shard's queue was full
  std::atomic<uint64_t> samples_misdated{0};  // from the future, or over an hour old
  std::atomic<uint64_t> samples_over_budget{0}, events_over_budget{0}, layouts_over_budget{0};
  std::atomic<uint64_t> repeated{0};   // events and reports that were here before
  std::atomic<uint64_t> refused{0};    // streams refused in the handler
  std::atomic<uint64_t> ended_bad{0};  // streams ended for what they said
};

struct IngestOptions {
  std::string version;
  uint64_t epoch_number = 0;
  std::string epoch_start;
  uint32_t heartbeat_ms = 5'000;
  BudgetLimits budget;
  // Whether the agent's remembered log head is in our log: "" when it is (or can't be told), else a sentence.
  std::function<std::string(uint64_t seq, const std::string& head)> history;
  // The signed trust bundle, where it is newer than the agent's serial; else "". May be empty.
  std::function<std::string(uint64_t serial)> newer_trust;
};

class AgentSession {
 public:
  AgentSession(HostRecord host, const IngestOptions& options, ShardRouter& shards, SessionRegistry& registry,
               IngestCounters& counters);
  ~AgentSession();
  AgentSession(const AgentSession&) = delete;

  // bytes: the frame's size on the wire. now: engine time. output: of this stream, given to the registry at
  // the hello.
  absl::Status OnFrame(const v1::AgentFrame& frame, size_t bytes, Micros now,
                       std::shared_ptr<SessionOutput> output);
  void OnEnd(Micros now);
  // How long the stream is not to be read: the agent has sent more bytes than its budget pays for. Reading it
  // clears it.
  Micros TakePause();
  bool greeted() const { return session_ != 0; }
  const HostRecord& host() const { return host_; }

 private:
  absl::Status OnHello(const v1::Hello& hello, Micros now, std::shared_ptr<SessionOutput> output);
  void OnHeartbeat(const v1::Heartbeat& heartbeat, Micros now);
  absl::Status OnLayout(const v1::Layout& layout, Micros now);
  absl::Status OnBatch(const v1::Batch& batch, bool over, Micros now, std::vector<SampleBatch>* out);
  absl::Status OnTelemetry(const v1::AgentFrame& frame, bool over, Micros now);
  absl::Status OnEvents(const v1::AgentFrame& frame, Micros now);
  absl::Status OnReports(const v1::AgentFrame& frame, Micros now);
  Micros TimeOf(Micros monotonic, Micros wall, bool same_boot, Micros now) const;
  void Excess(Budget budget, Micros now);
  void TellSkew(Micros now);
  void Tell(const std::string& kind, const std::string& text, Micros now);
  void AddOwnSeries(const v1::Heartbeat& heartbeat, Micros now);
  OverBudget& over(Budget budget) { return over_[static_cast<size_t>(budget)]; }

  const HostRecord host_;
  const IngestOptions& options_;
  ShardPort& shard_;
  SessionRegistry& registry_;
  IngestCounters& counters_;
  uint64_t session_ = 0;
  std::string boot_id_;
  Micros begun_ = 0;  // agent's monotonic time of the hello
  fleet::OffsetEstimator offset_;
  wire::StreamDecoder decoder_;
  struct Table {
    std::shared_ptr<const SeriesTable> rows;  // null: over budget
    uint64_t series = 0, label_bytes = 0;
  };
  std::map<uint32_t, Table> tables_;
  uint64_t series_ = 0, label_bytes_ = 0;
  TokenBucket bytes_, events_, reports_;
  std::array<OverBudget, kBudgets.size()> over_;
  std::shared_ptr<const SeriesTable> own_;
  Micros newest_sample_ = 0;
  Micros pause_ = 0;
  bool skewed_ = false;
};

}  // namespace quell::ingest
