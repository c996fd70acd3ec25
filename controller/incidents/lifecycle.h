// The incident's own state machine: investigating, mitigating, monitoring, resolved. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::incidents {

inline constexpr Micros kMonitoring = 30 * kMinute;  // when the configuration names none

// What the incident's signals and commands make of it now: all clear and nothing on its way is monitoring.
engine::Outcome Settle(const engine::State& state, const std::string& incident, Micros now);
// A command of an incident was issued or changed: status and timeline.
engine::Outcome OnCommand(const engine::State& state, const v1::CommandEntry& command, Micros now);
// Monitoring that is over.
engine::Outcome Due(const engine::State& state, Micros now);
Micros NextDue(const engine::State& state);  // 0: none
Micros DueAt(const v1::Incident& incident);  // when Due has something to say about it; 0: never

}  // namespace quell::incidents
