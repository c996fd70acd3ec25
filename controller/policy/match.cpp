#include "controller/policy/match.h"

#include <algorithm>

#include "controller/policy/bind.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

bool Matches(const v1::Policy& policy, const v1::Signal& signal) {
  const auto& alerts = policy.alerts();
  if (!alerts.empty() && std::find(alerts.begin(), alerts.end(), signal.alert()) == alerts.end())
    return false;
  const auto& severities = policy.severities();
  const v1::Severity severity = signals::SeverityOf(signal);
  if (!severities.empty() && std::find(severities.begin(), severities.end(), severity) == severities.end()) {
    return false;
  }
  for (const auto& [name, value] : policy.match()) {
    if (signals::LabelOf(signal, name) != value) return false;
  }
  return true;
}

// A process, or that there was none (pid 0): either can be compared with what the host finds.
bool NamesProcess(const v1::Signal& signal) {
  const auto& facts = signal.facts();
  return std::any_of(facts.begin(), facts.end(),
                     [](const v1::Fact& fact) { return fact.series().name() == "pm2_app_pid"; });
}

// A session and its transaction by their own times: a later one under the same pid is another.
bool NamesSession(const v1::Action& action) {
  if (!action.has_postgres_terminate()) return false;
  const v1::PostgresTerminate& session = action.postgres_terminate();
  return session.pid() > 0 && session.backend_start_us() > 0 && session.xact_start_us() > 0;
}

}  // namespace

const v1::Policy* Match(const v1::Config& config, const v1::Signal& signal) {
  for (const v1::Policy& policy : config.policies()) {
    if (Matches(policy, signal)) return &policy;
  }
  return nullptr;
}

const v1::Policy* FindPolicy(const v1::Config& config, const std::string& name) {
  for (const v1::Policy& policy : config.policies()) {
    if (policy.name() == name) return &policy;
  }
  return nullptr;
}

const v1::AlertRule* FindAlert(const v1::Config& config, const std::string& name) {
  for (const v1::AlertRule& alert : config.alerts()) {
    if (alert.name() == name) return &alert;
  }
  return nullptr;
}

const v1::Host* HostOf(const engine::State& state, const v1::Signal& signal) {
  if (!signal.host_id().empty()) {
    auto it = state.hosts.find(signal.host_id());
    return it == state.hosts.end() ? nullptr : &it->second;
  }
  const std::string_view instance = signals::LabelOf(signal, "instance");
  if (instance.empty()) return nullptr;
  const auto& hosts = state.index.hosts_of_name.Of(instance);
  return hosts.empty() ? nullptr : &state.hosts.at(*hosts.begin());
}

bool IsAboutManyProcesses(const v1::Config& config, const v1::Signal& signal) {
  const v1::AlertRule* alert = FindAlert(config, signal.alert());
  if (alert == nullptr) return false;
  const auto& read = alert->metrics();
  return std::find(read.begin(), read.end(), "pm2_app_unplanned_exits_5m") != read.end();
}

std::string WhyNotTrusted(const v1::Config& config, const v1::Signal& signal, const v1::Action& action) {
  if (ActionRisk(action) != v1::RISK_LOW && ActionRisk(action) != v1::RISK_MEDIUM) {
    return ActionName(action) + " is never automatic";
  }
  if (EndsProcess(action) && !NamesProcess(signal) && !NamesSession(action)) {
    return "nothing tells which process of " + TargetOf(action) + " it was that " + signal.alert() +
           " is about";
  }
  const v1::AlertRule* alert = FindAlert(config, signal.alert());
  if (alert == nullptr) return "no loaded rule is named " + signal.alert();
  if (alert->provenance().empty())
    return "nobody says who could have made up what " + signal.alert() + " reads";
  for (const std::string& who : alert->provenance()) {
    if (who == "kernel" || who == "daemon") continue;
    if (who != "probe") return signal.alert() + " reads what the " + who + " itself says";
    if (ActionRisk(action) != v1::RISK_LOW) {
      return signal.alert() + " rests on a probe, and " + ActionName(action) + " is not of low risk";
    }
    if (signals::AppOf(signal).empty() || signals::AppOf(signal) != TargetOf(action)) {
      return signal.alert() + " rests on a probe that is not about " + TargetOf(action);
    }
  }
  return "";
}

std::string GroupOf(const v1::Action& action, const v1::Signal* cause) {
  const google::protobuf::Message* body = ActionBody(action);
  const bool names_app = body != nullptr && body->GetDescriptor()->FindFieldByName("app") != nullptr;
  if (names_app || cause == nullptr || signals::AppOf(*cause).empty()) return TargetOf(action);
  return signals::AppOf(*cause);
}

std::string GroupOf(const engine::State& state, const v1::Plan& plan) {
  auto cause = state.signals.find(plan.signal());
  return GroupOf(plan.action(), cause == state.signals.end() ? nullptr : &cause->second);
}

size_t GroupSize(const engine::State& state, const std::string& group, Micros now) {
  return state.index.app_hosts.Count(group, now - kDay);
}

size_t GroupUnhealthy(const engine::State& state, const std::string& group) {
  return state.index.ill_hosts.Count(group);
}

}  // namespace quell::policy
