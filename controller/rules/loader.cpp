// Rule files: YAML to RuleSet, with the place of every mistake, also inside expressions and templates.
#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "controller/promql/parser.h"
#include "controller/rules/classify.h"
#include "controller/rules/rule_set.h"

namespace quell::rules {
namespace {

using config::MapReader;
using config::Problems;
using config::YamlNode;

bool IsLabelName(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  });
}

bool IsMetricName(std::string name) {
  std::replace(name.begin(), name.end(), ':', '_');
  return IsLabelName(name);
}

// FNV-1a over file and group: where within its interval a group is due.
uint64_t PhaseHash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return h;
}

class FileLoader {
 public:
  FileLoader(const RuleFile& file, Problems& problems, const LoadOptions& options, RuleSet& set)
      : file_(file), problems_(problems), options_(options), set_(set) {
    for (absl::string_view line : absl::StrSplit(file.text, '\n'))
      lines_.emplace_back(line.data(), line.size());
  }

  void Load() {
    const YamlNode root = config::ParseYaml(file_.path, file_.text, problems_);
    if (root.kind == YamlNode::Kind::kNull) return;  // an empty file has no rules; a bad one is told
    MapReader map(root, problems_, "rule file");
    map.Each("groups", [this](const YamlNode& node) { ReadGroup(node); });
    map.Finish();
  }

 private:
  void ReadGroup(const YamlNode& node) {
    Group group;
    group.file = file_.path;
    group.interval = options_.interval;
    MapReader map(node, problems_, "group");
    map.String("name", &group.name, config::kRequired);
    if (node.kind == YamlNode::Kind::kMap && group.name.empty() && map.Has("name"))
      problems_.Add(node.At("a group's name is empty"));
    if (!group.name.empty() && !names_.insert(group.name).second)
      problems_.Add(node.At(absl::StrCat("group \"", group.name, "\" is in this file twice")));
    map.Duration("interval", &group.interval);
    if (group.interval <= 0) {
      problems_.Add(node.At("interval must be above 0"));
      group.interval = options_.interval;
    }
    map.Duration("query_offset", &group.query_offset);
    map.Int("limit", &group.limit, 0, 1'000'000);
    std::vector<NamedTemplate> labels;
    map.Entries("labels",
                [&](const YamlNode& key, const YamlNode& value) { ReadLabel(key, value, labels, true); });
    map.Each("rules", [&](const YamlNode& rule) { ReadRule(rule, group, labels); });
    map.Finish();
    group.phase =
        static_cast<Micros>(PhaseHash(file_.path + ";" + group.name) % static_cast<uint64_t>(group.interval));
    set_.groups.push_back(std::move(group));
  }

  void ReadRule(const YamlNode& node, Group& group, const std::vector<NamedTemplate>& group_labels) {
    Rule rule;
    rule.file = file_.path;
    rule.line = node.line;
    rule.labels = group_labels;
    const size_t before = problems_.mistakes().size();
    MapReader map(node, problems_, "rule");
    rule.alert = map.Has("alert") || !map.Has("record");
    ReadName(map, node, rule);
    if (const YamlNode* expr = map.Node("expr", config::kRequired)) ReadExpr(*expr, rule);
    ReadAlertKeys(map, rule);
    map.Entries("labels", [&](const YamlNode& key, const YamlNode& value) {
      ReadLabel(key, value, rule.labels, rule.alert);
    });
    map.Finish();
    if (problems_.mistakes().size() != before || rule.expr == nullptr) return;
    rule.identity = Identity(group, rule.name);
    rule.expr_text = rule.expr->ToString();
    Classify(rule, options_.lookback, set_.retention);
    set_.longest_window = std::max(set_.longest_window, rule.window);
    group.rules.push_back(std::move(rule));
  }

  void ReadName(MapReader& map, const YamlNode& node, Rule& rule) {
    const bool alert = map.Has("alert"), record = map.Has("record");
    if (alert && record) problems_.Add(node.At("a rule has either alert or record, not both"));
    if (!alert && !record) problems_.Add(node.At("a rule needs alert or record"));
    if (alert) map.String("alert", &rule.name);
    if (record) map.String("record", &rule.name);
    if (alert && rule.name.empty()) problems_.Add(node.At("the alert's name is empty"));
    if (record && !alert && !IsMetricName(rule.name))
      problems_.Add(map.Node("record")->At(absl::StrCat("\"", rule.name, "\" is not a metric name")));
  }

