#include "controller/incidents/find.h"

#include <charconv>

namespace quell::incidents {
namespace {

constexpr size_t kLeastPrefix = 8;

// 0 when the text is not a number from 1 on.
uint64_t Number(std::string_view text) {
  if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

template <typename Map>
auto* UniquePrefix(const Map& map, std::string_view text) {
  auto it = map.lower_bound(std::string(text));
  const typename Map::mapped_type* found = nullptr;
  for (; it != map.end() && std::string_view(it->first).substr(0, text.size()) == text; ++it) {
    if (it->first == text) return &it->second;
    if (found != nullptr) return static_cast<decltype(found)>(nullptr);
    found = &it->second;
  }
  return found;
}

const v1::Incident* ByNumber(const engine::State& state, uint64_t number) {
  for (const auto& [id, incident] : state.incidents) {
    if (incident.number() == number) return &incident;
  }
  return nullptr;
}

const v1::Incident* OnlyOpen(const engine::State& state) {
  const v1::Incident* found = nullptr;
  for (const auto& [id, incident] : state.incidents) {
    if (!IsOpen(incident)) continue;
    if (found != nullptr) return nullptr;
    found = &incident;
  }
  return found;
}

const v1::Incident* Last(const engine::State& state) {
  const v1::Incident* found = nullptr;
  for (const auto& [id, incident] : state.incidents) {
    if (found == nullptr || incident.number() > found->number()) found = &incident;
  }
  return found;
}

template <typename Map>
const typename Map::mapped_type* ByNumberIn(const Map& map, const std::string& incident, uint64_t number) {
  for (const auto& [id, entry] : map) {
    if (entry.number() == number && entry.incident() == incident) return &entry;
  }
  return nullptr;
}

template <typename Map>
const typename Map::mapped_type* FindNumbered(const engine::State& state, const Map& map,
                                              std::string_view text) {
  if (text.size() > 2 && text.substr(0, 2) == "C-") return ByNumberIn(map, "", Number(text.substr(2)));
  if (size_t dot = text.find('.'); dot != std::string_view::npos) {
    const v1::Incident* incident = FindIncident(state, text.substr(0, dot));
    return incident == nullptr ? nullptr : ByNumberIn(map, incident->id(), Number(text.substr(dot + 1)));
  }
  return text.size() < kLeastPrefix ? nullptr : UniquePrefix(map, text);
}

std::string NameOf(const engine::State& state, const std::string& incident, uint64_t number) {
  auto it = state.incidents.find(incident);
  if (it == state.incidents.end()) return "C-" + std::to_string(number);
  return std::to_string(it->second.number()) + "." + std::to_string(number);
}

}  // namespace

bool IsOpen(const v1::Incident& incident) { return incident.status() < v1::RESOLVED; }

const v1::Incident* FindIncident(const engine::State& state, std::string_view text) {
  if (text.empty()) return OnlyOpen(state);
  if (text == "last") return Last(state);
  if (uint64_t number = Number(text); number != 0) {
    if (const v1::Incident* incident = ByNumber(state, number)) return incident;
  }
  return UniquePrefix(state.incidents, text);
}

const v1::CommandEntry* FindCommand(const engine::State& state, std::string_view text) {
  return FindNumbered(state, state.commands, text);
}

const v1::Plan* FindPlan(const engine::State& state, std::string_view text) {
  return FindNumbered(state, state.plans, text);
}

std::string CommandName(const engine::State& state, const v1::CommandEntry& command) {
  return NameOf(state, command.incident(), command.number());
}

std::string PlanName(const engine::State& state, const v1::Plan& plan) {
  return NameOf(state, plan.incident(), plan.number());
}

bool InFlight(const v1::CommandEntry& command) {
  switch (command.state()) {
    case v1::PROPOSED:
    case v1::AWAITING_APPROVAL:
    case v1::ISSUED:
    case v1::DELIVERED:
    case v1::RUNNING:
      return true;
    case v1::SUCCEEDED:
      return command.verification() == v1::VERIFYING || command.verification() == v1::HOLDING;
    default:
      return false;
  }
}

bool IsOpen(const v1::Plan& plan) {
  return plan.state() == v1::PLAN_AWAITING_APPROVAL || plan.state() == v1::PLAN_RUNNING;
}

}  // namespace quell::incidents
