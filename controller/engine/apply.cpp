// Apply: the only function that changes a State. Never decides: what it does follows from the record alone.
#include <algorithm>

#include "common/base/ids.h"
#include "controller/engine/engine.h"
#include "controller/engine/outcome.h"
#include "controller/engine/reindex.h"
#include "controller/policy/command.h"
#include "controller/policy/policy.h"

namespace quell::engine {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr Micros kKeepResolved = kDay;  // resolved incidents, their commands and notices stay in the state
constexpr Micros kKeepCounts = kDay;    // the longest window of a guard
constexpr int kMostCounts = 1000;       // per key
constexpr Micros kKeepTokens = kDay;    // after they expired
constexpr size_t kMostChanges = 1000;   // the log has every one
constexpr int kTimelineHead = 200;      // entries kept from the beginning, and
constexpr int kTimelineEntries = 1000;  // in all: the log has every one

// Copies the named fields; one that is not set in `from` is cleared.
void CopyFields(const Message& from, const google::protobuf::RepeatedField<uint32_t>& fields, Message& to) {
  const auto* reflection = to.GetReflection();
  Message* copy = from.New();
  copy->CopyFrom(from);
  for (uint32_t number : fields) {
    const FieldDescriptor* field = to.GetDescriptor()->FindFieldByNumber(static_cast<int>(number));
    if (field == nullptr) continue;  // a later version's
    reflection->SwapFields(&to, copy, {field});
    if (!field->is_repeated() && !reflection->HasField(to, field)) reflection->ClearField(&to, field);
  }
  delete copy;
}

bool Raised(const v1::Signal& signal) { return signal.state() == v1::FIRING || signal.state() == v1::HELD; }

class Applier {
 public:
  Applier(State& state, const v1::RecordHeader& header)
      : state_(state), header_(header), now_(header.time_us()) {}

  void Run(const v1::Payload& payload) {
    switch (payload.kind_case()) {
      case v1::Payload::kControllerStarted:
        return Started(payload.controller_started());
      case v1::Payload::kConfigLoaded:
        state_.config = payload.config_loaded().config();
        return ReindexAll(state_);  // what decisions wait for hangs on the policies
      case v1::Payload::kHostEdge:
        return Host(payload.host_edge());
      case v1::Payload::kSignalEdge:
        return Signal(payload.signal_edge().signal());
      case v1::Payload::kWatchEdge:
        return Watch(payload.watch_edge());
      case v1::Payload::kAppEvent:
        return Seen(payload.app_event());
      case v1::Payload::kCommandReported:
        return Seen(payload.command_reported());
      case v1::Payload::kIncidentOpened:
        return Opened(payload.incident_opened().incident());
      case v1::Payload::kIncidentChanged:
        return Changed(payload.incident_changed());
      case v1::Payload::kCommandIssued:
        return Issued(payload.command_issued().command());
      case v1::Payload::kCommandChanged:
        return Changed(payload.command_changed());
      case v1::Payload::kWatchSet:
        state_.watches[payload.watch_set().watch().id()] = payload.watch_set().watch();
        return ReindexWatch(state_, payload.watch_set().watch().id());
      case v1::Payload::kWatchEnded:
        state_.watches.erase(payload.watch_ended().watch());
        return ReindexWatch(state_, payload.watch_ended().watch());
      case v1::Payload::kNoticeQueued:
        state_.notices[payload.notice_queued().notice().key()] = payload.notice_queued().notice();
        return ReindexNotice(state_, payload.notice_queued().notice().key());
      case v1::Payload::kNoticeChanged:
        return Changed(payload.notice_changed());
      case v1::Payload::kHoldSet:
        state_.holds[payload.hold_set().hold().id()] = payload.hold_set().hold();
        return;
      case v1::Payload::kHoldEnded:
        state_.holds.erase(payload.hold_ended().id());
        return;
      case v1::Payload::kDecisionMade:
        return Decided(payload.decision_made().decision());
      case v1::Payload::kPlanMade:
        return Made(payload.plan_made().plan());
      case v1::Payload::kPlanChanged:
        return Changed(payload.plan_changed());
      case v1::Payload::kChangeRecorded:
        return Recorded(payload.change_recorded().change());
      case v1::Payload::kTokenChanged:
        return Token(payload.token_changed().token());
      case v1::Payload::kHostEnrolled:
        return Enrolled(payload.host_enrolled());
      case v1::Payload::kCertificateRenewed:
        return Renewed(payload.certificate_renewed());
      case v1::Payload::kHostChanged:
        state_.hosts[payload.host_changed().host().id()] = payload.host_changed().host();
        return ReindexHost(state_, payload.host_changed().host().id());
      case v1::Payload::kPersonChanged:
        state_.people[payload.person_changed().person().name()] = payload.person_changed().person();
        return;
      default:
        return;  // facts that change nothing by themselves
    }
  }

