#include "controller/app/host_ports.h"

#include <utility>

#include "controller/app/reports.h"

namespace quell::app {

bool HostPorts::Opened(const ingest::HostRecord& host, uint64_t, const v1::Hello& hello,
                       const std::string& history, Micros now) {
  shards_.NoteHost(host.id, host.name, {host.labels.begin(), host.labels.end()});
  return shards_.Of(host.id).Submit(
      [host, hello, history, now](HostShard& shard, Micros) { shard.Opened(host, hello, history, now); });
}

// A newer stream of the same host has taken its place then: the registry numbers them, and only the last
// one's end counts.
void HostPorts::Closed(const std::string& host_id, uint64_t, Micros now) {
  if (registry_.IsOpen(host_id)) return;
  shards_.Of(host_id).SubmitSurely("closed " + host_id,
                                   [host_id, now](HostShard& shard, Micros) { shard.Closed(host_id, now); });
}

bool HostPorts::Heartbeat(const std::string& host_id, const v1::Heartbeat& heartbeat, Micros now) {
  return shards_.Of(host_id).Submit(
      [host_id, heartbeat, now](HostShard& shard, Micros) { shard.Heartbeat(host_id, heartbeat, now); });
}

void HostPorts::Goodbye(const std::string& host_id, const std::string& why, Micros now) {
  shards_.Of(host_id).SubmitSurely("goodbye " + host_id, [host_id, why, now](HostShard& shard, Micros) {
    shard.Goodbye(host_id, why, now);
  });
}

bool HostPorts::Samples(const std::string& host_id, std::vector<ingest::SampleBatch> batches) {
  return shards_.Of(host_id).SubmitTelemetry(
      [host_id, batches = std::move(batches)](HostShard& shard, Micros) { shard.Samples(host_id, batches); });
}

// The shard first: what it has no room for reaches the engine no more than the shard, and comes again. What
// the engine has no room for comes again too, and a sample that the shard has twice is one.
bool HostPorts::Events(const ingest::HostRecord& host, std::vector<ingest::TimedEvent> events,
                       uint64_t through) {
  std::vector<EngineInput> inputs;
  for (const ingest::TimedEvent& event : events)
    inputs.push_back(InputFromEvent(host.id, host.name, event.event, event.at));
  if (through != 0)
    inputs.back().committed = [this, id = host.id, through] { registry_.AckEvents(id, through); };
  const bool taken =
      shards_.Of(host.id).Submit([id = host.id, events = std::move(events)](HostShard& shard, Micros now) {
        shard.Events(id, events, now);
      });
  if (!taken) return false;
  for (EngineInput& input : inputs) {
    if (!post_(InputClass::kSignal, std::move(input))) return false;
  }
  return true;
}

bool HostPorts::Reports(const ingest::HostRecord& host, std::vector<ingest::TimedReport> reports,
                        uint64_t through) {
  for (ingest::TimedReport& report : reports) {
    EngineInput input = InputFromReport(host.id, std::move(report.report), report.at);
    if (&report == &reports.back() && through != 0) {
      input.committed = [this, id = host.id, through] { registry_.AckReports(id, through); };
    }
    if (!post_(InputClass::kResult, std::move(input))) return false;
  }
  return true;
}

void HostPorts::Refused(const ingest::HostRecord& host, const std::string& why, Micros now) {
  shards_.Of(host.id).SubmitSurely(
      "refused " + host.id, [host, why, now](HostShard& shard, Micros) { shard.Refused(host, why, now); });
}

}  // namespace quell::app
