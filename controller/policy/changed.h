// Which change, of those on record, may have brought a signal about. Pure.
#pragma once
#include "controller/engine/state.h"

namespace quell::policy {

// The newest change of the last `within` that is about what the signal is about; nullptr: none. A change of a
// host is about that host's signals; one without a host (told from outside) about those of its service. One
// that names an app is about that app alone. Against a rollback only releases, deployments and checkouts
// count, and none that a rollback of ours made.
const v1::Change* ChangeBehind(const engine::State& state, const v1::Signal& signal, const v1::Action& action,
                               Micros within, Micros now);

}  // namespace quell::policy
