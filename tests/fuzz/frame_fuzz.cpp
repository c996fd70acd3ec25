// What comes over the link, from both sides: a stream of frames from an agent into the controller's session,
// or from a controller into the agent's. The first byte chooses; then frames, each after its length (two
// bytes, little-endian). Beside not crashing: what gets through keeps its bounds, and a session that said no
// is not asked again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/link/session.h"
#include "common/base/clock.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"
#include "controller/ingest/session.h"
#include "tests/agent/link/fakes.h"

namespace quell {
namespace {

constexpr char kId[] = "9f0f6c0e-0000-4000-8000-000000000001";
constexpr Micros kNow = 1'795'000'000 * kSecond;

void Check(bool holds) {
  if (!holds) abort();
}

std::string_view NextFrame(std::string_view* in) {
  if (in->size() < 2) {
    in->remove_prefix(in->size());  // half a length: the end
    return {};
  }
  const size_t length =
      static_cast<unsigned char>((*in)[0]) | static_cast<size_t>(static_cast<unsigned char>((*in)[1])) << 8;
  const std::string_view frame = in->substr(2, length);
  in->remove_prefix(std::min(in->size(), 2 + length));
  return frame;
}

class CheckingShard final : public ingest::ShardPort, public ingest::ShardRouter {
 public:
  ingest::ShardPort& Of(const std::string&) override { return *this; }
  bool Opened(const ingest::HostRecord& host, uint64_t, const v1::Hello& hello, const std::string&,
              Micros) override {
    Check(host.id == kId && hello.agent_start().size() == 16);
    return true;
  }
  void Closed(const std::string&, uint64_t, Micros) override {}
  bool Heartbeat(const std::string& id, const v1::Heartbeat& heartbeat, Micros) override {
    Check(id == kId && heartbeat.nonce().size() <= wire::kNonceBytes);
    return true;
  }
  void Goodbye(const std::string&, const std::string& why, Micros) override {
    Check(why.size() <= wire::kMaxNameBytes);
  }
  bool Samples(const std::string& id, std::vector<ingest::SampleBatch> batches) override {
    Check(id == kId);
    for (const ingest::SampleBatch& batch : batches) {
      Check(batch.values.size() == batch.table->rows.size() && batch.at <= kNow &&
            batch.at >= kNow - 2 * kHour);
      for (const auto& row : batch.table->rows)
        Check(wire::IsMetricName(row.name) && !row.labels.Has("instance") && !row.labels.Has("job"));
    }
    return true;
  }
  bool Events(const ingest::HostRecord&, std::vector<ingest::TimedEvent> events, uint64_t) override {
    for (const auto& event : events)
      Check(event.at <= kNow && event.event.text().size() <= wire::kMaxEventText);
    return true;
  }
  bool Reports(const ingest::HostRecord&, std::vector<ingest::TimedReport> reports,
               uint64_t through) override {
    for (const auto& report : reports) Check(report.report.id().size() == 16 && report.at <= kNow);
    Check(through > 0);
    return true;
  }
  void Refused(const ingest::HostRecord&, const std::string&, Micros) override {}
};

class Sink final : public ingest::SessionOutput {
 public:
  bool Send(v1::ControllerFrame frame) override {
    Check(wire::Validate(frame).ok());
    return true;
  }
  void End(absl::Status) override {}
};

void FromAgent(std::string_view in) {
  CheckingShard shard;
  ingest::SessionRegistry registry;
  ingest::IngestCounters counters;
  ingest::IngestOptions options;
  ingest::AgentSession session({kId, "web-1", {}}, options, shard, registry, counters);
  auto sink = std::make_shared<Sink>();
  while (!in.empty()) {
    const std::string_view bytes = NextFrame(&in);
    v1::AgentFrame frame;
    if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) break;
    if (!session.OnFrame(frame, bytes.size(), kNow, sink).ok()) break;
    (void)session.TakePause();
  }
  session.OnEnd(kNow);
  Check(registry.open() == 0);
}

void FromController(std::string_view in) {
  MemoryDisk disk;
  FakeClock clock;
  agent::Spool::Options options;
  options.directory = "/spool";
  auto spool = *agent::Spool::Open(disk, clock, options);
  agent::RecordingExecutor executor;
  executor.SetStatus(agent::GoodStatus("nonce"));
  agent::HeadMemory head(disk, "/head");
  const agent::AgentFacts facts{"0.1.0", kId, "web-1", "boot", std::string(16, 'r'), 1};
  agent::LinkSession session(facts, *spool, executor, head);
  (void)spool->AddReport(agent::MakeReport(5));
  spool->Add(agent::Collection{"host", agent::MakeSeries(2), {1, 2}, clock.Monotonic()});
  while (!in.empty()) {
    v1::AgentFrame out;
    const agent::LinkSession::Times now{clock.Monotonic(), clock.Wall()};
    if (session.NextFrame(now, &out)) Check(wire::Validate(out).ok());
    const std::string_view bytes = NextFrame(&in);
    v1::ControllerFrame frame;
    if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) break;
    if (!session.OnFrame(frame, now).ok()) break;
    clock.Advance(kSecond);
  }
  Check(session.welcomed() || executor.submitted().empty());
}

}  // namespace
}  // namespace quell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view in(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    quell::FromAgent(in);
  } else {
    quell::FromController(in);
  }
  return 0;
}
