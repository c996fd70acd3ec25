#include "controller/policy/loader.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "controller/policy/bind.h"
#include "controller/promql/parser.h"

namespace quell::policy {
namespace {

using config::kRequired;
using config::MapReader;
using config::Problems;
using config::YamlNode;

constexpr size_t kMostPolicies = 1000;
constexpr int kMostSteps = 10;

// Keys of the users' contract that this build doesn't carry out: refused with a sentence of their own.
void RefuseKey(MapReader& map, const char* key, const char* why, Problems& problems) {
  if (!map.Has(key)) return;
  if (const YamlNode* node = map.Node(key)) problems.Add(node->At(absl::StrCat(key, " ", why)));
}

void ReadSeverities(MapReader& when, v1::Policy& policy, Problems& problems) {
  std::vector<std::string> names;
  when.Strings("severity", &names);
  for (const std::string& name : names) {
    v1::Severity severity;
    if (name.size() == 2 && v1::Severity_Parse(name, &severity)) {
      policy.add_severities(severity);
    } else {
      problems.Add(
          when.Node("severity")->At(absl::StrCat("severity \"", name, "\" is none of P0, P1, P2, P3")));
    }
  }
}

void ReadWhen(const YamlNode& node, v1::Policy& policy, Problems& problems) {
  MapReader when(node, problems, "when");
  std::vector<std::string> alerts;
  when.Strings("alert", &alerts, kRequired);
  for (std::string& alert : alerts) policy.add_alerts(std::move(alert));
  ReadSeverities(when, policy, problems);
  std::map<std::string, std::string> labels;
  when.StringMap("labels", &labels);
  policy.mutable_match()->insert(labels.begin(), labels.end());
  RefuseKey(when, "source", "is not supported: policies match the signals of our own rules", problems);
  when.Finish();
}

void ReadPage(MapReader& map, v1::Policy& policy, Problems& problems) {
  const YamlNode* node = map.Node("page");
  if (node == nullptr) return;
  if (node->kind == YamlNode::Kind::kScalar) {
    if (node->scalar == "at_once") return policy.set_page(v1::PAGE_AT_ONCE);
    if (node->scalar == "on_failure") return policy.set_page(v1::PAGE_ON_FAILURE);
    problems.Add(node->At("page is at_once, on_failure or {unless_verified_in: DURATION}"));
    return;
  }
  MapReader page(*node, problems, "page");
  Micros within = 0;
  page.Duration("unless_verified_in", &within, kRequired);
  page.Finish();
  policy.set_page(v1::PAGE_UNLESS_VERIFIED);
  policy.set_page_unless_verified_us(within);
}

void CheckExpression(const YamlNode& node, Problems& problems) {
  promql::Parsed parsed = promql::ParseExpression(node.scalar);
  if (parsed.expr == nullptr)
    problems.Add(node.At(absl::StrCat("expr does not parse: ", parsed.error.ToString())));
}

void ReadVerify(const YamlNode& node, v1::Verify& verify, Problems& problems) {
  MapReader map(node, problems, "verify");
  bool cleared = !map.Has("expr");
  map.Bool("cleared", &cleared);
  std::string expr;
  map.String("expr", &expr);
  int scope = 0;
  map.Choice("scope", {"target", "fleet"}, &scope);
  Micros within = kMinute, hold = 30 * kSecond;
  map.Duration("within", &within);
  map.Duration("hold", &hold);
  map.Finish();
  if (cleared != expr.empty()) problems.Add(node.At("verify is either `cleared: true` or an `expr`"));
  if (!expr.empty()) CheckExpression(*map.Node("expr"), problems);
  if (within <= 0 || within > kHour || hold > kHour) {
    problems.Add(node.At("verify: `within` is over 0 and at most 1h, `hold` at most 1h"));
  }
  verify.set_cleared(cleared);
  verify.set_expr(expr);
  verify.set_fleet(scope == 1);
  verify.set_within_us(within);
  verify.set_hold_us(hold);
}

void DefaultVerify(v1::Verify& verify) {
  verify.set_cleared(true);
  verify.set_within_us(kMinute);
  verify.set_hold_us(30 * kSecond);
}

void ReadOnlyIf(const YamlNode& node, v1::PolicyStep& step, Problems& problems) {
  MapReader map(node, problems, "only_if");
  Micros within = 0;
  std::string expr;
  map.Duration("changed_within", &within);
  map.String("expr", &expr);
  map.Finish();
  if (!map.Has("changed_within") && !map.Has("expr"))
    problems.Add(node.At("only_if is `changed_within: DURATION`, `expr: PROMQL`, or both"));
  if (map.Has("changed_within") && (within <= 0 || within > kDay))
    problems.Add(node.At("only_if: `changed_within` is over 0 and at most 24h"));
  if (!expr.empty()) CheckExpression(*map.Node("expr"), problems);
  step.set_only_if_changed_within_us(within);
  step.set_only_if_expr(expr);
}

void ReadRevertAfter(MapReader& map, v1::PolicyStep& step, Problems& problems) {
  Micros after = 0;
  map.Duration("revert_after", &after);
  if (after != 0)
    problems.Add(
        map.Node("revert_after")->At("revert_after is 0s: no action of this build is undone by itself"));
  step.set_revert_after_us(after);
}

void ReadStep(const YamlNode& node, v1::Policy& policy, Problems& problems) {
  MapReader map(node, problems, "step");
  v1::PolicyStep step;
  std::string action;
  map.String("action", &action, kRequired);
  std::map<std::string, std::string> with;
  map.StringMap("with", &with);
  DefaultVerify(*step.mutable_verify());
  map.Map("verify", [&](const YamlNode& verify) { ReadVerify(verify, *step.mutable_verify(), problems); });
  map.Map("only_if", [&](const YamlNode& only_if) { ReadOnlyIf(only_if, step, problems); });
  ReadRevertAfter(map, step, problems);
  map.Finish();
  // Whose it is, the signal tells where the step does not.
  const auto* type = FindActionType(action);
  if (type != nullptr && type->FindFieldByName("user") != nullptr) with.emplace("user", "$labels.user");
  if (!action.empty()) {
    if (absl::Status s = CheckParameters(action, with); !s.ok()) {
      const YamlNode* place =
          map.Node(FindActionType(action) != nullptr && map.Has("with") ? "with" : "action");
      problems.Add((place == nullptr ? node : *place).At(std::string(s.message())));
    }
  }
  step.set_action(action);
  step.mutable_with()->insert(with.begin(), with.end());
  *policy.add_steps() = std::move(step);
}

void ReadSteps(MapReader& map, const YamlNode& node, v1::Policy& policy, Problems& problems) {
  map.Each(
      "steps", [&](const YamlNode& step) { ReadStep(step, policy, problems); }, kRequired);
  if (policy.steps_size() > kMostSteps)
    problems.Add(map.Node("steps")->At(absl::StrCat("more than ", kMostSteps, " steps")));
  if (map.Has("steps") && policy.steps().empty()) problems.Add(node.At("a policy needs a step"));
}

void ReadAttempts(const YamlNode& node, v1::Guard& guard, Problems& problems) {
  MapReader map(node, problems, "attempts");
  int64_t most = 2;
  Micros within = kHour;
  map.Int("max", &most, 1, 100, kRequired);
  map.Duration("within", &within, kRequired);
  map.Finish();
  if (within <= 0 || within > kDay) problems.Add(node.At("attempts: `within` is over 0 and at most 24h"));
  guard.set_attempts_max(static_cast<uint32_t>(most));
  guard.set_attempts_within_us(within);
}

void ReadGroup(const YamlNode& node, v1::Guard& guard, Problems& problems) {
  MapReader map(node, problems, "group");
  double share = 0.1;
  Micros within = 10 * kMinute;
  map.Share("max", &share, kRequired);
  map.Duration("within", &within, kRequired);
  map.Finish();
  if (within <= 0 || within > kDay) problems.Add(node.At("group: `within` is over 0 and at most 24h"));
  guard.set_group_max_share(share);
  guard.set_group_within_us(within);
}

void DefaultGuard(v1::Guard& guard) {
  guard.set_cooldown_us(5 * kMinute);
  guard.set_attempts_max(2);
  guard.set_attempts_within_us(kHour);
  guard.set_group_max_share(0.1);
  guard.set_group_within_us(10 * kMinute);
  guard.set_stop_above_unhealthy(0.3);
  guard.set_fresh_us(10 * kSecond);
}

void ReadGuard(const YamlNode& node, v1::Guard& guard, Problems& problems) {
  MapReader map(node, problems, "guard");
  Micros cooldown = guard.cooldown_us(), fresh = guard.fresh_us();
  double stop = guard.stop_above_unhealthy();
  map.Duration("cooldown", &cooldown);
  map.Map("attempts", [&](const YamlNode& n) { ReadAttempts(n, guard, problems); });
  map.Map("group", [&](const YamlNode& n) { ReadGroup(n, guard, problems); });
  map.Share("stop_above_unhealthy", &stop);
  map.Duration("fresh", &fresh);
  map.Finish();
  if (cooldown > kDay) problems.Add(node.At("guard: `cooldown` is at most 24h"));
  if (fresh <= 0) problems.Add(node.At("guard: `fresh` is over 0"));
  guard.set_cooldown_us(cooldown);
  guard.set_stop_above_unhealthy(stop);
  guard.set_fresh_us(fresh);
}

void ReadApproval(const YamlNode& node, v1::Policy& policy, Problems& problems) {
  MapReader map(node, problems, "approval");
  Micros expires = policy.approval_expires_us();
  int then = 0;
  map.Duration("expires", &expires);
  map.Choice("then", {"page_next", "page"}, &then);
  map.Finish();
  if (expires <= 0 || expires > kDay) problems.Add(node.At("approval: `expires` is over 0 and at most 24h"));
  policy.set_approval_expires_us(expires);
  policy.set_approval_then(then == 0 ? "page_next" : "page");
}

v1::Policy ReadPolicy(const YamlNode& node, Problems& problems) {
  MapReader map(node, problems, "policy");
  v1::Policy policy;
  DefaultGuard(*policy.mutable_guard());
  policy.set_approval_expires_us(10 * kMinute);
  policy.set_approval_then("page_next");
  policy.set_source_file(absl::StrCat(node.file, ":", node.line));
  std::string name;
  map.String("name", &name, kRequired);
  policy.set_name(name);
  int mode = 1, otherwise = 0;
  map.Choice("mode", {"observe", "ask", "automatic"}, &mode);
  policy.set_mode(static_cast<v1::PolicyMode>(mode + 1));
  map.Map(
      "when", [&](const YamlNode& when) { ReadWhen(when, policy, problems); }, kRequired);
  ReadPage(map, policy, problems);
  ReadSteps(map, node, policy, problems);
  map.Map("guard", [&](const YamlNode& guard) { ReadGuard(guard, *policy.mutable_guard(), problems); });
  map.Map("approval", [&](const YamlNode& approval) { ReadApproval(approval, policy, problems); });
  map.Choice("otherwise", {"page"}, &otherwise);
  policy.set_otherwise("page");
  map.Finish();
  return policy;
}

void ReadFile(const YamlNode& root, std::vector<v1::Policy>& policies,
              std::map<std::string, std::string>& names, Problems& problems) {
  if (root.kind == YamlNode::Kind::kNull) return;  // unreadable (told already), or empty
  MapReader map(root, problems, "policy file");
  map.Each(
      "policies",
      [&](const YamlNode& node) {
        v1::Policy policy = ReadPolicy(node, problems);
        auto [first, added] = names.emplace(policy.name(), policy.source_file());
        if (!added && !policy.name().empty()) {
          problems.Add(
              node.At(absl::StrCat("policy \"", policy.name(), "\" is there already, at ", first->second)));
        }
        if (policies.size() == kMostPolicies) problems.Add(node.At("more than 1000 policies"));
        if (policies.size() < kMostPolicies) policies.push_back(std::move(policy));
      },
      kRequired);
  map.Finish();
}

}  // namespace

std::vector<v1::Policy> ParsePolicies(std::string_view name, std::string_view text, Problems& problems) {
  std::vector<v1::Policy> policies;
  std::map<std::string, std::string> names;
  const YamlNode root = config::ParseYaml(name, text, problems);
  ReadFile(root, policies, names, problems);
  if (!problems.ok()) policies.clear();
  return policies;
}

std::vector<v1::Policy> LoadPolicyFiles(const std::vector<std::string>& paths, Problems& problems) {
  std::vector<v1::Policy> policies;
  std::map<std::string, std::string> names;
  for (const std::string& path : paths) {
    const YamlNode root = config::ParseYamlFile(path, problems);
    ReadFile(root, policies, names, problems);
  }
  if (!problems.ok()) policies.clear();
  return policies;
}

}  // namespace quell::policy
