// What this build's collectors can produce: one row each, and all there is to know of every metric.
#include "agent/collectors/collector.h"
#include "common/metrics/metrics.h"

namespace quell::agent {
const std::vector<CollectorRow>& CollectorRegistry() {
  static const auto& rows = *new std::vector<CollectorRow>{
      {"host", "processors, memory, disks, filesystems, network, pressure and clock of the host",
       HostMetrics()},
      {"pm2", "the apps of each configured PM2 user", Pm2Metrics()},
      {"postgres", "each configured PostgreSQL server", PostgresMetrics()},
      {"probe", "HTTP and HTTPS probes", ProbeMetrics()},
      {"changes", "releases, git checkouts, configuration files and packages", ChangeMetrics()},
      {"agent", "the collectors themselves", AgentMetrics()}};
  return rows;
}

}  // namespace quell::agent
