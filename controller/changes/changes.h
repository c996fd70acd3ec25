// Changes: what was done to hosts and services on purpose, as agents saw it (release, git, config, package)
// or as people and CI told it (deploy). They explain incidents; a deployment that is under way keeps
// automation from its service, and never keeps anything from being noticed. Pure.
//
// Labels of a change from an agent are its event's: user and app where they are known, path, from, to …; its
// service is the label `service`, else the app.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "controller/engine/outcome.h"

namespace quell::changes {

inline constexpr Micros kDefaultLength = 15 * kMinute;
inline constexpr Micros kLongest = 4 * kHour;
inline constexpr size_t kMostRunning = 100;  // at a time; a further one is refused
inline constexpr size_t kMostPerHost = 60;   // that an agent may tell within an hour; the rest stay events

// An event change.KIND of an agent becomes a Change; any other event nothing.
engine::Outcome OnAppEvent(const engine::State& state, const v1::AppEvent& event, Micros now);
// A deployment begins. `asked`: summary, service, until_us (0: kDefaultLength from now). `who` is
// "person:NAME" or "ci:NAME".
engine::Outcome Start(const engine::State& state, const v1::Change& asked, const std::string& who,
                      Micros now);
// One ends: by id, else the newest under way for the service, else the only one under way. A CI ends only
// what it began.
engine::Outcome Finish(const engine::State& state, const v1::ChangeFinish& asked, const std::string& who,
                       Micros now);

// Under way: begun, not finished and not past its end.
bool IsRunning(const v1::Change& change, Micros now);
// The one under way for any of these names of a service; of several the one that ends last. nullptr: none.
const v1::Change* FindRunning(const engine::State& state, const std::vector<std::string>& services,
                              Micros now);

std::string_view LabelOf(const v1::Change& change, std::string_view name);  // "" when absent
// "change.release web-1 portal 1.8.1 -> 1.8.2", "change.deploy portal 1.8.2 (CH-12)".
std::string Describe(const v1::Change& change);

}  // namespace quell::changes
