// Management hears of it when somebody goes past the roles: an act by the controller's own socket once people
// have roles. A copy that wakes nobody, to the receiver named `management`, the first time in an hour of each
// person; what else they do in that hour is in the log and does not add to it. Pure.
#pragma once
#include <string>

#include "controller/engine/outcome.h"

namespace quell::notify {

inline constexpr char kManagement[] = "management";  // the receiver's name

bool TellsManagement(const v1::Config& config);  // there is such a receiver
// What an act is called among people: "approve", "hold", "person_set".
std::string NameOf(const v1::PersonAct& act);
engine::Outcome OnBreakGlass(const engine::State& state, const v1::PersonAct& act, Micros now);

}  // namespace quell::notify
