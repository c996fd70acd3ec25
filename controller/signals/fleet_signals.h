// Signals that no rule makes: a lost host, sanctions that refuse everything, a host that knows a newer epoch
// or another log. They take the same way as a rule's, as edges with the source "engine". Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::signals {

inline constexpr char kHostLost[] = "HostLost";
inline constexpr char kSanctionsRefuse[] = "SanctionsRefuse";
inline constexpr char kHigherEpoch[] = "HigherEpoch";
inline constexpr char kOtherHistory[] = "OtherHistory";

// After the edge was applied. Also sets the hold that a higher epoch or another history asks for.
engine::Outcome OnHostEdge(const engine::State& state, const v1::HostEdge& edge, Micros now);
// A host that was revoked or deleted is not missed: what was said about it clears.
engine::Outcome OnHostChanged(const engine::State& state, const v1::Host& host, Micros now);
// Signals whose rule is no longer loaded clear: nothing evaluates them any more.
engine::Outcome OnConfigLoaded(const engine::State& state, Micros now);
// The hold of a higher epoch was ended by a person: what raised it clears.
engine::Outcome OnHoldEnded(const engine::State& state, const std::string& hold, Micros now);

}  // namespace quell::signals
