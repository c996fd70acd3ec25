// Whom to tell, and when to wake somebody: the page modes, the walk up the audience, copies for routes. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::notify {

inline constexpr Micros kAcknowledgeWithin = 5 * kMinute;  // when the configuration names none
inline constexpr Micros kUnlessVerifiedIn = 90 * kSecond;  // P1's default, and its grace without a remedy
inline constexpr Micros kGrace = 5 * kMinute;              // P2 without a remedy under way
inline constexpr Micros kBetweenPages = 5 * kMinute;       // after a page, before a relapse pages again

engine::Outcome OnIncidentOpened(const engine::State& state, const std::string& incident, Micros now);
engine::Outcome OnIncidentChanged(const engine::State& state, const v1::IncidentChanged& change, Micros now);
engine::Outcome OnDecision(const engine::State& state, const v1::Decision& decision, Micros now);
// A command's end may schedule a page: an approval that expired walks on.
engine::Outcome OnCommand(const engine::State& state, const v1::CommandEntry& command, Micros now);
// A plan asks, was not answered, or failed.
engine::Outcome OnPlan(const engine::State& state, const v1::Plan& plan, Micros now);
engine::Outcome NotifyTest(const engine::State& state, const v1::NotifyTest& act, const std::string& who,
                           Micros now);
engine::Outcome DuePages(const engine::State& state, Micros now);
Micros NextPage(const engine::State& state);  // 0: none
Micros PageAt(const v1::Incident& incident);  // when DuePages has something to say about it; 0: never

// What its policies say, else its severity: how and after how long an incident wakes somebody.
struct Mode {
  v1::PageMode mode = v1::PAGE_MODE_UNSPECIFIED;  // unspecified: never
  Micros after = 0;                               // 0: at once; else unless verified by then
};
Mode ModeOf(const engine::State& state, const v1::Incident& incident);

}  // namespace quell::notify
