// What a host's own records say of changes.
#include "common/metrics/metrics.h"

namespace quell {
namespace {

constexpr MetricKind E = MetricKind::kEvent;
constexpr Provenance K = Provenance::kKernel, T = Provenance::kText;

}  // namespace

const std::vector<MetricDescriptor>& ChangeMetrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"change.release", "", E, K, "The link current of a releases directory leads elsewhere."},
      {"change.git", "", E, T, "HEAD of a git repository leads to another commit."},
      {"change.config", "", E, K,
       "A watched file was made, changed or is gone; its hashes, never its content."},
      {"change.package", "", E, T, "Packages were installed, upgraded or removed, by dpkg's log."},
      {"quell_changes_dropped_total", "", MetricKind::kCounter, K,
       "Changes that were not told because there were more than 30 in a minute."}};
  return rows;
}

}  // namespace quell