 private:
  // Nothing is known of any host until it is back: what fired is held, not cleared.
  void Started(const v1::ControllerStarted& started) {
    state_.started = started;
    for (auto& [id, host] : state_.hosts) {
      host.set_liveness(v1::UNSEEN);
      host.set_liveness_since_us(now_);
      host.set_executor_connected(false);
    }
    for (auto& [key, signal] : state_.signals) HoldSignal(signal);
    ReindexAll(state_);
  }

  static void HoldSignal(v1::Signal& signal) {
    if (signal.state() != v1::FIRING) return;
    signal.set_was(signal.state());
    signal.set_state(v1::HELD);
  }

  void Host(const v1::HostEdge& edge) {
    if (edge.kind() == v1::HostEdge::HOST_REFUSED || edge.host().id().empty()) return;
    v1::Host& host = state_.hosts[edge.host().id()];
    const v1::Host before = host;
    if (before.revoked() || before.deleted()) return;  // what was on its way when it was put out
    host = edge.host();
    if (host.first_seen_us() == 0)
      host.set_first_seen_us(before.first_seen_us() == 0 ? now_ : before.first_seen_us());
    if (host.apps().empty()) *host.mutable_apps() = before.apps();
    KeepOwn(before, host);
    SetLiveness(edge, before, host);
    if (host.liveness() != before.liveness()) host.set_liveness_since_us(now_);
    ReindexHost(state_, host.id());
    if (edge.kind() != v1::HostEdge::HOST_LOST) return;
    for (const std::string& key : state_.index.signals_of_host.Of(host.id())) {
      HoldSignal(state_.signals.at(key));
      ReindexSignal(state_, key);
    }
  }

  // What the controller alone decides comes from no stream.
  static void KeepOwn(const v1::Host& before, v1::Host& host) {
    if (before.id().empty()) return;
    if (host.labels().empty() || before.enrolled_us() != 0) *host.mutable_labels() = before.labels();
    host.set_key_sha256(before.key_sha256());
    host.set_revoked(before.revoked());
    host.set_revoked_us(before.revoked_us());
    host.set_deleted(before.deleted());
    host.set_enrolled_us(before.enrolled_us());
    host.set_certificate_expires_us(before.certificate_expires_us());
    host.set_token(before.token());
  }

  void SetLiveness(const v1::HostEdge& edge, const v1::Host& before, v1::Host& host) const {
    switch (edge.kind()) {
      case v1::HostEdge::HOST_CONNECTED:
        host.set_liveness(v1::CONNECTED);
        break;
      case v1::HostEdge::HOST_LOST:
        host.set_liveness(v1::LOST);
        break;
      case v1::HostEdge::HOST_GOODBYE:
        host.set_liveness(v1::GONE);
        break;
      default:
        if (host.liveness() == v1::LIVENESS_UNSPECIFIED) host.set_liveness(before.liveness());
    }
    const bool heard =
        edge.kind() == v1::HostEdge::HOST_CONNECTED || edge.kind() == v1::HostEdge::HOST_CAPABILITY;
    if (heard) host.set_seen_us(std::max(host.seen_us(), now_));
    if (host.seen_us() == 0) host.set_seen_us(before.seen_us());
  }

