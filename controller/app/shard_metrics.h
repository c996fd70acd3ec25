// What /metrics says of the shards: one row per metric, summed over them. Constant.
#pragma once
#include <string_view>
#include <vector>

#include "controller/rules/shard.h"

namespace quell::app {

struct ShardMetric {
  std::string_view name;
  std::string_view help;
  double (*read)(const rules::ShardStats& stats);
};

inline const std::vector<ShardMetric>& ShardMetrics() {
  static const auto& rows = *new std::vector<ShardMetric>{
      {"quell_hosts", "Hosts that shards know.", [](const rules::ShardStats& s) { return double(s.hosts); }},
      {"quell_watches", "Conditions that are watched.",
       [](const rules::ShardStats& s) { return double(s.watches); }},
      {"quell_watches_refused", "Conditions that could not be watched.",
       [](const rules::ShardStats& s) { return double(s.refused_watches); }},
      {"quell_rule_evaluations", "Evaluations of rules.",
       [](const rules::ShardStats& s) { return double(s.rule_evaluations); }},
      {"quell_rule_failures", "Evaluations of rules that failed.",
       [](const rules::ShardStats& s) { return double(s.rule_failures); }},
      {"quell_rule_pushed_evaluations", "Evaluations that an event caused.",
       [](const rules::ShardStats& s) { return double(s.pushed_evaluations); }}};
  return rows;
}

}  // namespace quell::app
