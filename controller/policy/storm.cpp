#include "controller/policy/storm.h"

#include <algorithm>
#include <map>

#include "controller/engine/outcome.h"
#include "controller/policy/bind.h"
#include "controller/policy/changed.h"
#include "controller/policy/guards.h"
#include "controller/policy/match.h"
#include "controller/policy/policy.h"
#include "controller/signals/correlation.h"

namespace quell::policy {

using engine::State;

Micros Storm::SettledAt() const { return std::min(newest_us + kStormSettles, first_us + kStormAtMost); }

bool MayBePlan(const v1::PolicyStep& step) {
  return step.action() == "release.rollback" && step.only_if_changed_within_us() != 0;
}

Storm FindStorm(const State& state, const v1::Incident& incident, const v1::Signal& signal,
                const v1::PolicyStep& step, const v1::Action& action, Micros now) {
  Storm storm;
  std::map<std::string, const v1::Host*> hosts;  // by name
  for (const std::string& key : incident.signals()) {
    auto it = state.signals.find(key);
    if (it == state.signals.end() || it->second.state() != v1::FIRING) continue;
    const v1::Signal& other = it->second;
    if (other.alert() != signal.alert() || signals::AppOf(other) != signals::AppOf(signal)) continue;
    const v1::Host* host = HostOf(state, other);
    auto its = BindStep(step, other);
    if (!its.ok() || Describe(*its) != Describe(action)) continue;
    if (!HostWontAct(host, step.action()).empty()) continue;
    const v1::Change* change = ChangeBehind(state, other, action, step.only_if_changed_within_us(), now);
    if (change == nullptr) continue;
    hosts.emplace(host->name(), host);
    if (storm.change == nullptr || change->at_us() > storm.change->at_us()) storm.change = change;
    storm.first_us = engine::Earlier(storm.first_us, other.edge_us());
    storm.newest_us = std::max(storm.newest_us, other.edge_us());
  }
  for (const auto& [name, host] : hosts) storm.hosts.push_back(host);
  return storm;
}

Micros WaitsForStorm(const State& state, const v1::Incident& incident, const v1::Signal& signal,
                     const v1::Policy& policy, Micros now) {
  for (const std::string& key : incident.signals()) {
    if (key == signal.key()) continue;
    for (uint32_t step = 0; step < static_cast<uint32_t>(policy.steps_size()); ++step) {
      auto it = state.decisions.find(DecisionKey(key, policy.name(), step));
      if (it == state.decisions.end() || it->second.guard() != "storm") continue;
      if (it->second.retry_us() > now && it->second.incident() == incident.id()) return it->second.retry_us();
    }
  }
  return 0;
}

}  // namespace quell::policy
