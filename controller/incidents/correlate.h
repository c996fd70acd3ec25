// From signals to incidents: a signal joins an open incident of its group, or opens one. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::incidents {

// A signal joins while one of the incident's signals fires, and for this long after.
inline constexpr Micros kJoinWindow = 10 * kMinute;

// After the edge was applied.
engine::Outcome OnSignalEdge(const engine::State& state, const std::string& key, Micros now);
// "INC-20261123-031207", with "-2" and so on when taken.
std::string NewIncidentId(const engine::State& state, Micros now);

}  // namespace quell::incidents