  void Signal(const v1::Signal& edge) {
    v1::Signal& signal = state_.signals[edge.key()];
    const v1::Signal before = std::move(signal);
    const bool was_raised = Raised(before);
    signal = edge;
    signal.set_was(before.state() == v1::SIGNAL_STATE_UNSPECIFIED ? v1::CLEARED : before.state());
    signal.set_incident(before.incident());
    signal.set_fires(before.fires());
    signal.set_edge_us(before.edge_us());
    if (Raised(signal) && !was_raised) {
      signal.set_fires(before.fires() + 1);
      signal.set_edge_us(now_);
    }
    if (edge.state() == v1::CLEARED)
      signal.set_fired_us(edge.fired_us() == 0 ? before.fired_us() : edge.fired_us());
    if (signal.facts().empty()) *signal.mutable_facts() = before.facts();
    Count(signal.incident(), was_raised, Raised(signal));
    ReindexSignal(state_, edge.key());
    if (signal.state() == v1::CLEARED && !state_.incidents.contains(signal.incident())) Forget(edge.key());
  }

  // Keeps `firing` and `quiet_us` of the incident.
  void Count(const std::string& id, bool was, bool is) {
    auto it = state_.incidents.find(id);
    if (it == state_.incidents.end() || was == is) return;
    v1::Incident& incident = it->second;
    incident.set_firing(is ? incident.firing() + 1 : incident.firing() - 1);
    if (incident.firing() == 0) incident.set_quiet_us(now_);
  }

  void Forget(const std::string& signal) {
    const std::string prefix = signal + "|";
    auto from = state_.decisions.lower_bound(prefix);
    while (from != state_.decisions.end() && from->first.compare(0, prefix.size(), prefix) == 0) {
      const std::string key = from->first;
      from = state_.decisions.erase(from);
      ReindexDecision(state_, key);
    }
    state_.signals.erase(signal);
    ReindexSignal(state_, signal);
  }

  // Numbers are the agent's, and 0 for what the controller itself found out.
  void Seen(const v1::AppEvent& event) {
    if (event.host_id().empty() || event.seq() == 0) return;
    v1::HostNumbers& numbers = NumbersOf(event.host_id());
    numbers.set_events(std::max(numbers.events(), event.seq()));
  }

  void Seen(const v1::CommandReported& reported) {
    if (reported.host_id().empty() || reported.report().seq() == 0) return;
    v1::HostNumbers& numbers = NumbersOf(reported.host_id());
    numbers.set_reports(std::max(numbers.reports(), reported.report().seq()));
  }

  v1::HostNumbers& NumbersOf(const std::string& host_id) {
    v1::HostNumbers& numbers = state_.numbers[host_id];
    numbers.set_host_id(host_id);
    return numbers;
  }

  // A false condition that names a signal says that it still fires, on that sample.
  void Watch(const v1::WatchEdge& edge) {
    auto watch = state_.watches.find(edge.watch());
    if (watch == state_.watches.end() || edge.value() != v1::WatchEdge::FALSE) return;
    auto signal = state_.signals.find(watch->second.signal_key());
    if (signal == state_.signals.end() || signal->second.state() != v1::FIRING) return;
    signal->second.set_sample_us(std::max(signal->second.sample_us(), edge.sample_us()));
  }

  void Opened(const v1::Incident& opened) {
    Prune();
    v1::Incident& incident = state_.incidents[opened.id()];
    incident = opened;
    for (v1::TimelineEntry& entry : *incident.mutable_timeline()) Stamp(entry);
    incident.set_firing(0);
    for (const std::string& key : opened.signals()) Attach(key, incident);
    state_.next_incident = std::max(state_.next_incident, opened.number() + 1);
    ReindexIncident(state_, opened.id());
  }

  void Attach(const std::string& key, v1::Incident& incident) {
    auto it = state_.signals.find(key);
    if (it == state_.signals.end()) return;
    const bool raised = Raised(it->second);
    if (it->second.incident() != incident.id())
      Count(it->second.incident(), raised, false);  // leaves another
    it->second.set_incident(incident.id());
    if (raised) incident.set_firing(incident.firing() + 1);
    ReindexSignal(state_, key);
  }

