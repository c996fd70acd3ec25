// From what people type to an incident or a command. Pure.
#pragma once
#include <string>
#include <string_view>

#include "controller/engine/state.h"

namespace quell::incidents {

bool IsOpen(const v1::Incident& incident);
// An id, a unique prefix of one, "#417", "417", "last"; "" is the only open one. nullptr when there is none.
const v1::Incident* FindIncident(const engine::State& state, std::string_view text);
// An id, a unique prefix (8 digits at least), "417.2", "#417.2", "C-58". nullptr when there is none.
const v1::CommandEntry* FindCommand(const engine::State& state, std::string_view text);
// As FindCommand; plans are numbered together with commands.
const v1::Plan* FindPlan(const engine::State& state, std::string_view text);
// "417.2" or "C-58".
std::string CommandName(const engine::State& state, const v1::CommandEntry& command);
std::string PlanName(const engine::State& state, const v1::Plan& plan);
// Issued and not over, or being verified, or waiting for approval.
bool InFlight(const v1::CommandEntry& command);
// Waiting for approval, or running.
bool IsOpen(const v1::Plan& plan);

}  // namespace quell::incidents
