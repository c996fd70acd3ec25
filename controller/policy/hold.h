// Holds: automation, or part of it, stands still until a person says otherwise. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::policy {

// The hold that covers an act of this policy on this host, for an incident with these services; nullptr:
// none.
const v1::Hold* FindHold(const engine::State& state, const std::string& policy, const v1::Host* host,
                         const v1::Incident* incident, Micros now);
engine::Outcome SetHold(const engine::State& state, const v1::Hold& act, const std::string& who, Micros now);
engine::Outcome EndHold(const engine::State& state, const std::string& id, const std::string& who);
engine::Outcome DueHolds(const engine::State& state, Micros now);
Micros NextHoldEnd(const engine::State& state);  // 0: none

}  // namespace quell::policy