  void Stamp(v1::TimelineEntry& entry) const {
    if (entry.at_us() == 0) entry.set_at_us(now_);
    entry.set_seq(header_.seq());
  }

  void Changed(const v1::IncidentChanged& change) {
    auto it = state_.incidents.find(change.incident());
    if (it == state_.incidents.end()) return;
    v1::Incident& incident = it->second;
    CopyFields(change.set(), change.fields(), incident);
    for (const v1::TimelineEntry& entry : change.entries()) {
      *incident.add_timeline() = entry;
      Stamp(*incident.mutable_timeline(incident.timeline_size() - 1));
    }
    while (incident.timeline_size() > kTimelineEntries) {
      incident.mutable_timeline()->erase(incident.mutable_timeline()->begin() + kTimelineHead);
    }
    for (const std::string& key : change.add_signals()) {
      incident.add_signals(key);
      Attach(key, incident);
    }
    incident.mutable_hosts()->MergeFrom(change.add_hosts());
    incident.mutable_services()->MergeFrom(change.add_services());
    ReindexIncident(state_, change.incident());
    for (int field : {v1::Incident::kStatusFieldNumber, v1::Incident::kGivenUpFieldNumber}) {
      const auto& fields = change.fields();
      const bool named =
          std::find(fields.begin(), fields.end(), static_cast<uint32_t>(field)) != fields.end();
      if (named) return ReindexOfIncident(state_, change.incident());
    }
  }

  void Issued(const v1::CommandEntry& command) {
    state_.commands[command.id()] = command;
    auto it = state_.incidents.find(command.incident());
    if (it == state_.incidents.end()) {
      state_.next_command = std::max(state_.next_command, command.number() + 1);
    } else {
      it->second.add_commands(command.id());
      it->second.set_commands_count(it->second.commands_count() + 1);
    }
    if (command.state() == v1::ISSUED) CountAct(command);
    ReindexCommand(state_, command.id());
  }

  void Changed(const v1::CommandChanged& change) {
    auto it = state_.commands.find(change.command());
    if (it == state_.commands.end()) return;
    // One that a host sent back for a signature was counted when it was issued first.
    const bool waited =
        it->second.state() == v1::AWAITING_APPROVAL && it->second.refusal() != v1::REFUSAL_APPROVAL;
    CopyFields(change.set(), change.fields(), it->second);
    if (waited && it->second.state() == v1::ISSUED) CountAct(it->second);
    ReindexCommand(state_, change.command());
  }

  void Made(const v1::Plan& plan) {
    state_.plans[plan.id()] = plan;
    auto it = state_.incidents.find(plan.incident());
    if (it == state_.incidents.end()) {
      state_.next_command = std::max(state_.next_command, plan.number() + 1);
      return;
    }
    it->second.add_plans(plan.id());
    it->second.set_commands_count(it->second.commands_count() + 1);
  }

  void Changed(const v1::PlanChanged& change) {
    auto it = state_.plans.find(change.plan());
    if (it != state_.plans.end()) CopyFields(change.set(), change.fields(), it->second);
  }

  void Recorded(const v1::Change& change) {
    state_.changes[change.id()] = change;
    if (state_.changes.size() <= kMostChanges) return;
    // One that is under way goes last: it keeps automation from its service.
    const auto rank = [this](const v1::Change& c) {
      return std::pair(c.finished_us() == 0 && c.until_us() > now_, c.at_us());
    };
    const auto older = [&](const auto& a, const auto& b) { return rank(a.second) < rank(b.second); };
    state_.changes.erase(std::min_element(state_.changes.begin(), state_.changes.end(), older));
  }

  // Old ones go: the log has every one.
  void Token(const v1::JoinToken& token) {
    std::erase_if(state_.tokens,
                  [&](const auto& entry) { return entry.second.expires_us() < now_ - kKeepTokens; });
    state_.tokens[token.id()] = token;
  }

