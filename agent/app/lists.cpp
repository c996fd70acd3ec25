#include "agent/app/lists.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/collectors/collector.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/options.pb.h"

namespace quell::agent {
namespace {

const char* KindName(MetricKind kind) {
  switch (kind) {
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kEvent:
      return "event";
  }
  return "";
}

const char* RiskName(v1::Risk risk) {
  switch (risk) {
    case v1::RISK_LOW:
      return "low";
    case v1::RISK_MEDIUM:
      return "medium";
    default:
      return "high";
  }
}

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string ListMetrics() {
  std::string out;
  for (const CollectorRow& row : CollectorRegistry()) {
    absl::StrAppend(&out, "# ", View(row.name), ": ", View(row.help), "\n");
    for (const MetricDescriptor& metric : row.metrics)
      absl::StrAppendFormat(&out, "%-44s %-8s %-8s %-8s %s\n", View(metric.name), KindName(metric.kind),
                            metric.unit.empty() ? "-" : View(metric.unit),
                            View(ProvenanceName(metric.provenance)), View(metric.help));
  }
  return out;
}

std::string ListActions() {
  std::string out;
  const google::protobuf::Descriptor* actions = v1::Action::descriptor();
  for (int i = 0; i < actions->field_count(); ++i) {
    const google::protobuf::Descriptor* action = actions->field(i)->message_type();
    const auto& options = action->options();
    absl::StrAppendFormat(&out, "%s  risk %s%s  %s\n", options.GetExtension(v1::action_name),
                          RiskName(options.GetExtension(v1::action_risk)),
                          options.GetExtension(v1::action_reversible) ? ", can be undone" : "",
                          options.GetExtension(v1::action_summary));
    for (int k = 0; k < action->field_count(); ++k) {
      const auto& field = action->field(k)->options();
      if (field.GetExtension(v1::param_internal)) continue;
      absl::StrAppendFormat(&out, "    --%s  %s%s\n", action->field(k)->name(),
                            field.GetExtension(v1::param_help),
                            field.GetExtension(v1::param_required) ? " (required)" : "");
    }
  }
  return out;
}

}  // namespace quell::agent
