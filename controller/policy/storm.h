// A storm: several hosts of one group ill with the same alert, and a change behind each. What may put it
// right is going back, on all of them, as one plan that a person agrees to. Pure.
#pragma once
#include <vector>

#include "controller/engine/state.h"

namespace quell::policy {

// How long the list of hosts has to stand still before it is proposed, and how long that is waited for.
inline constexpr Micros kStormSettles = 15 * kSecond;
inline constexpr Micros kStormAtMost = kMinute;

struct Storm {
  std::vector<const v1::Host*> hosts;  // that act, by name; each once
  const v1::Change* change = nullptr;  // the newest behind any of them
  Micros first_us = 0, newest_us = 0;  // of their signals' edges
  bool any() const { return hosts.size() > 1; }
  Micros SettledAt() const;
};
// True for a step that goes back because of a change: it may become a plan.
bool MayBePlan(const v1::PolicyStep& step);
// The hosts that `action`, bound from `signal`, would put right too.
Storm FindStorm(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
                const v1::PolicyStep& step, const v1::Action& action, Micros now);
// Until when another signal of the incident waits for its storm to settle, of which this one is a part; 0:
// none does.
Micros WaitsForStorm(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
                     const v1::Policy& policy, Micros now);

}  // namespace quell::policy
