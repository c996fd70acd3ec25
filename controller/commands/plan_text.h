// Plans in words. Pure.
#pragma once
#include <string>

#include "controller/engine/outcome.h"

namespace quell::commands {

// "release.rollback deploy/portal on 2 hosts".
std::string What(const v1::Plan& plan);
// "web-1, web-2", the first twenty.
std::string HostNames(const v1::Plan& plan);
// The timeline's entry for a plan that was made or changed its state.
engine::Outcome TellPlan(const engine::State& state, const v1::Plan& plan);

}  // namespace quell::commands
