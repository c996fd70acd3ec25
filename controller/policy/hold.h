// Holds: automation, or part of it, stands still until a person says otherwise. Pure.
#pragma once
#include <string>
#include <string_view>

#include "controller/engine/outcome.h"

namespace quell::policy {

// What is about to be done. A hold of a service covers it by the incident's services, by the app or
// deployment that it is done to, by the database whose sessions it ends, and by its group.
struct Intended {
  std::string_view policy;
  const v1::Host* host = nullptr;
  const v1::Incident* incident = nullptr;  // nullptr: outside one
  const v1::Action& action;
  std::string group;  // of the blast radius
};
Intended IntendedBy(const engine::State& state, const v1::CommandEntry& command);

bool Covers(const engine::State& state, const v1::Hold& hold, const Intended& what);
// The hold in force that covers it; nullptr: none.
const v1::Hold* FindHold(const engine::State& state, const Intended& what, Micros now);
engine::Outcome SetHold(const engine::State& state, const v1::Hold& act, const std::string& who, Micros now);
engine::Outcome EndHold(const engine::State& state, const std::string& id, const std::string& who);
engine::Outcome DueHolds(const engine::State& state, Micros now);
Micros NextHoldEnd(const engine::State& state);  // 0: none

}  // namespace quell::policy
