// What this build's collectors can produce: one row each, and all there is to know of every metric.
#include "agent/collectors/collector.h"
#include "agent/collectors/host/host.h"
#include "agent/collectors/pm2/pm2_collector.h"
#include "agent/collectors/probe/probe_collector.h"

namespace quell::agent {
namespace {

const std::vector<MetricDescriptor>& RunnerMetrics() {
  constexpr Provenance K = Provenance::kKernel;
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"quell_collector_up", "", MetricKind::kGauge, K, "1 when the collector's last collection went well."},
      {"collector.failed", "", MetricKind::kEvent, K, "A collector has failed; the text says why."},
      {"collector.hanging", "", MetricKind::kEvent, K, "A collector has not come back in time."},
      {"collector.recovered", "", MetricKind::kEvent, K, "A collector that failed or hung collects again."}};
  return rows;
}

}  // namespace

const std::vector<CollectorRow>& CollectorRegistry() {
  static const auto& rows = *new std::vector<CollectorRow>{
      {"host", "processors, memory, disks, filesystems, network, pressure and clock of the host",
       HostMetrics()},
      {"pm2", "the apps of each configured PM2 user", Pm2Metrics()},
      {"probe", "HTTP and HTTPS probes", ProbeMetrics()},
      {"agent", "the collectors themselves", RunnerMetrics()}};
  return rows;
}

}  // namespace quell::agent
