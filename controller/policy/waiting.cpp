#include "controller/policy/waiting.h"

#include "controller/policy/bind.h"
#include "controller/policy/guards.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

// The group of what the decision's step would do; of the signal's own app where that can't be said.
std::string GroupOfStep(const v1::Config& config, const v1::Decision& decision, const v1::Signal& signal) {
  const v1::Policy* policy = FindPolicy(config, decision.policy());
  if (policy != nullptr && decision.step() < static_cast<uint32_t>(policy->steps_size())) {
    auto action = BindStep(policy->steps(static_cast<int>(decision.step())), signal);
    if (action.ok()) return GroupOf(*action, &signal);
  }
  return signals::AppOf(signal);
}

}  // namespace

std::string FleetKey(const std::string& policy, const std::string& group) { return policy + "|" + group; }

Waiting WaitsFor(const engine::State& state, const v1::Decision& decision) {
  const bool fleet = decision.guard() == "fleet";
  if (!fleet && decision.guard() != "group") return {};
  auto signal = state.signals.find(decision.signal());
  if (signal == state.signals.end() || signal->second.state() != v1::FIRING) return {};
  const std::string group = GroupOfStep(state.config, decision, signal->second);
  return fleet ? Waiting{"", FleetKey(decision.policy(), group)} : Waiting{group, ""};
}

std::vector<std::string> MayGoOn(const engine::State& state, const std::string& group, bool cleared,
                                 Micros now) {
  std::vector<std::string> signals;
  auto add = [&](const std::set<std::string>& decisions) {
    for (const std::string& key : decisions) signals.push_back(state.decisions.at(key).signal());
  };
  if (!cleared || GroupSize(state, group, now) < kSmallGroup) add(state.index.waiting_for_turn.Of(group));
  for (const v1::Policy& policy : state.config.policies()) {
    if (!TooManyIll(state, policy, group, now))
      add(state.index.waiting_for_fleet.Of(FleetKey(policy.name(), group)));
  }
  return signals;
}

}  // namespace quell::policy
