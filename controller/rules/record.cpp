#include "controller/rules/record.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace quell::rules {

absl::Status RecordOutputs(const Rule& rule, const Group& group, const promql::Value& value,
                           std::vector<std::pair<Labels, double>>& outputs) {
  promql::Vector vector = value.vector;
  if (value.type == promql::ValueType::kScalar)
    vector = {promql::Element{Labels(), value.scalar, 0, 0, false}};
  if (group.limit > 0 && vector.size() > static_cast<size_t>(group.limit))
    return absl::ResourceExhaustedError(
        absl::StrCat("exceeded limit of ", group.limit, " with ", vector.size(), " series"));
  std::set<Labels> seen;
  for (const promql::Element& element : vector) {
    Labels labels = element.labels;
    labels.Set(kMetricName, rule.name);
    for (const NamedTemplate& label : rule.labels) labels.Set(label.first, label.second.Expand(Labels(), 0));
    if (!seen.insert(labels).second)
      return absl::InvalidArgumentError(
          "vector contains metrics with the same labelset after applying rule labels");
    outputs.emplace_back(std::move(labels), element.value);
  }
  return absl::OkStatus();
}

}  // namespace quell::rules
