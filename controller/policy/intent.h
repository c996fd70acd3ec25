// What approvers are shown and sign: the intent of a command or of a plan, as bytes. Pure, and the same bytes
// from the same state: they are made once, when it begins to wait, and kept.
#pragma once
#include <string>

#include "controller/engine/state.h"

namespace quell::policy {

// How long a proposal of this policy (or of none) waits for a person.
Micros ApprovalTime(const engine::State& state, const std::string& policy);

// An Intent, serialised; its lines of evidence say what a person needs to decide. It expires a little after
// the time to approve: a command has to be handed over then, a plan has its waves to go.
std::string IntentOf(const engine::State& state, const v1::CommandEntry& command);
std::string IntentOf(const engine::State& state, const v1::Plan& plan);

}  // namespace quell::policy
