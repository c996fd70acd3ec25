#include "controller/signals/fleet_signals.h"

#include <set>

#include "common/model/identity.h"
#include "controller/signals/correlation.h"

namespace quell::signals {
namespace {

using engine::Outcome;
using engine::State;

bool Raised(const v1::Signal& signal) { return signal.state() == v1::FIRING || signal.state() == v1::HELD; }

bool OwnAlert(std::string_view alert) {
  return alert == kHostLost || alert == kSanctionsRefuse || alert == kHigherEpoch || alert == kOtherHistory;
}

// "P2 unless a rule says otherwise": a rule of that name gives the severity.
v1::Severity SeverityFor(const State& state, std::string_view alert) {
  for (const v1::AlertRule& rule : state.config.alerts()) {
    if (rule.name() == alert && rule.severity() != v1::SEVERITY_UNSPECIFIED) return rule.severity();
  }
  return v1::P2;
}

v1::Signal MakeSignal(const State& state, std::string_view alert, const v1::Host& host, std::string summary,
                      Micros now) {
  const Labels labels{{"alertname", std::string(alert)}, {"instance", host.name()}};
  v1::Signal signal;
  signal.set_key(SignalKey(alert, labels));
  signal.set_alert(std::string(alert));
  for (const auto& [name, value] : labels) {
    v1::Label* label = signal.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  v1::Label* annotation = signal.add_annotations();
  annotation->set_name("summary");
  annotation->set_value(std::move(summary));
  signal.set_severity(SeverityFor(state, alert));
  signal.set_value(1);
  signal.set_active_since_us(now);
  signal.set_fired_us(now);
  signal.set_sample_us(now);
  return signal;
}

void SetTo(const State& state, std::string_view alert, const v1::Host& host, bool raised, std::string summary,
           Micros now, Outcome& out) {
  v1::Signal signal = MakeSignal(state, alert, host, std::move(summary), now);
  const v1::Signal* known = engine::FindOrNull(state.signals, signal.key());
  const bool is_raised = known != nullptr && Raised(*known);
  if (raised == is_raised) return;
  signal.set_state(raised ? v1::FIRING : v1::CLEARED);
  if (!raised) signal.set_cleared_us(now);
  v1::Payload payload;
  *payload.mutable_signal_edge()->mutable_signal() = std::move(signal);
  out.Add(std::move(payload));
}

// Automation stands still until a person ends this hold.
void HoldAll(const State& state, const std::string& id, std::string why, Micros now, Outcome& out) {
  if (state.holds.contains(id)) return;
  v1::Payload payload;
  v1::Hold* hold = payload.mutable_hold_set()->mutable_hold();
  hold->set_id(id);
  hold->set_scope("all");
  hold->set_why(std::move(why));
  hold->set_by("quell");
  hold->set_since_us(now);
  out.Add(std::move(payload));
}

// One line in each incident that has signals of a host whose signals are held now.
void TellHeld(const State& state, const v1::Host& host, Outcome& out) {
  std::set<std::string> incidents;
  for (const std::string& key : state.index.signals_of_host.Of(host.id())) {
    const v1::Signal& signal = state.signals.at(key);
    if (signal.state() == v1::HELD && !signal.incident().empty()) incidents.insert(signal.incident());
  }
  for (const std::string& id : incidents) {
    const v1::Incident* incident = engine::FindOrNull(state.incidents, id);
    if (incident == nullptr || incident->status() >= v1::RESOLVED) continue;
    engine::IncidentEdit edit(id);
    edit.Entry("quell", "signal", host.name() + " is lost: its signals are held, not cleared");
    out.Add(edit.Take());
  }
}

}  // namespace

Outcome OnHostEdge(const State& state, const v1::HostEdge& edge, Micros now) {
  Outcome out;
  const v1::Host* host = engine::FindOrNull(state.hosts, edge.host().id());
  if (host == nullptr || host->revoked() || host->deleted()) return out;
  const std::string& name = host->name();
  switch (edge.kind()) {
    case v1::HostEdge::HOST_LOST:
      TellHeld(state, *host, out);
      SetTo(state, kHostLost, *host, true, name + " is lost: no heartbeat any more", now, out);
      break;
    case v1::HostEdge::HOST_CONNECTED:
    case v1::HostEdge::HOST_REBOOTED:
      SetTo(state, kHostLost, *host, false, name + " is back", now, out);
      break;
    case v1::HostEdge::HOST_AHEAD:
      HoldAll(state, "higher-epoch", "the executor of " + name + " has met a higher epoch than ours", now,
              out);
      SetTo(state, kHigherEpoch, *host, true,
            name + " has met a controller with a higher epoch: all automation is on hold", now, out);
      break;
    case v1::HostEdge::HOST_HISTORY:
      HoldAll(state, "other-history", name + " remembers another log than ours", now, out);
      SetTo(state, kOtherHistory, *host, true,
            name + " remembers another log than this controller's: all automation is on hold", now, out);
      break;
    default:
      break;
  }
  if (edge.kind() == v1::HostEdge::HOST_CONNECTED || edge.kind() == v1::HostEdge::HOST_CAPABILITY) {
    const bool refuses = host->executor_connected() && !host->sanctions_error().empty();
    SetTo(state, kSanctionsRefuse, *host, refuses, "the sanctions of " + name + " refuse every action", now,
          out);
  }
  return out;
}

Outcome OnHostChanged(const State& state, const v1::Host& host, Micros now) {
  Outcome out;
  if (!host.revoked() && !host.deleted()) return out;
  for (const char* alert : {kHostLost, kSanctionsRefuse})
    SetTo(state, alert, host, false, host.name() + " is not of the fleet any more", now, out);
  return out;
}

Outcome OnConfigLoaded(const State& state, Micros now) {
  Outcome out;
  std::set<std::string_view> names;
  for (const v1::AlertRule& rule : state.config.alerts()) names.insert(rule.name());
  for (const auto& [key, signal] : state.signals) {
    if (!Raised(signal) || OwnAlert(signal.alert()) || names.contains(signal.alert())) continue;
    v1::Payload payload;
    v1::Signal* cleared = payload.mutable_signal_edge()->mutable_signal();
    *cleared = signal;
    cleared->set_state(v1::CLEARED);
    cleared->set_cleared_us(now);
    out.Add(std::move(payload));
  }
  return out;
}

Outcome OnHoldEnded(const State& state, const std::string& hold, Micros now) {
  Outcome out;
  if (hold != "higher-epoch" && hold != "other-history") return out;
  const std::string_view alert = hold == "higher-epoch" ? kHigherEpoch : kOtherHistory;
  for (const auto& [id, host] : state.hosts) {
    SetTo(state, alert, host, false, "a person ended the hold", now, out);
  }
  return out;
}

}  // namespace quell::signals
