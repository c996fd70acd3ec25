// RuleSet: the loaded rule files. Immutable once loaded; shared by shards and GlobalRules, any thread.
//
// Files are Prometheus' rule files, read strictly: every mistake is reported with file:line:column, and one
// mistake anywhere means that nothing is loaded.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/yaml.h"
#include "common/text/template.h"
#include "controller/promql/ast.h"
#include "controller/series/store.h"
#include "quell/v1/state.pb.h"

namespace quell::rules {

using NamedTemplate = std::pair<std::string, text::Template>;

struct Rule {
  bool alert = true;     // else it records
  std::string identity;  // file/group/name, "#2" behind it for a second of that name
  std::string name;      // the alert's, or of the series it records
  std::string expr_text;
  promql::ExprPtr expr;
  Micros hold = 0;                    // `for`
  Micros keep_firing = 0;             // `keep_firing_for`
  std::vector<NamedTemplate> labels;  // the group's and its own
  std::vector<NamedTemplate> annotations;
  bool host_local = false;
  Micros window = 0;                           // how far back it looks: range + offset + lookback
  std::set<std::string, std::less<>> metrics;  // read directly; "" stands for any
  std::set<std::string, std::less<>> instant;  // of them: by instant selectors
  std::string file;
  int line = 0;
};

struct Group {
  std::string file;
  std::string name;
  Micros interval = 0;
  Micros query_offset = 0;
  int64_t limit = 0;  // results per rule; 0: none
  Micros phase = 0;   // where within the interval it is due, from file and name
  std::vector<Rule> rules;
};

struct RuleSet {
  std::vector<Group> groups;
  std::vector<v1::AlertRule> alerts;  // one per alert, for Config.alerts
  series::Retention retention;
  Micros longest_window = 0;
};

struct RuleFile {
  std::string path;
  std::string text;
};
// Name of a metric's provenance ("kernel", "daemon", …); "" when the metric is not known, which counts as
// "app".
using ProvenanceOf = std::function<std::string(std::string_view metric)>;

struct LoadOptions {
  Micros interval = 15 * kSecond;  // of groups that name none
  Micros lookback = 5 * kMinute;
};

// Null when `problems` got anything.
std::shared_ptr<const RuleSet> LoadRules(const std::vector<RuleFile>& files, const ProvenanceOf& provenance,
                                         config::Problems& problems, const LoadOptions& options = {});
// P0 … P3 as they are, critical = P1, warning = P2, info and everything else = P3.
v1::Severity SeverityOf(std::string_view label);
// True when every selector, match and aggregation keeps `instance`, so that one host's series are enough.
bool IsHostLocal(const promql::Expr& expr);
// The latest time <= now at which the group is due.
Micros DueAtOrBefore(const Group& group, Micros now);

}  // namespace quell::rules
