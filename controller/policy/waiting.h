// Who waits for another one of a blast-radius group, and when they may go on. Pure.
#pragma once
#include <string>
#include <vector>

#include "controller/engine/state.h"

namespace quell::policy {

// What a decision about a signal that fires waits for.
struct Waiting {
  std::string turn;   // the group, when another one of it was in the way; "" when none
  std::string fleet;  // FleetKey, when too many of the group were ill; "" when they weren't
};
Waiting WaitsFor(const engine::State& state, const v1::Decision& decision);
std::string FleetKey(const std::string& policy, const std::string& group);

// Signals to look at again after a command or a look at a sample of the group ended, or (`cleared`) after one
// of its signals cleared: that alone gives nobody a turn in a group that is not small.
std::vector<std::string> MayGoOn(const engine::State& state, const std::string& group, bool cleared,
                                 Micros now);

}  // namespace quell::policy