  // for, keep_firing_for and annotations belong to alerts.
  void ReadAlertKeys(MapReader& map, Rule& rule) {
    map.Duration("for", &rule.hold);
    map.Duration("keep_firing_for", &rule.keep_firing);
    for (std::string_view key : {"for", "keep_firing_for", "annotations"})
      if (!rule.alert && map.Has(key))
        problems_.Add(map.Node(key)->At(absl::StrCat("a recording rule has no ", std::string(key))));
    map.Entries("annotations", [&](const YamlNode& key, const YamlNode& value) {
      ReadTemplate(key, value, "annotation", rule.annotations);
    });
  }

  void ReadLabel(const YamlNode& key, const YamlNode& value, std::vector<NamedTemplate>& out,
                 bool templates) {
    if (key.scalar == kMetricName || !IsLabelName(key.scalar)) {
      problems_.Add(key.At(absl::StrCat("\"", key.scalar, "\" is not a label name")));
      return;
    }
    std::erase_if(out, [&](const NamedTemplate& known) { return known.first == key.scalar; });
    ReadTemplate(key, value, "label", out);
    if (!templates && !out.empty() && out.back().first == key.scalar && !out.back().second.constant())
      problems_.Add(value.At("labels of a recording rule have no templates"));
  }

  void ReadTemplate(const YamlNode& key, const YamlNode& value, std::string_view what,
                    std::vector<NamedTemplate>& out) {
    if (value.kind != YamlNode::Kind::kScalar && value.kind != YamlNode::Kind::kNull) {
      problems_.Add(
          value.At(absl::StrCat(std::string(what), " \"", key.scalar, "\" must be a single value")));
      return;
    }
    auto parsed = text::Template::Parse(value.scalar);
    if (parsed.ok()) return out.emplace_back(key.scalar, *std::move(parsed)), void();
    std::string_view message(parsed.status().message().data(), parsed.status().message().size());
    size_t offset = 0;
    constexpr std::string_view kLead = "at offset ";
    if (const size_t colon = message.find(": ");
        message.starts_with(kLead) && colon != std::string_view::npos) {
      const std::string_view digits = message.substr(kLead.size(), colon - kLead.size());
      if (absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &offset))
        message.remove_prefix(colon + 2);
    }
    AddInside(
        value, offset,
        absl::StrCat("template of ", std::string(what), " \"", key.scalar, "\": ", std::string(message)));
  }

  void ReadExpr(const YamlNode& node, Rule& rule) {
    if (node.kind != YamlNode::Kind::kScalar || node.scalar.empty()) {
      problems_.Add(node.At("expr must be an expression"));
      return;
    }
    promql::Parsed parsed = promql::ParseExpression(node.scalar);
    if (parsed.expr == nullptr) {
      AddInside(node, Offset(node.scalar, parsed.error.line, parsed.error.column), parsed.error.message);
      return;
    }
    if (parsed.expr->type != promql::ValueType::kVector && parsed.expr->type != promql::ValueType::kScalar) {
      problems_.Add(
          node.At(absl::StrCat("a rule's expression gives an instant vector or a scalar, this one a ",
                               std::string(promql::ValueTypeName(parsed.expr->type)))));
      return;
    }
    rule.expr = std::move(parsed.expr);
  }

  static size_t Offset(std::string_view text, int line, int column) {
    size_t at = 0;
    for (int i = 1; i < line; ++i) at = text.find('\n', at) + 1;
    return std::min(text.size(), at + static_cast<size_t>(column - 1));
  }

  // A mistake at a byte of a scalar's value: at its place in the file where the scalar is written as it is
  // (one line, or a | block), else at the scalar's beginning with the place inside it.
  void AddInside(const YamlNode& node, size_t offset, std::string message) {
    const std::string_view value = node.scalar;
    offset = std::min(offset, value.size());
    const int line =
        1 + static_cast<int>(std::count(value.begin(), value.begin() + static_cast<ptrdiff_t>(offset), '\n'));
    const size_t newline = offset == 0 ? std::string_view::npos : value.rfind('\n', offset - 1);
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    const std::string_view value_line = value.substr(line_start, value.find('\n', line_start) - line_start);
    // The value's line as the file has it, if it does.
    for (int row = node.line + line - 1; row <= node.line + line; ++row) {
      const std::string_view raw = Line(row);
      const size_t from = row == node.line ? static_cast<size_t>(node.column - 1) : 0;
      const size_t at =
          value_line.empty() ? std::string_view::npos : raw.find(value_line, std::min(from, raw.size()));
      if (at == std::string_view::npos) continue;
      problems_.Add({file_.path, row, static_cast<int>(at + offset - line_start) + 1, std::move(message)});
      return;
    }
    problems_.Add(node.At(
        absl::StrCat(message, " (line ", line, ", column ", offset - line_start + 1, " of the value)")));
  }

  std::string_view Line(int row) const {
    return row >= 1 && static_cast<size_t>(row) <= lines_.size() ? lines_[static_cast<size_t>(row - 1)]
                                                                 : std::string_view();
  }

  std::string Identity(const Group& group, const std::string& name) {
    const std::string base = absl::StrCat(file_.path, "/", group.name, "/", name);
    const int nth = ++identities_[base];
    return nth == 1 ? base : absl::StrCat(base, "#", nth);
  }

  const RuleFile& file_;
  Problems& problems_;
  const LoadOptions& options_;
  RuleSet& set_;
  std::vector<std::string_view> lines_;
  std::set<std::string> names_;
  std::map<std::string, int> identities_;
};

