// Which policy speaks for a signal, and what a group of targets is. Pure.
#pragma once
#include <string>

#include "controller/engine/state.h"

namespace quell::policy {

// The first policy, in the files' order, whose conditions all hold; nullptr when none does.
const v1::Policy* Match(const v1::Config& config, const v1::Signal& signal);
const v1::Policy* FindPolicy(const v1::Config& config, const std::string& name);
const v1::AlertRule* FindAlert(const v1::Config& config, const std::string& name);
// The host that a signal is about; nullptr for one that is about none.
const v1::Host* HostOf(const engine::State& state, const v1::Signal& signal);

// Who could have made a signal up, against what the action would do: kernel and daemon may act automatically;
// a probe only with a low-risk action on the probed app itself; everything else asks. The reason, or "".
std::string WhyNotTrusted(const v1::Config& config, const v1::Signal& signal, const v1::Action& action);

// An alert that counts exits is about an app whose processes keep ending: the one of its sample is gone by
// now, and what runs is no less the app that it is about.
bool IsAboutManyProcesses(const v1::Config& config, const v1::Signal& signal);

// What an act is one of: the app that it names; for an act that names none, the app that its cause is about,
// else its own target. `cause` may be null.
std::string GroupOf(const v1::Action& action, const v1::Signal* cause);
std::string GroupOf(const engine::State& state, const v1::Plan& plan);
// How many hosts run the app "USER/APP", of those seen within a day. 0: no host tells its apps, so the group
// counts as small.
size_t GroupSize(const engine::State& state, const std::string& group, Micros now);
// Of them, those with a firing signal about it.
size_t GroupUnhealthy(const engine::State& state, const std::string& group);

}  // namespace quell::policy
