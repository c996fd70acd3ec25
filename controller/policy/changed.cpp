#include "controller/policy/changed.h"

#include "controller/changes/changes.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

using engine::State;

constexpr Micros kAfterRollback = kMinute;  // in which a host tells of the change that it was

// Both name one, and not the same.
bool Differ(std::string_view a, std::string_view b) { return !a.empty() && !b.empty() && a != b; }

bool IsRelease(const v1::Change& change) {
  return change.kind() == "release" || change.kind() == "git" || change.kind() == "deploy";
}

bool OfService(const v1::Change& change, const v1::Signal& signal) {
  const std::string& service = change.service();
  return service == signals::ServiceOf(signal) || service == signals::LabelOf(signal, "app") ||
         service == signals::AppOf(signal);
}

bool About(const v1::Change& change, const v1::Signal& signal, const v1::Host* host) {
  if (Differ(changes::LabelOf(change, "app"), signals::LabelOf(signal, "app"))) return false;
  if (Differ(changes::LabelOf(change, "user"), signals::LabelOf(signal, "user"))) return false;
  if (!change.service().empty() && !OfService(change, signal)) return false;
  if (change.host_id().empty() && change.host().empty()) return !change.service().empty();
  if (host == nullptr) return false;
  return change.host_id().empty() ? change.host() == host->name() : change.host_id() == host->id();
}

// A rollback is a change as well, and never the reason for the next one.
bool ByOurRollback(const State& state, const v1::Change& change) {
  if (change.host_id().empty()) return false;
  for (const auto& [id, command] : state.commands) {
    if (!command.typed().has_release_rollback() || command.host_id() != change.host_id()) continue;
    if (command.started_us() == 0 || change.at_us() < command.started_us()) continue;
    if (command.finished_us() == 0 || change.at_us() <= command.finished_us() + kAfterRollback) return true;
  }
  return false;
}

}  // namespace

const v1::Change* ChangeBehind(const State& state, const v1::Signal& signal, const v1::Action& action,
                               Micros within, Micros now) {
  const v1::Host* host = HostOf(state, signal);
  const v1::Change* newest = nullptr;
  for (const auto& [id, change] : state.changes) {
    if (change.at_us() > now || change.at_us() + within <= now) continue;
    if (newest != nullptr && newest->at_us() >= change.at_us()) continue;
    if (action.has_release_rollback() && !IsRelease(change)) continue;
    if (About(change, signal, host) && !ByOurRollback(state, change)) newest = &change;
  }
  return newest;
}

}  // namespace quell::policy
