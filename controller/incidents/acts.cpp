#include "controller/incidents/acts.h"

#include "common/base/utf8.h"
#include "controller/incidents/correlate.h"
#include "controller/incidents/find.h"
#include "controller/signals/correlation.h"

namespace quell::incidents {
namespace {

using engine::IncidentEdit;
using engine::Outcome;
using engine::Refuse;
using engine::State;

constexpr size_t kLongestText = 4000;
constexpr size_t kLongestTitle = 300;

std::string Bounded(const std::string& text) { return std::string(CutUtf8(text, kLongestText)); }

Outcome NoSuch(const std::string& text) {
  if (text.empty()) return Refuse(3, "there is not exactly one open incident: name it");
  return Refuse(3, "there is no incident " + text + " that is open or was resolved within a day");
}

Outcome Done(IncidentEdit& edit, const v1::Incident& incident, std::string message) {
  Outcome out;
  out.Add(edit.Take());
  out.reply = engine::Reply{0, std::move(message), "incident", incident.id()};
  return out;
}

std::string Number(const v1::Incident& incident) { return "#" + std::to_string(incident.number()); }

void MarkResponded(const v1::Incident& incident, Micros now, IncidentEdit& edit) {
  if (incident.responded_us() == 0) {
    edit.With(v1::Incident::kRespondedUsFieldNumber).set_responded_us(now);
  }
}

}  // namespace

void MarkAcknowledged(const v1::Incident& incident, const std::string& who, Micros now, IncidentEdit& edit) {
  if (incident.acknowledged_us() == 0) {
    edit.With(v1::Incident::kAcknowledgedUsFieldNumber).set_acknowledged_us(now);
    edit.With(v1::Incident::kAcknowledgedByFieldNumber).set_acknowledged_by(who);
  }
  edit.With(v1::Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(0);
  edit.With(v1::Incident::kPageAtUsFieldNumber).set_page_at_us(0);
  MarkResponded(incident, now, edit);
}

Outcome DeclareIncident(const State& state, const v1::Declare& act, const std::string& who, Micros now) {
  if (act.title().empty()) return Refuse(1, "an incident needs a title");
  v1::Payload payload;
  v1::Incident* incident = payload.mutable_incident_opened()->mutable_incident();
  incident->set_id(NewIncidentId(state, now));
  incident->set_number(state.next_incident);
  incident->set_title(std::string(CutUtf8(act.title(), kLongestTitle)));
  incident->set_severity(act.severity() == v1::SEVERITY_UNSPECIFIED ? v1::P2 : act.severity());
  incident->set_status(v1::INVESTIGATING);
  incident->set_group(act.service().empty() ? "declared:" + incident->id() : "service:" + act.service());
  if (!act.service().empty()) incident->add_services(act.service());
  for (auto set : {&v1::Incident::set_started_us, &v1::Incident::set_detected_us,
                   &v1::Incident::set_declared_us, &v1::Incident::set_quiet_us}) {
    (incident->*set)(now);
  }
  incident->set_declared_by(who);
  v1::TimelineEntry* entry = incident->add_timeline();
  entry->set_who(who);
  entry->set_kind("declared");
  entry->set_text(std::string(signals::NameOf(incident->severity())) + ": " + incident->title());
  Outcome out;
  out.reply = engine::Reply{0, "declared " + Number(*incident), "incident", incident->id()};
  out.Add(std::move(payload));
  return out;
}

Outcome Acknowledge(const State& state, const v1::IncidentAct& act, const std::string& who, Micros now) {
  const v1::Incident* incident = FindIncident(state, act.incident());
  if (incident == nullptr) return NoSuch(act.incident());
  if (!IsOpen(*incident)) return Refuse(1, Number(*incident) + " is resolved already");
  if (incident->acknowledged_us() != 0 && incident->acknowledge_by_us() == 0) {
    Outcome out;
    out.reply = engine::Reply{0, Number(*incident) + " was acknowledged by " + incident->acknowledged_by(),
                              "incident", incident->id()};
    return out;
  }
  IncidentEdit edit(incident->id());
  MarkAcknowledged(*incident, who, now, edit);
  edit.Entry(who, "acknowledged", act.text().empty() ? "acknowledged" : Bounded(act.text()));
  return Done(edit, *incident, "acknowledged " + Number(*incident));
}

Outcome Take(const State& state, const v1::IncidentAct& act, const std::string& who, Micros now) {
  const v1::Incident* incident = FindIncident(state, act.incident());
  if (incident == nullptr) return NoSuch(act.incident());
  if (!IsOpen(*incident)) return Refuse(1, Number(*incident) + " is resolved already");
  IncidentEdit edit(incident->id());
  MarkAcknowledged(*incident, who, now, edit);
  edit.With(v1::Incident::kTakenByFieldNumber).set_taken_by(who);
  edit.Entry(who, "taken", "took it: automation asks first from here on");
  return Done(edit, *incident, "you have " + Number(*incident) + "; automation asks first");
}

Outcome Note(const State& state, const v1::IncidentAct& act, const std::string& who, Micros now) {
  const v1::Incident* incident = FindIncident(state, act.incident());
  if (incident == nullptr) return NoSuch(act.incident());
  if (act.text().empty()) return Refuse(1, "a note needs a text");
  IncidentEdit edit(incident->id());
  MarkResponded(*incident, now, edit);
  edit.Entry(who, "note", Bounded(act.text()));
  return Done(edit, *incident, "noted in " + Number(*incident));
}

Outcome Resolve(const State& state, const v1::ResolveAct& act, const std::string& who, Micros now) {
  const v1::Incident* incident = FindIncident(state, act.incident());
  if (incident == nullptr) return NoSuch(act.incident());
  if (!IsOpen(*incident)) return Refuse(1, Number(*incident) + " is resolved already");
  if (act.cause().empty() && incident->severity() <= v1::P1) {
    return Refuse(1, "a P0 or P1 is resolved with its cause, or with --cause unknown");
  }
  IncidentEdit edit(incident->id());
  MarkAcknowledged(*incident, who, now, edit);
  edit.With(v1::Incident::kStatusFieldNumber).set_status(v1::RESOLVED);
  edit.With(v1::Incident::kResolvedUsFieldNumber).set_resolved_us(now);
  edit.With(v1::Incident::kMonitorUntilUsFieldNumber).set_monitor_until_us(0);
  edit.With(v1::Incident::kRootCauseFieldNumber).set_root_cause(Bounded(act.cause()));
  edit.With(v1::Incident::kResolutionFieldNumber).set_resolution(Bounded(act.fix()));
  if (incident->mitigated_us() == 0) {
    edit.With(v1::Incident::kMitigatedUsFieldNumber).set_mitigated_us(now);
  }
  edit.Entry(who, "status", "resolved: " + Bounded(act.fix().empty() ? act.cause() : act.fix()));
  std::string message = "resolved " + Number(*incident);
  if (incident->firing() > 0) {
    message += "; " + std::to_string(incident->firing()) + " of its signals still fire";
  }
  return Done(edit, *incident, std::move(message));
}

}  // namespace quell::incidents
