#include "controller/policy/hold.h"

#include <algorithm>

#include "controller/policy/bind.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

using engine::Outcome;
using engine::State;

// "deploy/portal" is held under that name, and under "portal".
bool IsNamed(const std::string& target, const std::string& name) {
  return target == name || target.substr(target.find('/') + 1) == name;
}

// A service that has a name of its own is held by its app's or database's name as well.
bool IsAbout(const v1::Signal& signal, const std::string& name) {
  return signals::LabelOf(signal, "app") == name || signals::AppOf(signal) == name ||
         signals::LabelOf(signal, "datname") == name;
}

bool IsOfService(const State& state, const v1::Incident& incident, const std::string& name) {
  const auto& services = incident.services();
  if (std::find(services.begin(), services.end(), name) != services.end()) return true;
  return std::any_of(incident.signals().begin(), incident.signals().end(), [&](const std::string& key) {
    const v1::Signal* signal = engine::FindOrNull(state.signals, key);
    return signal != nullptr && IsAbout(*signal, name);
  });
}

bool IsAbout(const State& state, const Intended& what, const std::string& service) {
  if (IsNamed(what.group, service) || IsNamed(TargetOf(what.action), service)) return true;
  if (what.action.postgres_terminate().database() == service ||
      what.action.postgres_cancel().database() == service) {
    return true;
  }
  return what.incident != nullptr && IsOfService(state, *what.incident, service);
}

std::string CheckScope(const State& state, const std::string& scope) {
  if (scope == "all") return "";
  const size_t colon = scope.find(':');
  const std::string kind = scope.substr(0, colon);
  const std::string name = colon == std::string::npos ? "" : scope.substr(colon + 1);
  if (name.empty() || (kind != "service" && kind != "policy" && kind != "host")) {
    return "a hold's scope is all, service:NAME, policy:NAME or host:NAME";
  }
  if (kind == "host") {
    for (const auto& [id, host] : state.hosts) {
      if (!host.deleted() && (id == name || host.name() == name)) return "";
    }
    return "there is no host " + name;
  }
  if (kind == "policy") {
    for (const v1::Policy& policy : state.config.policies()) {
      if (policy.name() == name) return "";
    }
    return "there is no policy " + name;
  }
  return "";
}

v1::Payload Ended(const std::string& id, const std::string& by) {
  v1::Payload payload;
  payload.mutable_hold_ended()->set_id(id);
  payload.mutable_hold_ended()->set_by(by);
  return payload;
}

}  // namespace

bool Covers(const State& state, const v1::Hold& hold, const Intended& what) {
  const std::string& scope = hold.scope();
  if (scope == "all") return true;
  const size_t colon = scope.find(':');
  if (colon == std::string::npos) return true;  // what can't be read holds everything
  const std::string kind = scope.substr(0, colon), name = scope.substr(colon + 1);
  if (kind == "policy") return name == what.policy;
  if (kind == "host") return what.host != nullptr && (what.host->name() == name || what.host->id() == name);
  return kind != "service" || IsAbout(state, what, name);
}

Intended IntendedBy(const State& state, const v1::CommandEntry& command) {
  return {command.policy(), engine::FindOrNull(state.hosts, command.host_id()),
          engine::FindOrNull(state.incidents, command.incident()), command.typed(), command.group()};
}

const v1::Hold* FindHold(const State& state, const Intended& what, Micros now) {
  for (const auto& [id, hold] : state.holds) {
    if (hold.until_us() != 0 && hold.until_us() <= now) continue;
    if (Covers(state, hold, what)) return &hold;
  }
  return nullptr;
}

Outcome SetHold(const State& state, const v1::Hold& act, const std::string& who, Micros now) {
  if (std::string wrong = CheckScope(state, act.scope()); !wrong.empty()) {
    return engine::Refuse(act.scope().find(':') == std::string::npos ? 1 : 3, wrong);
  }
  if (act.until_us() != 0 && act.until_us() <= now)
    return engine::Refuse(1, "the hold would have ended already");
  v1::Payload payload;
  v1::Hold* hold = payload.mutable_hold_set()->mutable_hold();
  *hold = act;
  hold->set_id("H-" + std::to_string(state.seq));  // the seq of the act's own record
  hold->set_by(who);
  hold->set_since_us(now);
  Outcome out;
  out.reply = engine::Reply{0, "on hold: " + hold->scope(), "hold", hold->id()};
  out.Add(std::move(payload));
  return out;
}

Outcome EndHold(const State& state, const std::string& id, const std::string& who) {
  if (!state.holds.contains(id)) return engine::Refuse(3, "there is no hold " + id);
  Outcome out;
  out.Add(Ended(id, who));
  out.reply = engine::Reply{0, "ended hold " + id, "hold", id};
  return out;
}

Outcome DueHolds(const State& state, Micros now) {
  Outcome out;
  for (const auto& [id, hold] : state.holds) {
    if (hold.until_us() != 0 && hold.until_us() <= now) out.Add(Ended(id, "quell"));
  }
  return out;
}

Micros NextHoldEnd(const State& state) {
  Micros next = 0;
  for (const auto& [id, hold] : state.holds) next = engine::Earlier(next, hold.until_us());
  return next;
}

}  // namespace quell::policy
