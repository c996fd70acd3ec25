// The series that a PM2 daemon's state is told as; app_state.h says what rules make of them. Pure; labels are
// the caller's. `put(metric, value)`.
#pragma once
#include <functional>
#include <string_view>

#include "agent/collectors/pm2/app_state.h"

namespace quell::agent {

using PutValue = std::function<void(std::string_view metric, double value)>;

// Of the daemon.
void DaemonSeries(const Pm2State& state, const PutValue& put);
// Of an app, all that follows from state alone: an event of it carries these too.
void StateSeries(const AppState& state, Micros now, const PutValue& put);
// Of an app, what the list says of it.
void ListSeries(const v1::Pm2App& app, const PutValue& put);

}  // namespace quell::agent
