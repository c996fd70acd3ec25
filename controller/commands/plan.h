// Plans: one act over several hosts. The targets are listed in order when the plan is made, and none is added
// later; one approval is bound to the list. One host is first; when it is verified, waves of a tenth of the
// hosts follow (at least one host), each when the one before it was verified. The first that fails, is
// refused, or ends unknown stops the plan, and so do a hold, a target that won't act any more, and a person:
// what has not begun is left untouched. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::commands {

inline constexpr Micros kWaitForHost = 2 * kMinute;  // after a start of ours, for a target to be back

// How many hosts a wave of such a plan has, after the first host.
int WaveOf(size_t hosts);
// What follows now for a plan that runs: nothing, the next wave, or its end.
engine::Outcome AdvancePlan(const engine::State& state, const std::string& plan, Micros now);
// By a person; `plan` waits for approval, or is refused with a sentence.
engine::Outcome ApprovePlan(const engine::State& state, const v1::Plan& plan, const v1::CommandAct& act,
                            const std::string& who, Micros now);
// Of one that runs: it stops.
engine::Outcome DenyPlan(const engine::State& state, const v1::Plan& plan, const v1::CommandAct& act,
                         const std::string& who, Micros now);
// The incident has been taken: what others had running stops.
engine::Outcome PlansOnTaken(const engine::State& state, const std::string& incident, Micros now);
// A proposal is withdrawn when no signal of its targets fires any more.
engine::Outcome PlansOnCleared(const engine::State& state, const v1::Signal& signal, Micros now);
// What an ended plan leaves with no host yet is cancelled.
engine::Outcome OnPlanEnded(const engine::State& state, const v1::Plan& plan, Micros now);
// Proposals that nobody approved in time.
engine::Outcome DuePlans(const engine::State& state, Micros now);
// Running ones whose time to wait for a host is over.
std::vector<std::string> PlansToAdvance(const engine::State& state, Micros now);
Micros NextPlan(const engine::State& state);  // 0: none

// The running plan of a group; nullptr: none. While one runs, nothing else is begun there.
const v1::Plan* RunningPlan(const engine::State& state, const std::string& group);
// A command of it failed, was refused, did not help, or nobody knows: not merely stopped.
bool Failed(const engine::State& state, const v1::Plan& plan);

}  // namespace quell::commands
