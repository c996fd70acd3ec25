// What people do to incidents. Pure; `who` is "person:NAME". `seq` is the act's own record.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::incidents {

engine::Outcome DeclareIncident(const engine::State& state, const v1::Declare& act, const std::string& who,
                                Micros now);
engine::Outcome Acknowledge(const engine::State& state, const v1::IncidentAct& act, const std::string& who,
                            Micros now);
engine::Outcome Take(const engine::State& state, const v1::IncidentAct& act, const std::string& who,
                     Micros now);
engine::Outcome Note(const engine::State& state, const v1::IncidentAct& act, const std::string& who,
                     Micros now);
engine::Outcome Resolve(const engine::State& state, const v1::ResolveAct& act, const std::string& who,
                        Micros now);
// Marks an acknowledgement in an edit: who, when, and that no deadline runs any more.
void MarkAcknowledged(const v1::Incident& incident, const std::string& who, Micros now,
                      engine::IncidentEdit& edit);

}  // namespace quell::incidents
