// Keeps State::index. Called by Apply after each change to an entity, and for a whole state that came from a
// snapshot. What is indexed follows from the state alone, so live state, replayed fold and standby agree.
#pragma once
#include <string>

#include "controller/engine/state.h"

namespace quell::engine {

// One entity as it stands now, or its absence.
void ReindexCommand(State& state, const std::string& id);
void EraseCommand(State& state, const std::string& id);  // out of the state, too
void ReindexIncident(State& state, const std::string& id);
// Its notices, and the decisions about its signals: after it opened, ended, was given up or left the state.
void ReindexOfIncident(State& state, const std::string& id);
void ReindexNotice(State& state, const std::string& key);
void ReindexWatch(State& state, const std::string& id);
void ReindexDecision(State& state, const std::string& key);
// All about a signal: they wait, or don't, by where it and its incident stand, and the newest speaks for a
// policy.
void ReindexDecisionsOf(State& state, const std::string& signal);
void ReindexSignal(State& state, const std::string& key);
void ReindexHost(State& state, const std::string& id);
void ReindexCount(State& state, const std::string& key);
// Everything: after a snapshot was read, and after the configuration changed.
void ReindexAll(State& state);

}  // namespace quell::engine