  // Redeem, record and issue are this one record.
  void Enrolled(const v1::HostEnrolled& enrolled) {
    v1::Host& host = state_.hosts[enrolled.host().id()];
    host = enrolled.host();
    host.set_key_sha256(enrolled.key_sha256());
    host.set_enrolled_us(now_);
    host.set_token(enrolled.token());
    ReindexHost(state_, host.id());
    auto token = state_.tokens.find(enrolled.token());
    if (token == state_.tokens.end()) return;
    token->second.set_used_us(now_);
    token->second.set_key_sha256(enrolled.key_sha256());
    token->second.set_host_id(host.id());
    token->second.set_certificate(enrolled.certificate());
  }

  void Renewed(const v1::CertificateRenewed& renewed) {
    auto host = state_.hosts.find(renewed.host_id());
    if (host != state_.hosts.end()) host->second.set_certificate_expires_us(renewed.expires_us());
  }

  void CountAct(const v1::CommandEntry& command) {
    if (command.dry_run()) return;
    CountAt(policy::TargetCountKey(command.host_id(), command.target()));
    CountAt(policy::GroupCountKey(command.group()));
  }

  void CountAt(const std::string& key) {
    v1::GuardCount& count = state_.counts[key];
    count.set_key(key);
    auto* at = count.mutable_at_us();
    while (!at->empty() && (at->Get(0) < now_ - kKeepCounts || at->size() >= kMostCounts))
      at->erase(at->begin());
    at->Add(now_);
    ReindexCount(state_, key);
  }

  void Changed(const v1::NoticeChanged& change) {
    auto it = state_.notices.find(change.key());
    if (it == state_.notices.end()) return;
    CopyFields(change.set(), change.fields(), it->second);
    ReindexNotice(state_, change.key());
  }

  void Decided(const v1::Decision& decision) {
    const std::string key = policy::DecisionKey(decision.signal(), decision.policy(), decision.step());
    v1::Decision& kept = state_.decisions[key];
    kept = decision;
    kept.set_seq(header_.seq());
    kept.set_at_us(now_);
    ReindexDecisionsOf(state_, decision.signal());
  }

  // What ended more than a day ago leaves the state; log and projections keep it.
  void Prune() {
    const Micros last = now_ - kKeepResolved - 1;
    for (const std::string& id : state_.index.ended_incidents.Until(last)) PruneIncident(id);
    for (const std::string& key : state_.index.ended_notices.Until(last)) {
      state_.notices.erase(key);
      ReindexNotice(state_, key);
    }
    for (const std::string& id : state_.index.ended_commands.Until(last)) EraseCommand(state_, id);
    std::erase_if(state_.plans, [&](const auto& entry) {
      const v1::Plan& plan = entry.second;
      return plan.incident().empty() && plan.finished_us() != 0 && plan.finished_us() <= last;
    });
    for (const std::string& key : state_.index.counts.Until(last)) {
      state_.counts.erase(key);
      ReindexCount(state_, key);
    }
  }

  void PruneIncident(const std::string& id) {
    const v1::Incident incident = std::move(state_.incidents.at(id));
    state_.incidents.erase(id);
    for (const std::string& command : incident.commands()) EraseCommand(state_, command);
    for (const std::string& plan : incident.plans()) state_.plans.erase(plan);
    for (const std::string& key : incident.signals()) {
      auto signal = state_.signals.find(key);
      if (signal == state_.signals.end() || signal->second.incident() != id) continue;
      Raised(signal->second) ? ReindexSignal(state_, key) : Forget(key);
    }
    ReindexIncident(state_, id);
    ReindexOfIncident(state_, id);
  }

  State& state_;
  const v1::RecordHeader& header_;
  const Micros now_;
};

}  // namespace

void Apply(State& state, const v1::RecordHeader& header, const v1::Payload& payload) {
  state.seq = header.seq();
  state.time = std::max(state.time, header.time_us());
  Applier(state, header).Run(payload);
}

}  // namespace quell::engine
