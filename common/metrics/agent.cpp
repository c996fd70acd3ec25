// What an agent says of its own collectors, and what the controller adds about a host.
#include "common/metrics/metrics.h"

namespace quell {
namespace {

constexpr MetricKind G = MetricKind::kGauge, E = MetricKind::kEvent;
constexpr Provenance K = Provenance::kKernel;

}  // namespace

const std::vector<MetricDescriptor>& AgentMetrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"quell_collector_up", "", G, K, "1 when the collector's last collection went well."},
      {"collector.failed", "", E, K, "A collector has failed; the text says why."},
      {"collector.hanging", "", E, K, "A collector has not come back in time."},
      {"collector.recovered", "", E, K, "A collector that failed or hung collects again."}};
  return rows;
}

const std::vector<MetricDescriptor>& ControllerMetrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"up", "", G, K, "1 while the host is connected and the collector's samples come."},
      {"quell_host_clock_skew_seconds", "seconds", G, K, "The host's wall clock minus the controller's."},
      {"quell_agent_samples_dropped_total", "", MetricKind::kCounter, K,
       "Samples that the agent's spool had no room for."},
      {"quell_agent_events_dropped_total", "", MetricKind::kCounter, K,
       "Events that the agent's spool had no room for."},
      {"quell_agent_results_full", "", G, K,
       "1 when the agent can keep no more results, so that no command is taken."},
      {"quell_agent_executor_up", "", G, K, "1 when the host's executor is there."},
      {"quell_agent_over_budget", "", G, K, "1 when the agent has sent more than its budget allows."}};
  return rows;
}

}  // namespace quell
