// From signals to incidents: a signal joins an open incident of its group, or opens one. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::incidents {

// A signal joins while one of the incident's signals fires, and for this long after.
inline constexpr Micros kJoinWindow = 10 * kMinute;

// A host may have so many open incidents that are about it alone. What its own rules raise beyond that, and
// what joins no other open incident, goes to one incident of the group "budget:HOST", which lists so many
// signals and pages once: a hostile agent makes no more noise than that. Resolved ones make room.
inline constexpr size_t kMostOpenOfHost = 20;
inline constexpr int kMostOverBudget = 200;
inline constexpr char kOverBudget[] = "budget:";

// After the edge was applied.
engine::Outcome OnSignalEdge(const engine::State& state, const std::string& key, Micros now);
bool IsOverBudget(const v1::Incident& incident);  // is that one of a host
// The name of the one host that an incident is about; "" when there are several, none, or it IsOverBudget.
std::string HostAboutAlone(const v1::Incident& incident);
// "INC-20261123-031207", with "-2" and so on when taken.
std::string NewIncidentId(const engine::State& state, Micros now);

}  // namespace quell::incidents
