// Projection rows: what responders' lists read, made of the entities that records touched.
#include <algorithm>
#include <set>

#include "common/base/ids.h"
#include "controller/engine/log_store.h"
#include "controller/incidents/find.h"

namespace quell::engine {
namespace {

ProjectionRow Row(const char* kind, const std::string& id, Micros time, bool open, const std::string& parent,
                  const google::protobuf::MessageLite& message) {
  ProjectionRow row;
  row.kind = kind;
  row.id = id;
  row.time = time;
  row.open = open;
  row.parent = parent;
  row.message = message.SerializeAsString();
  return row;
}

ProjectionRow RowOf(const v1::Incident& incident) {
  return Row("incident", incident.id(), incident.declared_us(), incidents::IsOpen(incident), "", incident);
}
ProjectionRow RowOf(const v1::CommandEntry& command) {
  return Row("command", command.id(), command.proposed_us(), incidents::InFlight(command), command.incident(),
             command);
}
ProjectionRow RowOf(const v1::Signal& signal) {
  return Row("signal", signal.key(), signal.fired_us(), signal.state() != v1::CLEARED, signal.incident(),
             signal);
}
ProjectionRow RowOf(const v1::Host& host) {
  return Row("host", host.id(), host.seen_us(), !host.deleted(), "", host);
}
ProjectionRow RowOf(const v1::Notice& notice) {
  const bool open = notice.state() == v1::QUEUED || notice.state() == v1::SENDING;
  return Row("notice", notice.key(), notice.queued_us(), open, notice.incident(), notice);
}
ProjectionRow RowOf(const v1::Hold& hold) { return Row("hold", hold.id(), hold.since_us(), true, "", hold); }
ProjectionRow RowOf(const v1::Plan& plan) {
  const bool open = plan.state() == v1::PLAN_AWAITING_APPROVAL || plan.state() == v1::PLAN_RUNNING;
  return Row("plan", plan.id(), plan.proposed_us(), open, plan.incident(), plan);
}
ProjectionRow RowOf(const v1::Change& change) {
  return Row("change", change.id(), change.at_us(), true, change.host_id(), change);
}
ProjectionRow RowOf(const v1::JoinToken& token) {
  return Row("token", token.id(), token.made_us(), token.used_us() == 0, token.host_id(), token);
}
ProjectionRow RowOf(const v1::Person& person) {
  return Row("person", person.name(), person.since_us(), !person.revoked(), "", person);
}
ProjectionRow RowOf(const v1::Decision& decision) {
  return Row("decision", std::to_string(decision.seq()), decision.at_us(), true, decision.incident(),
             decision);
}

// What records name; each entity gets one row however often it was touched.
struct Touched {
  std::set<std::string> incidents, commands, signals, hosts, notices, plans, changes, tokens, people;

