// What people ask of commands: run, approve, deny. Pure; `who` is "person:NAME".
#pragma once
#include "controller/engine/outcome.h"

namespace quell::commands {

inline constexpr int kMostTargets = 1000;

// One host gets a command, more than one a plan. A hold, a host that won't act, and quell's own parts
// withhold all of it, and so does a plan that runs in the group.
engine::Outcome Run(const engine::State& state, const v1::RunAct& act, const std::string& who, Micros now);
// A command or a plan. Not by who asked for it; a hold withholds it still.
engine::Outcome Approve(const engine::State& state, const v1::CommandAct& act, const std::string& who,
                        Micros now);
// A plan that runs is stopped.
engine::Outcome Deny(const engine::State& state, const v1::CommandAct& act, const std::string& who,
                     Micros now);

}  // namespace quell::commands
