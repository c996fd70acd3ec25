#include "controller/commands/withheld.h"

#include "controller/engine/outcome.h"
#include "controller/policy/bind.h"
#include "controller/policy/guards.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"

namespace quell::commands {

using engine::FindOrNull;
using engine::State;

std::string Withheld(const State& state, const policy::Intended& what, Micros now) {
  if (policy::IsOwnTarget(what.action)) return policy::TargetOf(what.action) + " is part of quell itself";
  if (const v1::Hold* hold = policy::FindHold(state, what, now)) {
    return "hold " + hold->id() + " by " + hold->by() + ": " + hold->why();
  }
  return policy::HostWontAct(what.host, policy::ActionName(what.action));
}

const v1::Signal* SignalAbout(const State& state, const v1::Incident* incident, const v1::Host& host,
                              const v1::Action& action) {
  if (incident == nullptr) return nullptr;
  for (const std::string& key : incident->signals()) {
    const v1::Signal* signal = FindOrNull(state.signals, key);
    if (signal == nullptr || signal->state() != v1::FIRING) continue;
    if (policy::HostOf(state, *signal) != &host) continue;
    if (policy::GroupOf(action, signal) == signals::AppOf(*signal)) return signal;
  }
  return nullptr;
}

}  // namespace quell::commands