  void Note(const v1::Payload& payload) {
    switch (payload.kind_case()) {
      case v1::Payload::kHostEdge:
        hosts.insert(payload.host_edge().host().id());
        break;
      case v1::Payload::kSignalEdge:
        signals.insert(payload.signal_edge().signal().key());
        break;
      case v1::Payload::kIncidentOpened:
        incidents.insert(payload.incident_opened().incident().id());
        for (const auto& key : payload.incident_opened().incident().signals()) signals.insert(key);
        break;
      case v1::Payload::kIncidentChanged:
        incidents.insert(payload.incident_changed().incident());
        for (const auto& key : payload.incident_changed().add_signals()) signals.insert(key);
        break;
      case v1::Payload::kCommandIssued:
        commands.insert(payload.command_issued().command().id());
        incidents.insert(payload.command_issued().command().incident());
        break;
      case v1::Payload::kCommandChanged:
        commands.insert(payload.command_changed().command());
        break;
      case v1::Payload::kNoticeQueued:
        notices.insert(payload.notice_queued().notice().key());
        break;
      case v1::Payload::kNoticeChanged:
        notices.insert(payload.notice_changed().key());
        break;
      case v1::Payload::kPlanMade:
        plans.insert(payload.plan_made().plan().id());
        incidents.insert(payload.plan_made().plan().incident());
        break;
      case v1::Payload::kPlanChanged:
        plans.insert(payload.plan_changed().plan());
        break;
      case v1::Payload::kChangeRecorded:
        changes.insert(payload.change_recorded().change().id());
        break;
      case v1::Payload::kTokenChanged:
        tokens.insert(payload.token_changed().token().id());
        break;
      case v1::Payload::kHostEnrolled:
        hosts.insert(payload.host_enrolled().host().id());
        tokens.insert(payload.host_enrolled().token());
        break;
      case v1::Payload::kCertificateRenewed:
        hosts.insert(payload.certificate_renewed().host_id());
        break;
      case v1::Payload::kHostChanged:
        hosts.insert(payload.host_changed().host().id());
        break;
      case v1::Payload::kPersonChanged:
        people.insert(payload.person_changed().person().name());
        break;
      default:
        break;
    }
  }
};

template <typename Map>
void AddRows(const Map& map, const std::set<std::string>& ids, std::vector<ProjectionRow>& rows) {
  for (const std::string& id : ids) {
    if (auto it = map.find(id); it != map.end()) rows.push_back(RowOf(it->second));
  }
}

// A start changes every host and every firing signal at once.
void AddAfterStart(const State& state, Touched& touched) {
  for (const auto& [id, host] : state.hosts) touched.hosts.insert(id);
  for (const auto& [key, signal] : state.signals) touched.signals.insert(key);
}

void AddHeldSignals(const State& state, const std::string& host, Touched& touched) {
  const auto& held = state.index.signals_of_host.Of(host);
  touched.signals.insert(held.begin(), held.end());
}

// What a host took before it carried out a command of its own: names and hashes, and why some are missing. A
// report that the ledger did not take (another host's, one after the end) changes nothing here either.
bool TellsEvidence(const v1::CommandReported& reported, const v1::CommandEntry& command) {
  if (reported.evidence_names().empty() && reported.evidence_missing().empty()) return false;
  const auto& ours = command.evidence();
  const auto& theirs = reported.evidence_sha256();
  return command.host_id() == reported.host_id() &&
         std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end());
}

ProjectionRow EvidenceRow(v1::CommandReported reported, const v1::CommandEntry& command, Micros at) {
  reported.clear_report();
  return Row("evidence", command.id(), at, true, command.incident(), reported);
}

// Rows of things that are not kept as entities, or not any more.
void AddPassing(const Record& record, const State& state, std::vector<ProjectionRow>& rows) {
  const v1::Payload& payload = record.payload;
  const uint64_t seq = record.header.seq();
  if (payload.has_app_event()) {
    const v1::AppEvent& event = payload.app_event();
    rows.push_back(Row("event", std::to_string(seq),
                       event.at_us() == 0 ? record.header.time_us() : event.at_us(), true, event.host_id(),
                       event));
  } else if (payload.has_command_reported()) {
    const auto command = state.commands.find(HexEncode(payload.command_reported().report().id()));
    if (command != state.commands.end() && TellsEvidence(payload.command_reported(), command->second))
      rows.push_back(EvidenceRow(payload.command_reported(), command->second, record.header.time_us()));
  } else if (payload.has_hold_set()) {
    rows.push_back(RowOf(payload.hold_set().hold()));
  } else if (payload.has_hold_ended()) {
    v1::Hold ended;
    ended.set_id(payload.hold_ended().id());
    ProjectionRow row = Row("hold", ended.id(), record.header.time_us(), false, "", ended);
    row.removed = true;
    rows.push_back(std::move(row));
  } else if (payload.has_decision_made()) {
    v1::Decision decision = payload.decision_made().decision();
    decision.set_seq(seq);
    decision.set_at_us(record.header.time_us());
    rows.push_back(RowOf(decision));
  } else if (payload.has_signal_edge() && !state.signals.contains(payload.signal_edge().signal().key())) {
    rows.push_back(RowOf(payload.signal_edge().signal()));
  }
}

}  // namespace

std::vector<ProjectionRow> RowsFor(const std::vector<Record>& records, const State& state) {
  Touched touched;
  std::vector<ProjectionRow> rows;
  for (const Record& record : records) {
    touched.Note(record.payload);
    AddPassing(record, state, rows);
    if (record.payload.has_controller_started()) AddAfterStart(state, touched);
    if (record.payload.has_host_edge() && record.payload.host_edge().kind() == v1::HostEdge::HOST_LOST) {
      AddHeldSignals(state, record.payload.host_edge().host().id(), touched);
    }
    if (record.payload.has_signal_edge()) {
      auto it = state.signals.find(record.payload.signal_edge().signal().key());
      if (it != state.signals.end()) touched.incidents.insert(it->second.incident());
    }
  }
  AddRows(state.incidents, touched.incidents, rows);
  AddRows(state.commands, touched.commands, rows);
  AddRows(state.signals, touched.signals, rows);
  AddRows(state.hosts, touched.hosts, rows);
  AddRows(state.notices, touched.notices, rows);
  AddRows(state.plans, touched.plans, rows);
  AddRows(state.changes, touched.changes, rows);
  AddRows(state.tokens, touched.tokens, rows);
  AddRows(state.people, touched.people, rows);
  return rows;
}

std::vector<ProjectionRow> AllRows(const State& state) {
  std::vector<ProjectionRow> rows;
  auto all = [&](const auto& map) {
    for (const auto& [id, entity] : map) rows.push_back(RowOf(entity));
  };
  all(state.incidents);
  all(state.commands);
  all(state.signals);
  all(state.hosts);
  all(state.notices);
  all(state.holds);
  all(state.decisions);
  all(state.plans);
  all(state.changes);
  all(state.tokens);
  all(state.people);
  return rows;
}

}  // namespace quell::engine
