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

bool Joinable(const v1::Incident& incident, Micros now) {
  return incident.firing() > 0 || now - incident.quiet_us() <= kJoinWindow;
}

// The newest of those that are open.
const v1::Incident* FindToJoin(const State& state, const v1::Signal& signal, Micros now) {
  if (signals::IsSecurity(signal)) return nullptr;
  const auto& open = state.index.open_incidents.Of(signals::GroupOf(signal));
  for (auto id = open.rbegin(); id != open.rend(); ++id) {
    if (const v1::Incident& incident = state.incidents.at(*id); Joinable(incident, now)) return &incident;
  }
  return nullptr;
}

void AddOnce(google::protobuf::RepeatedPtrField<std::string>* list, const std::string& known_in,
             const google::protobuf::RepeatedPtrField<std::string>& known) {
  if (known_in.empty() || std::find(known.begin(), known.end(), known_in) != known.end()) return;
  *list->Add() = known_in;
}

// What a security signal says is not for all who read of another incident.
std::string Describe(const v1::Signal& signal, const v1::Incident& incident) {
  if (signals::IsSecurity(signal) && incident.category() != "security") return "a security signal";
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
  edit.Entry("quell", "signal", Describe(signal, incident));
  RaiseSeverity(incident, signal, edit);
  if (incident.status() == v1::MONITORING) Relapse(incident, edit);
  Outcome out;
  out.Add(edit.Take());
  return out;
}

void Add(v1::Incident* incident, const char* kind, std::string text) {
  v1::TimelineEntry* entry = incident->add_timeline();
  entry->set_who("quell");
  entry->set_kind(kind);
  entry->set_text(std::move(text));
}

// What is known of it from its first signal.
v1::Payload Opened(const State& state, const v1::Signal& signal, Micros now) {
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
  Add(incident, "signal", Describe(signal, *incident));
  return payload;
}

Outcome Declare(v1::Payload payload) {
  v1::Incident* incident = payload.mutable_incident_opened()->mutable_incident();
  Add(incident, "declared", std::string(signals::NameOf(incident->severity())) + ": " + incident->title());
  Outcome out;
  out.Add(std::move(payload));
  return out;
}

// The name of the host whose own rules raised it; "" when more than one host had a part in it.
std::string OwnHost(const State& state, const v1::Signal& signal) {
  if (signal.host_id().empty()) return "";
  const v1::Host* host = engine::FindOrNull(state.hosts, signal.host_id());
  return host == nullptr ? std::string(signals::LabelOf(signal, "instance")) : host->name();
}

// Someone may be making them up: it is told once, and nothing is done about it automatically.
Outcome OpenOverBudget(const State& state, const v1::Signal& signal, const std::string& host, Micros now) {
  v1::Payload payload = Opened(state, signal, now);
  v1::Incident* incident = payload.mutable_incident_opened()->mutable_incident();
  const std::string open = std::to_string(kMostOpenOfHost) + " incidents about " + host + " alone are open: ";
  incident->set_title(host + " is over its budget of incidents");
  incident->set_description(open + "what else it raises is listed here, " + std::to_string(kMostOverBudget) +
                            " signals at most, without a page of its own and without an automatic remedy");
  incident->set_impact("");
  incident->set_severity(std::min(incident->severity(), v1::P2));  // a person hears of it
  incident->set_category("");
  incident->set_group(kOverBudget + host);
  incident->clear_timeline();
  Add(incident, "budget", open + "what else it raises joins this one");
  Add(incident, "signal", Describe(signal, *incident));
  return Declare(std::move(payload));
}

// No longer listed; told each time that their number has doubled.
Outcome CountOverBudget(const State& state, const v1::Incident& incident, const v1::Signal& signal) {
  const size_t raised = state.index.signals_of_host.Of(signal.host_id()).size();
  if (raised <= static_cast<size_t>(kMostOverBudget) || (raised & (raised - 1)) != 0) return {};
  IncidentEdit edit(incident.id());
  edit.Entry("quell", "budget", std::to_string(raised) + " signals of its are known now; no more are listed");
  Outcome out;
  out.Add(edit.Take());
  return out;
}

Outcome OverBudget(const State& state, const v1::Signal& signal, const std::string& host, Micros now) {
  const auto& open = state.index.open_incidents.Of(kOverBudget + host);
  if (open.empty()) return OpenOverBudget(state, signal, host, now);
  const v1::Incident& incident = state.incidents.at(*open.rbegin());
  if (incident.signals_size() >= kMostOverBudget) return CountOverBudget(state, incident, signal);
  return Join(incident, signal);
}

Outcome OnFiring(const State& state, const v1::Signal& signal, Micros now) {
  const v1::Incident* incident = engine::FindOrNull(state.incidents, signal.incident());
  if (incident != nullptr && IsOpen(*incident)) {
    IncidentEdit edit(incident->id());
    if (signal.was() == v1::CLEARED) edit.Entry("quell", "signal", "again: " + Describe(signal, *incident));
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
  const std::string host = OwnHost(state, signal);
  if (state.index.incidents_of_host.Of(host).size() >= kMostOpenOfHost)
    return OverBudget(state, signal, host, now);
  return Declare(Opened(state, signal, now));
}

}  // namespace

bool IsOverBudget(const v1::Incident& incident) { return incident.group().rfind(kOverBudget, 0) == 0; }

std::string HostAboutAlone(const v1::Incident& incident) {
  return incident.hosts_size() == 1 && !IsOverBudget(incident) ? incident.hosts(0) : "";
}

// Those of one second bear numbers without a gap: the first free one is found by halving.
std::string NewIncidentId(const State& state, Micros now) {
  const std::string base = "INC-" + FormatCompact(now);
  auto id = [&](uint64_t n) { return n == 1 ? base : base + "-" + std::to_string(n); };
  uint64_t taken = 0, free = 1;
  while (state.incidents.contains(id(free))) taken = free, free *= 2;
  while (free - taken > 1) {
    const uint64_t middle = taken + (free - taken) / 2;
    (state.incidents.contains(id(middle)) ? taken : free) = middle;
  }
  return id(free);
}

Outcome OnSignalEdge(const State& state, const std::string& key, Micros now) {
  const v1::Signal* signal = engine::FindOrNull(state.signals, key);
  if (signal == nullptr) return {};
  if (signal->state() == v1::FIRING) return OnFiring(state, *signal, now);
  if (signal->state() != v1::CLEARED) return {};
  const v1::Incident* incident = engine::FindOrNull(state.incidents, signal->incident());
  if (incident == nullptr || !IsOpen(*incident)) return {};
  IncidentEdit edit(incident->id());
  edit.Entry("quell", "signal", "cleared: " + Describe(*signal, *incident));
  Outcome out;
  out.Add(edit.Take());
  return out;
}

}  // namespace quell::incidents
