#include <map>

#include "common/metrics/metrics.h"

namespace quell {
namespace {

std::map<std::string_view, const MetricDescriptor*> AllByName() {
  std::map<std::string_view, const MetricDescriptor*> all;
  for (const auto* table : {&HostMetrics(), &Pm2Metrics(), &PostgresMetrics(), &ProbeMetrics(),
                            &ChangeMetrics(), &AgentMetrics(), &ControllerMetrics()}) {
    for (const MetricDescriptor& row : *table) all.emplace(row.name, &row);
  }
  return all;
}

}  // namespace

const MetricDescriptor* FindMetric(std::string_view name) {
  static const auto& all = *new std::map<std::string_view, const MetricDescriptor*>(AllByName());
  auto found = all.find(name);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace quell
