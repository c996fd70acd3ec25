// May we act on this signal, with what, or why not: every answer is a Decision in the log, the negative ones
// too. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::policy {

// Looks at one firing signal of an open incident. Records nothing when the answer is the one recorded last.
engine::Outcome Consider(const engine::State& state, const std::string& signal, Micros now);
// A watch that a look set has answered: a newer sample, or a step's only_if.
engine::Outcome OnWatchEdge(const engine::State& state, const v1::WatchEdge& edge, Micros now);
// The signal to look at again after such an answer; "": none.
std::string ToLookAt(const v1::WatchEdge& edge);
// Such watches that got no answer.
engine::Outcome Due(const engine::State& state, Micros now);
Micros NextDue(const engine::State& state);  // of those watches and of decisions to look at again; 0: none
// Signals whose decision is to be looked at again by now.
std::vector<std::string> ToReconsider(const engine::State& state, Micros now);

// When a decision is to be looked at again: time alone may change it, and it still speaks for its signal, as
// the newest of its policy's. 0: never.
Micros RetryAt(const engine::State& state, const v1::Decision& decision);
std::string DecisionKey(const std::string& signal, const std::string& policy, uint32_t step);

}  // namespace quell::policy
