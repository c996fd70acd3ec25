// Did the remedy help? The command's own condition, on the command's own target, on samples newer than the
// outcome: it must come true in time and stay, and a sample from after that time must still show it. Another
// host's health verifies nothing. Pure.
#pragma once
#include <string>

#include "controller/engine/outcome.h"

namespace quell::verify {

// A command has just succeeded: its watch begins.
engine::Outcome OnSucceeded(const engine::State& state, const v1::CommandEntry& command, Micros now);
engine::Outcome OnWatchEdge(const engine::State& state, const v1::WatchEdge& edge, Micros now);
// Windows were empty while we were away: what was being verified gets its time anew.
engine::Outcome OnControllerStarted(const engine::State& state, Micros now);
// The incident was closed by a person, or its command's watch is of no use any more.
engine::Outcome Due(const engine::State& state, Micros now);
Micros NextDue(const engine::State& state);  // 0: none
// When Due has something to say about it; 0: never. Hangs on its watch as well.
Micros DueAt(const engine::State& state, const v1::CommandEntry& command);
std::string CommandOf(const std::string& watch);  // that this watch verifies; "": none

}  // namespace quell::verify
