#include "controller/incidents/lifecycle.h"

#include "controller/incidents/find.h"

namespace quell::incidents {
namespace {

using engine::IncidentEdit;
using engine::Outcome;
using engine::State;

bool SomethingUnderWay(const State& state, const v1::Incident& incident) {
  for (const std::string& id : incident.commands()) {
    const v1::CommandEntry* command = engine::FindOrNull(state.commands, id);
    if (command != nullptr && InFlight(*command)) return true;
  }
  for (const std::string& id : incident.plans()) {
    const v1::Plan* plan = engine::FindOrNull(state.plans, id);
    if (plan != nullptr && IsOpen(*plan)) return true;
  }
  return false;
}

std::string ByWhom(const State& state, const v1::Incident& incident) {
  for (int i = incident.commands_size() - 1; i >= 0; --i) {
    const v1::CommandEntry* command = engine::FindOrNull(state.commands, incident.commands(i));
    if (command == nullptr || command->verification() != v1::VERIFIED) continue;
    return command->action() + " on " + command->host() + " by " + command->requested_by() + ", verified";
  }
  return "its signals cleared without an action of quell";
}

std::string Text(const v1::CommandEntry& command) {
  const std::string what = command.target() + " on " + command.host();
  const std::string why = command.reason().empty() ? "" : ": " + command.reason();
  switch (command.state()) {
    case v1::AWAITING_APPROVAL:
      return "waits for approval: " + what + why;
    case v1::DENIED:
      return "denied: " + what + why;
    case v1::ISSUED:
      return "issued: " + what;
    case v1::DELIVERED:
      return "delivered: " + what;
    case v1::RUNNING:
      return "started: " + what;
    case v1::SUCCEEDED:
      return "done: " + what + why;
    case v1::FAILED:
      return "failed: " + what + why;
    case v1::REFUSED:
      return "refused by the host: " + what + why;
    case v1::CANCELLED:
      return "cancelled: " + what + why;
    case v1::EXPIRED:
      return "expired: " + what + why;
    case v1::COMMAND_UNKNOWN:
      return "outcome unknown: " + what + why;
    default:
      return what + why;
  }
}

}  // namespace

Outcome Settle(const State& state, const std::string& id, Micros now) {
  const v1::Incident* incident = engine::FindOrNull(state.incidents, id);
  if (incident == nullptr || !IsOpen(*incident) || incident->status() == v1::MONITORING) return {};
  if (incident->signals().empty() || incident->firing() > 0) return {};
  if (SomethingUnderWay(state, *incident)) return {};
  const Micros monitoring = state.config.monitoring_us() == 0 ? kMonitoring : state.config.monitoring_us();
  IncidentEdit edit(id);
  edit.With(v1::Incident::kStatusFieldNumber).set_status(v1::MONITORING);
  edit.With(v1::Incident::kMitigatedUsFieldNumber).set_mitigated_us(now);
  edit.With(v1::Incident::kMonitorUntilUsFieldNumber).set_monitor_until_us(now + monitoring);
  edit.With(v1::Incident::kPageAtUsFieldNumber).set_page_at_us(0);
  edit.With(v1::Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(0);
  edit.Entry("quell", "status",
             "monitoring: " + ByWhom(state, *incident) + "; watching until " + FormatClock(now + monitoring));
  Outcome out;
  out.Add(edit.Take());
  return out;
}

Outcome OnCommand(const State& state, const v1::CommandEntry& command, Micros now) {
  const v1::Incident* incident = engine::FindOrNull(state.incidents, command.incident());
  if (incident == nullptr) return {};
  IncidentEdit edit(incident->id());
  edit.Entry(command.requested_by(), "command", CommandName(state, command) + " " + Text(command));
  if (command.state() == v1::ISSUED && incident->status() == v1::INVESTIGATING && !command.dry_run()) {
    edit.With(v1::Incident::kStatusFieldNumber).set_status(v1::MITIGATING);
  }
  if (command.state() == v1::ISSUED && incident->responded_us() == 0) {
    edit.With(v1::Incident::kRespondedUsFieldNumber).set_responded_us(now);
  }
  Outcome out;
  out.Add(edit.Take());
  return out;
}

Outcome Due(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.monitoring.Until(now)) {
    const v1::Incident& incident = state.incidents.at(id);
    IncidentEdit edit(id);
    edit.With(v1::Incident::kStatusFieldNumber).set_status(v1::RESOLVED);
    edit.With(v1::Incident::kResolvedUsFieldNumber).set_resolved_us(now);
    edit.With(v1::Incident::kMonitorUntilUsFieldNumber).set_monitor_until_us(0);
    edit.With(v1::Incident::kResolutionFieldNumber).set_resolution(ByWhom(state, incident));
    edit.Entry("quell", "status", "resolved: it stayed away while being watched");
    out.Add(edit.Take());
  }
  return out;
}

Micros NextDue(const State& state) { return state.index.monitoring.next(); }

Micros DueAt(const v1::Incident& incident) {
  return incident.status() == v1::MONITORING ? incident.monitor_until_us() : 0;
}

}  // namespace quell::incidents
