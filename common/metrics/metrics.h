// The descriptors of every metric and event there is: what it is, its unit, and who could have made it up.
// Agents print them, controllers judge by them how far a rule's evidence reaches. One table per collector;
// constant, any thread.
#pragma once
#include <string_view>
#include <vector>

#include "common/model/metric.h"

namespace quell {

const std::vector<MetricDescriptor>& HostMetrics();
const std::vector<MetricDescriptor>& Pm2Metrics();
const std::vector<MetricDescriptor>& PostgresMetrics();
const std::vector<MetricDescriptor>& ProbeMetrics();
const std::vector<MetricDescriptor>& ChangeMetrics();
const std::vector<MetricDescriptor>& AgentMetrics();       // the collectors themselves
const std::vector<MetricDescriptor>& ControllerMetrics();  // what the controller adds about a host

// nullptr for a name that no table has.
const MetricDescriptor* FindMetric(std::string_view name);

}  // namespace quell