// A recorded series is as trustworthy as what it was made of.
class Sources {
 public:
  Sources(const RuleSet& set, const ProvenanceOf& lookup) : lookup_(lookup) {
    for (const Group& group : set.groups)
      for (const Rule& rule : group.rules)
        if (!rule.alert) recorded_[rule.name].push_back(&rule);
  }
  void Of(const Rule& rule, std::set<std::string>& out) {
    for (const std::string& metric : rule.metrics) OfMetric(metric, out);
  }

 private:
  void OfMetric(const std::string& metric, std::set<std::string>& out) {
    if (!seen_.insert(metric).second) return;
    auto it = recorded_.find(metric);
    if (it == recorded_.end()) {
      const std::string known = metric.empty() ? "" : metric == "up" ? "daemon" : lookup_(metric);
      out.insert(known.empty() ? "app" : known);
      return;
    }
    for (const Rule* rule : it->second) Of(*rule, out);
  }

  const ProvenanceOf& lookup_;
  std::map<std::string, std::vector<const Rule*>> recorded_;
  std::set<std::string> seen_;
};

// What a global rule records lies with no host: rules that read it are global too.
void SpreadGlobal(RuleSet& set) {
  std::set<std::string, std::less<>> global;
  for (bool more = true; more;) {
    more = false;
    for (Group& group : set.groups)
      for (Rule& rule : group.rules) {
        for (const std::string& metric : rule.metrics)
          rule.host_local = rule.host_local && !global.contains(metric);
        if (!rule.alert && !rule.host_local) more = global.insert(rule.name).second || more;
      }
  }
}

std::string ConstantLabel(const Rule& rule, std::string_view name) {
  for (const NamedTemplate& label : rule.labels)
    if (label.first == name && label.second.constant()) return label.second.Expand(Labels(), 0);
  return "";
}

v1::AlertRule Describe(const Rule& rule, const std::string& group, const RuleSet& set,
                       const ProvenanceOf& provenance) {
  v1::AlertRule out;
  out.set_name(rule.name);
  out.set_file(rule.file);
  out.set_group(group);
  out.set_severity(SeverityOf(ConstantLabel(rule, "severity")));
  out.set_service(ConstantLabel(rule, "service"));
  out.set_category(ConstantLabel(rule, "category"));
  out.set_host_local(rule.host_local);
  for (const std::string& metric : rule.metrics)
    if (!metric.empty()) out.add_metrics(metric);
  std::set<std::string> sources;
  Sources(set, provenance).Of(rule, sources);
  for (const std::string& source : sources) out.add_provenance(source);
  return out;
}

}  // namespace

v1::Severity SeverityOf(std::string_view label) {
  if (label == "P0") return v1::P0;
  if (label == "P1" || label == "critical") return v1::P1;
  if (label == "P2" || label == "warning") return v1::P2;
  return v1::P3;
}

Micros DueAtOrBefore(const Group& group, Micros now) {
  const Micros since = now - group.phase;
  return since - ((since % group.interval) + group.interval) % group.interval + group.phase;
}

std::shared_ptr<const RuleSet> LoadRules(const std::vector<RuleFile>& files, const ProvenanceOf& provenance,
                                         Problems& problems, const LoadOptions& options) {
  auto set = std::make_shared<RuleSet>();
  for (const RuleFile& file : files) FileLoader(file, problems, options, *set).Load();
  if (!problems.ok()) return nullptr;
  SpreadGlobal(*set);
  for (const Group& group : set->groups)
    for (const Rule& rule : group.rules)
      if (rule.alert) set->alerts.push_back(Describe(rule, group.name, *set, provenance));
  return set;
}

}  // namespace quell::rules
