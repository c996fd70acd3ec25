#include "controller/engine/reindex.h"

#include <utility>

#include "controller/commands/ledger.h"
#include "controller/engine/outcome.h"
#include "controller/incidents/correlate.h"
#include "controller/incidents/find.h"
#include "controller/incidents/lifecycle.h"
#include "controller/notify/outbox.h"
#include "controller/notify/paging.h"
#include "controller/policy/match.h"
#include "controller/policy/policy.h"
#include "controller/policy/steps.h"
#include "controller/policy/waiting.h"
#include "controller/signals/correlation.h"
#include "controller/verify/verify.h"

namespace quell::engine {
namespace {

// A notice that is over leaves the state with its incident.
void ReindexNoticesOf(State& state, const std::string& incident) {
  const std::string prefix = incident + "/";
  for (auto it = state.notices.lower_bound(prefix); it != state.notices.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    ReindexNotice(state, it->first);
  }
}

template <typename Map>
void Each(State& state, const Map& map, void (*reindex)(State&, const std::string&)) {
  for (const auto& [id, entity] : map) reindex(state, id);
}

}  // namespace

void ReindexCommand(State& state, const std::string& id) {
  Index& index = state.index;
  static const v1::CommandEntry& none = *new v1::CommandEntry;
  const v1::CommandEntry* found = FindOrNull(state.commands, id);
  const v1::CommandEntry& command = found == nullptr ? none : *found;
  const bool in_flight = found != nullptr && incidents::InFlight(command);
  index.commands.Set(id, found == nullptr ? 0 : commands::DueAt(command));
  index.verifications.Set(id, found == nullptr ? 0 : verify::DueAt(state, command));
  index.ended_commands.Set(id, command.incident().empty() ? command.finished_us() : 0);
  index.commands_of_signal.Put(id, command.signal());
  index.in_flight_of_group.Put(id, in_flight ? command.group() : "");
  index.in_flight_of_host.Put(id, in_flight ? command.host_id() : "");
  index.called_back_of_host.Put(id, commands::IsCalledBack(command) ? command.host_id() : "");
  if (found != nullptr) index.commands_of_group.Put({command.proposed_us(), id}, command.group());
}

void EraseCommand(State& state, const std::string& id) {
  auto found = state.commands.find(id);
  if (found == state.commands.end()) return;
  state.index.commands_of_group.Put({found->second.proposed_us(), id}, "");
  state.commands.erase(found);
  ReindexCommand(state, id);
}

void ReindexIncident(State& state, const std::string& id) {
  Index& index = state.index;
  const v1::Incident* incident = FindOrNull(state.incidents, id);
  const bool open = incident != nullptr && incidents::IsOpen(*incident);
  index.monitoring.Set(id, incident == nullptr ? 0 : incidents::DueAt(*incident));
  index.pages.Set(id, incident == nullptr ? 0 : notify::PageAt(*incident));
  index.ended_incidents.Set(id,
                            incident == nullptr || open ? 0 : std::max<Micros>(1, incident->resolved_us()));
  index.open_incidents.Put(id, open ? incident->group() : "");
  index.incidents_of_host.Put(id, open ? incidents::HostAboutAlone(*incident) : "");
}

void ReindexNotice(State& state, const std::string& key) {
  const v1::Notice* notice = FindOrNull(state.notices, key);
  const bool orphan =
      notice != nullptr && notify::IsOver(*notice) && !state.incidents.contains(notice->incident());
  state.index.ended_notices.Set(key, orphan ? notice->queued_us() : 0);
  const std::string queue = key.substr(0, key.rfind('/') + 1);
  state.index.notices.Set(queue, notify::DueAt(state, queue));
}

void ReindexWatch(State& state, const std::string& id) {
  const v1::Watch* watch = FindOrNull(state.watches, id);
  const bool confirms = watch != nullptr && policy::IsConfirm(id);
  const bool asks = confirms || (watch != nullptr && policy::IsOnlyIf(id));
  v1::Signal about;
  if (confirms) *about.mutable_labels() = watch->labels();
  state.index.questions.Set(id, asks ? watch->until_us() : 0);
  state.index.confirms_of_group.Put(id, signals::AppOf(about));
  const std::string verified = verify::CommandOf(id);
  if (state.commands.contains(verified)) ReindexCommand(state, verified);
}

void ReindexDecision(State& state, const std::string& key) {
  const v1::Decision* decision = FindOrNull(state.decisions, key);
  state.index.retries.Set(key, decision == nullptr ? 0 : policy::RetryAt(state, *decision));
  const policy::Waiting waits = decision == nullptr ? policy::Waiting() : policy::WaitsFor(state, *decision);
  state.index.waiting_for_turn.Put(key, waits.turn);
  state.index.waiting_for_fleet.Put(key, waits.fleet);
}

void ReindexDecisionsOf(State& state, const std::string& signal) {
  const std::string prefix = signal + "|";
  for (auto it = state.decisions.lower_bound(prefix); it != state.decisions.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    ReindexDecision(state, it->first);
  }
}

void ReindexSignal(State& state, const std::string& key) {
  Index& index = state.index;
  const v1::Signal* signal = FindOrNull(state.signals, key);
  const bool firing = signal != nullptr && signal->state() == v1::FIRING;
  index.signals_of_host.Put(key, signal == nullptr ? "" : signal->host_id());
  index.ill_hosts.Put(key, firing ? signals::AppOf(*signal) : "",
                      firing ? std::string(signals::LabelOf(*signal, "instance")) : "");
  ReindexDecisionsOf(state, key);
}

void ReindexHost(State& state, const std::string& id) {
  const v1::Host* host = FindOrNull(state.hosts, id);
  if (host != nullptr && host->revoked()) host = nullptr;  // out of the fleet: counted and found by nothing
  state.index.hosts_of_name.Put(id, host == nullptr ? "" : host->name());
  if (host == nullptr) return state.index.app_hosts.Put(id, false, 0, {});
  state.index.app_hosts.Put(id, host->liveness() == v1::CONNECTED, host->seen_us(),
                            {host->apps().begin(), host->apps().end()});
}

void ReindexCount(State& state, const std::string& key) {
  const v1::GuardCount* count = FindOrNull(state.counts, key);
  const bool some = count != nullptr && !count->at_us().empty();
  state.index.counts.Set(key, some ? count->at_us(count->at_us_size() - 1) : 0);
}

void ReindexOfIncident(State& state, const std::string& id) {
  ReindexNoticesOf(state, id);
  const v1::Incident* incident = FindOrNull(state.incidents, id);
  if (incident == nullptr) return;
  for (const std::string& signal : incident->signals()) ReindexDecisionsOf(state, signal);
}

void ReindexAll(State& state) {
  state.index = Index();
  Each(state, state.hosts, &ReindexHost);
  Each(state, state.signals, &ReindexSignal);
  Each(state, state.incidents, &ReindexIncident);
  Each(state, state.commands, &ReindexCommand);
  Each(state, state.notices, &ReindexNotice);
  Each(state, state.watches, &ReindexWatch);
  Each(state, state.decisions, &ReindexDecision);
  Each(state, state.counts, &ReindexCount);
}

}  // namespace quell::engine
