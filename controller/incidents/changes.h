// Changes around an incident: those from two hours before its start on, of its hosts and services, are listed
// with it; one shortly before the start is named as its probable cause. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::incidents {

inline constexpr Micros kChangesBefore = 2 * kHour;
inline constexpr Micros kCauseBefore = 30 * kMinute;
inline constexpr int kMostChanges = 50;  // of one incident

// After it was opened.
engine::Outcome AddChanges(const engine::State& state, const v1::Incident& opened);
// After signals joined it: what they bring, so that a join costs the same however large the incident is.
engine::Outcome AddChangesOf(const engine::State& state, const std::string& incident,
                             const google::protobuf::RepeatedPtrField<std::string>& signals);
// A change was recorded, or has ended: the open incidents that it is about.
engine::Outcome OnChange(const engine::State& state, const v1::Change& change);

}  // namespace quell::incidents
