// What a recording rule writes. Internal to the room.
#pragma once
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "controller/promql/evaluate.h"
#include "controller/rules/rule_set.h"

namespace quell::rules {

// The result under the rule's name and labels; an error when two become one, or over the group's limit.
absl::Status RecordOutputs(const Rule& rule, const Group& group, const promql::Value& value,
                           std::vector<std::pair<Labels, double>>& outputs);

}  // namespace quell::rules
