#include "controller/incidents/correlate.h"

#include <algorithm>

#include "common/base/utf8.h"
#include "controller/incidents/find.h"
#include "controller/signals/correlation.h"

namespace quell::incidents {
namespace {

using engine::IncidentEdit;
using engine::Outcome;
using engine::State;

constexpr size_t kLongestText = 2000;  // of what an annotation says

bool Joinable(const v1::Incident& incident, const std::string& group, Micros now) {
  if (!IsOpen(incident) || incident.group() != group) return false;
  return incident.firing() > 0 || now - incident.quiet_us() <= kJoinWindow;
}

const v1::Incident* FindToJoin(const State& state, const v1::Signal& signal, Micros now) {
  if (signals::IsSecurity(signal)) return nullptr;
  const std::string group = signals::GroupOf(signal);
  for (auto it = state.incidents.rbegin(); it != state.incidents.rend(); ++it) {
    if (Joinable(it->second, group, now)) return &it->second;
  }
  return nullptr;
}

void AddOnce(google::protobuf::RepeatedPtrField<std::string>* list, const std::string& known_in,
             const google::protobuf::RepeatedPtrField<std::string>& known) {
  if (known_in.empty() || std::find(known.begin(), known.end(), known_in) != known.end()) return;
  *list->Add() = known_in;
}

std::string Describe(const v1::Signal& signal) {
  std::string text = signals::TitleOf(signal);
  return text == signal.alert() ? text : signal.alert() + ": " + text;
}

void Relapse(const v1::Incident& incident, IncidentEdit& edit) {
  edit.With(v1::Incident::kStatusFieldNumber).set_status(v1::MITIGATING);
  edit.With(v1::Incident::kMonitorUntilUsFieldNumber).set_monitor_until_us(0);
  edit.With(v1::Incident::kMitigatedUsFieldNumber).set_mitigated_us(0);
  edit.With(v1::Incident::kRelapsesFieldNumber).set_relapses(incident.relapses() + 1);
  edit.Entry("quell", "status", "it came back while being watched: mitigating");
}

void RaiseSeverity(const v1::Incident& incident, const v1::Signal& signal, IncidentEdit& edit) {
  const v1::Severity severity = signals::SeverityOf(signal);
  if (severity >= incident.severity()) return;
  edit.With(v1::Incident::kSeverityFieldNumber).set_severity(severity);
  edit.Entry("quell", "severity",
             "raised to " + std::string(signals::NameOf(severity)) + " by " + signal.alert());
}

Outcome Join(const v1::Incident& incident, const v1::Signal& signal) {
  IncidentEdit edit(incident.id());
  edit.changed().add_add_signals(signal.key());
  AddOnce(edit.changed().mutable_add_hosts(), std::string(signals::LabelOf(signal, "instance")),
          incident.hosts());
  AddOnce(edit.changed().mutable_add_services(), signals::ServiceOf(signal), incident.services());
  edit.Entry("quell", "signal", Describe(signal));
  RaiseSeverity(incident, signal, edit);
  if (incident.status() == v1::MONITORING) Relapse(incident, edit);
  Outcome out;
  out.Add(edit.Take());
  return out;
}

Outcome Open(const State& state, const v1::Signal& signal, Micros now) {
  v1::Payload payload;
  v1::Incident* incident = payload.mutable_incident_opened()->mutable_incident();
  incident->set_id(NewIncidentId(state, now));
  incident->set_number(state.next_incident);
  incident->set_title(signals::TitleOf(signal));
  incident->set_description(std::string(CutUtf8(signals::AnnotationOf(signal, "description"), kLongestText)));
  incident->set_impact(std::string(CutUtf8(signals::AnnotationOf(signal, "impact"), kLongestText)));
  incident->set_severity(signals::SeverityOf(signal));
  incident->set_status(v1::INVESTIGATING);
  incident->set_category(std::string(signals::LabelOf(signal, "category")));
  incident->set_group(signals::GroupOf(signal));
  if (std::string service = signals::ServiceOf(signal); !service.empty()) incident->add_services(service);
  if (std::string_view host = signals::LabelOf(signal, "instance"); !host.empty()) {
    incident->add_hosts(std::string(host));
  }
  const Micros fired = signal.fired_us() == 0 ? now : signal.fired_us();
  incident->set_started_us(signal.active_since_us() == 0 ? fired : signal.active_since_us());
  incident->set_detected_us(fired);
  incident->set_declared_us(now);
  incident->set_declared_by("quell");
  incident->add_signals(signal.key());
  auto add = [&](const char* kind, std::string text) {
    v1::TimelineEntry* entry = incident->add_timeline();
    entry->set_who("quell");
    entry->set_kind(kind);
    entry->set_text(std::move(text));
  };
  add("signal", Describe(signal));
  add("declared", std::string(signals::NameOf(incident->severity())) + ": " + incident->title());
  Outcome out;
  out.Add(std::move(payload));
  return out;
}

Outcome OnFiring(const State& state, const v1::Signal& signal, Micros now) {
  const v1::Incident* incident = engine::FindOrNull(state.incidents, signal.incident());
  if (incident != nullptr && IsOpen(*incident)) {
    IncidentEdit edit(incident->id());
    if (signal.was() == v1::CLEARED) edit.Entry("quell", "signal", "again: " + Describe(signal));
    RaiseSeverity(*incident, signal, edit);
    if (incident->status() == v1::MONITORING) Relapse(*incident, edit);
    Outcome out;
    if (!edit.empty()) out.Add(edit.Take());
    return out;
  }
  // It fired when its incident was resolved and has fired ever since: that is not news.
  const bool was_raised = signal.was() == v1::FIRING || signal.was() == v1::HELD;
  if (was_raised && !signal.incident().empty()) return {};
  if (const v1::Incident* open = FindToJoin(state, signal, now)) return Join(*open, signal);
  return Open(state, signal, now);
}

}  // namespace

std::string NewIncidentId(const State& state, Micros now) {
  const std::string base = "INC-" + FormatCompact(now);
  std::string id = base;
  for (int n = 2; state.incidents.contains(id); ++n) id = base + "-" + std::to_string(n);
  return id;
}

Outcome OnSignalEdge(const State& state, const std::string& key, Micros now) {
  const v1::Signal* signal = engine::FindOrNull(state.signals, key);
  if (signal == nullptr) return {};
  if (signal->state() == v1::FIRING) return OnFiring(state, *signal, now);
  if (signal->state() != v1::CLEARED) return {};
  const v1::Incident* incident = engine::FindOrNull(state.incidents, signal->incident());
  if (incident == nullptr || !IsOpen(*incident)) return {};
  IncidentEdit edit(incident->id());
  edit.Entry("quell", "signal", "cleared: " + Describe(*signal));
  Outcome out;
  out.Add(edit.Take());
  return out;
}

}  // namespace quell::incidents
