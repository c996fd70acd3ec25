// What keeps an act of a person, or one that a person approved, from being done. Pure.
#pragma once
#include <string>

#include "controller/policy/hold.h"

namespace quell::commands {

// Why nothing is done here now, "" when it may be.
std::string Withheld(const engine::State& state, const policy::Intended& what, Micros now);
// The firing signal of the incident about this target on this host: what the act is verified by. nullptr:
// none.
const v1::Signal* SignalAbout(const engine::State& state, const v1::Incident* incident, const v1::Host& host,
                              const v1::Action& action);

}  // namespace quell::commands
