#include "controller/engine/engine.h"

#include <algorithm>
#include <set>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/changes/changes.h"
#include "controller/commands/acts.h"
#include "controller/commands/ledger.h"
#include "controller/commands/plan.h"
#include "controller/commands/plan_text.h"
#include "controller/engine/outcome.h"
#include "controller/engine/readable.h"
#include "controller/fleet/enrolment.h"
#include "controller/fleet/people.h"
#include "controller/incidents/acts.h"
#include "controller/incidents/changes.h"
#include "controller/incidents/correlate.h"
#include "controller/incidents/find.h"
#include "controller/incidents/lifecycle.h"
#include "controller/notify/break_glass.h"
#include "controller/notify/outbox.h"
#include "controller/notify/paging.h"
#include "controller/policy/hold.h"
#include "controller/policy/match.h"
#include "controller/policy/policy.h"
#include "controller/policy/steps.h"
#include "controller/policy/waiting.h"
#include "controller/signals/correlation.h"
#include "controller/signals/fleet_signals.h"
#include "controller/verify/verify.h"

namespace quell::engine {
namespace {

constexpr size_t kLongestCascade = 200'000;  // records of one input; more is a loop between rooms

std::string SubjectOf(const v1::Payload& payload) {
  switch (payload.kind_case()) {
    case v1::Payload::kHostEdge:
      return payload.host_edge().host().id();
    case v1::Payload::kSignalEdge:
      return payload.signal_edge().signal().key();
    case v1::Payload::kWatchEdge:
      return payload.watch_edge().watch();
    case v1::Payload::kAppEvent:
      return payload.app_event().host_id();
    case v1::Payload::kCommandReported:
      return HexEncode(payload.command_reported().report().id());
    case v1::Payload::kCommandDelivered:
      return payload.command_delivered().command();
    case v1::Payload::kNoticeResult:
      return payload.notice_result().key();
    case v1::Payload::kIncidentOpened:
      return payload.incident_opened().incident().id();
    case v1::Payload::kIncidentChanged:
      return payload.incident_changed().incident();
    case v1::Payload::kCommandIssued:
      return payload.command_issued().command().id();
    case v1::Payload::kCommandChanged:
      return payload.command_changed().command();
    case v1::Payload::kWatchSet:
      return payload.watch_set().watch().id();
    case v1::Payload::kWatchEnded:
      return payload.watch_ended().watch();
    case v1::Payload::kNoticeQueued:
      return payload.notice_queued().notice().key();
    case v1::Payload::kNoticeChanged:
      return payload.notice_changed().key();
    case v1::Payload::kHoldSet:
      return payload.hold_set().hold().id();
    case v1::Payload::kHoldEnded:
      return payload.hold_ended().id();
    case v1::Payload::kDecisionMade:
      return payload.decision_made().decision().incident();
    case v1::Payload::kPlanMade:
      return payload.plan_made().plan().id();
    case v1::Payload::kPlanChanged:
      return payload.plan_changed().plan();
    case v1::Payload::kChangeRecorded:
      return payload.change_recorded().change().id();
    case v1::Payload::kTokenChanged:
      return payload.token_changed().token().id();
    case v1::Payload::kHostEnrolled:
      return payload.host_enrolled().host().id();
    case v1::Payload::kCertificateRenewed:
      return payload.certificate_renewed().host_id();
    case v1::Payload::kHostChanged:
      return payload.host_changed().host().id();
    case v1::Payload::kPersonChanged:
      return payload.person_changed().person().name();
    default:
      return "";
  }
}

bool Names(const google::protobuf::RepeatedField<uint32_t>& fields, int field) {
  return std::find(fields.begin(), fields.end(), static_cast<uint32_t>(field)) != fields.end();
}

// A repetition that tells nothing new is not written down.
bool IsNews(const State& state, const v1::Payload& input) {
  switch (input.kind_case()) {
    case v1::Payload::KIND_NOT_SET:
    case v1::Payload::kTimePassed:
      return false;
    case v1::Payload::kSignalEdge: {
      const v1::Signal& edge = input.signal_edge().signal();
      const v1::Signal* known = FindOrNull(state.signals, edge.key());
      if (edge.key().empty() || edge.state() == v1::SIGNAL_STATE_UNSPECIFIED) return false;
      return known == nullptr ? edge.state() != v1::CLEARED : known->state() != edge.state();
    }
    case v1::Payload::kWatchEdge:
      return state.watches.contains(input.watch_edge().watch());
    case v1::Payload::kCommandReported:
      return commands::IsNews(state, input.command_reported());
    case v1::Payload::kCommandDelivered: {
      const v1::CommandEntry* command = FindOrNull(state.commands, input.command_delivered().command());
      return command != nullptr && command->state() == v1::ISSUED;
    }
    case v1::Payload::kNoticeResult: {
      const v1::Notice* notice = FindOrNull(state.notices, input.notice_result().key());
      return notice != nullptr && notice->state() == v1::SENDING;
    }
    case v1::Payload::kCertificateRenewed:
      return fleet::MayRenew(state, input.certificate_renewed().host_id());
    case v1::Payload::kHostEdge:
      return !input.host_edge().host().id().empty() || input.host_edge().kind() == v1::HostEdge::HOST_REFUSED;
    default:
      return true;
  }
}

// Kinds that are made inside alone; from outside they would bypass every decision.
bool IsInput(const v1::Payload& payload) {
  return payload.kind_case() != v1::Payload::KIND_NOT_SET &&
         payload.kind_case() < v1::Payload::kIncidentOpened;
}

// One input's cascade: records are applied as they are made, and each asks the rooms what follows.
class Cascade {
 public:
  Cascade(State& state, Micros now) : state_(state), now_(std::max(now, state.time)) {}

  void Input(const v1::Payload& input, std::string_view source) {
    if (input.has_time_passed()) return TimePassed(input, source);
    if (input.has_host_enrolled()) return Enrol(input, source);
    if (!IsNews(state_, input)) return;
    starting_ = input.has_controller_started();
    Write(input, source, 0);
    cause_ = state_.seq;
    if (input.has_person_act()) Person(input.person_act());
    Settle();
  }

  Handled Take() { return std::move(handled_); }

 private:
  // Each room's deadlines on what the one before it left: what was verified just now pages nobody.
  void TimePassed(const v1::Payload& input, std::string_view source) {
    using Room = Outcome (*)(const State&, Micros);
    static constexpr Room kRooms[] = {&commands::Due,    &commands::DuePlans, &verify::Due,
                                      &incidents::Due,   &policy::Due,        &policy::DueHolds,
                                      &notify::DuePages, &notify::DueNotices};
    for (Room room : kRooms) {
      Outcome due = room(state_, now_);
      if (due.records.empty()) continue;
      Began(input, source);
      Add(std::move(due));
      Settle();
    }
    for (std::string& plan : commands::PlansToAdvance(state_, now_)) {
      Began(input, source);
      dirty_plans_.insert(std::move(plan));
    }
    for (std::string& signal : policy::ToReconsider(state_, now_)) {
      Began(input, source);
      dirty_signals_.insert(std::move(signal));
    }
    Settle();
  }

  // Redeem, record and issue are one record; a refusal is none, for who is refused proved nothing.
  void Enrol(const v1::Payload& input, std::string_view source) {
    fleet::EnrolVerdict verdict = fleet::Enrol(state_, input.host_enrolled(), now_);
    if (verdict.accepted) {
      Began(input, source);
      Add(std::move(verdict.after));
      Settle();
    }
    handled_.intents.emplace_back(Answer{EnrolRequest(input.host_enrolled().host().id()), verdict.reply.exit,
                                         verdict.reply.message, verdict.reply.kind, verdict.reply.id});
  }

  void Began(const v1::Payload& input, std::string_view source) {
    if (cause_ != 0) return;
    Write(input, source, 0);
    cause_ = state_.seq;
  }

  void Write(v1::Payload payload, std::string_view source, uint64_t cause) {
    Require(handled_.records.size() < kLongestCascade, "the engine's rooms keep answering one another");
    Record record;
    record.header.set_seq(state_.seq + 1);
    record.header.set_time_us(now_);
    record.header.set_epoch(payload.has_controller_started() ? payload.controller_started().epoch_number()
                                                             : state_.started.epoch_number());
    record.header.set_source(std::string(source));
    record.header.set_kind(static_cast<uint32_t>(payload.kind_case()));
    record.header.set_kind_version(1);
    record.header.set_cause(cause);
    record.header.set_subject(SubjectOf(payload));
    record.payload = std::move(payload);
    MakeReadable(record.header);
    MakeReadable(record.payload);
    Apply(state_, record.header, record.payload);
    handled_.records.push_back(std::move(record));
  }

  void Add(Outcome outcome) {
    for (v1::Payload& payload : outcome.records) Write(std::move(payload), "engine", cause_);
  }

  // Runs until nothing follows: first what records lead to, then plans, incidents, and signals to decide on.
  void Settle() {
    while (true) {
      while (next_ < handled_.records.size()) React(next_++);
      if (!dirty_plans_.empty()) {
        const std::string id = Pop(dirty_plans_);
        Add(commands::AdvancePlan(state_, id, now_));
      } else if (!dirty_incidents_.empty()) {
        const std::string id = Pop(dirty_incidents_);
        Add(incidents::Settle(state_, id, now_));
      } else if (!dirty_signals_.empty()) {
        const std::string key = Pop(dirty_signals_);
        Add(policy::Consider(state_, key, now_));
      } else {
        return;
      }
    }
  }

  static std::string Pop(std::set<std::string>& set) { return std::move(set.extract(set.begin()).value()); }

  void React(size_t index) {
    const v1::Payload payload = handled_.records[index].payload;  // a copy: the vector grows
    switch (payload.kind_case()) {
      case v1::Payload::kControllerStarted:
        Add(notify::OnControllerStarted(state_, now_));
        Add(commands::OnControllerStarted(state_, now_));
        Add(verify::OnControllerStarted(state_, now_));
        return;
      case v1::Payload::kConfigLoaded:
        Add(signals::OnConfigLoaded(state_, now_));
        return AllFiring();
      case v1::Payload::kHostEdge:
        return OnHost(payload.host_edge());
      case v1::Payload::kSignalEdge:
        return OnSignal(payload.signal_edge().signal().key());
      case v1::Payload::kWatchEdge:
        return OnWatch(payload.watch_edge());
      case v1::Payload::kAppEvent:
        return Add(changes::OnAppEvent(state_, payload.app_event(), now_));
      case v1::Payload::kCommandReported:
        return Add(commands::OnReported(state_, payload.command_reported(), now_));
      case v1::Payload::kCommandDelivered:
        return Add(commands::OnDelivered(state_, payload.command_delivered(), now_));
      case v1::Payload::kNoticeResult:
        return OnNoticeResult(payload.notice_result());
      case v1::Payload::kIncidentOpened:
        return OnOpened(payload.incident_opened().incident());
      case v1::Payload::kIncidentChanged:
        return OnIncident(payload.incident_changed());
      case v1::Payload::kCommandIssued:
        return OnCommandState(payload.command_issued().command().id());
      case v1::Payload::kCommandChanged:
        return OnCommandChanged(payload.command_changed());
      case v1::Payload::kWatchSet:
        if (!starting_) handled_.intents.emplace_back(StartWatch{payload.watch_set().watch()});
        return;
      case v1::Payload::kWatchEnded:
        handled_.intents.emplace_back(StopWatch{payload.watch_ended().watch()});
        return OnWatchEnded(payload.watch_ended().watch());
      case v1::Payload::kNoticeQueued: {
        const v1::Notice& notice = payload.notice_queued().notice();
        return Add(notify::Begin(state_, notice.incident(), notice.receiver(), now_));
      }
      case v1::Payload::kNoticeChanged:
        return OnNoticeChanged(payload.notice_changed());
      case v1::Payload::kPlanMade:
        return OnPlanState(payload.plan_made().plan().id());
      case v1::Payload::kPlanChanged:
        if (Names(payload.plan_changed().fields(), v1::Plan::kStateFieldNumber))
          OnPlanState(payload.plan_changed().plan());
        return;
      case v1::Payload::kHoldSet:
        RunningPlans();
        return Add(commands::OnHoldSet(state_, payload.hold_set().hold(), now_));
      case v1::Payload::kHoldEnded:
        Add(signals::OnHoldEnded(state_, payload.hold_ended().id(), now_));
        return AllFiring();
      case v1::Payload::kChangeRecorded:
        return OnChange(payload.change_recorded().change());
      case v1::Payload::kHostEnrolled:
        return Tell(payload.host_enrolled().host().id());
      case v1::Payload::kHostChanged:
        Add(signals::OnHostChanged(state_, payload.host_changed().host(), now_));
        return Tell(payload.host_changed().host().id());
      case v1::Payload::kDecisionMade:
        return Add(notify::OnDecision(state_, payload.decision_made().decision(), now_));
      default:
        return;
    }
  }

  void AllFiring() {
    for (const auto& [key, signal] : state_.signals) {
      if (signal.state() == v1::FIRING) dirty_signals_.insert(key);
    }
  }

  void OnHost(const v1::HostEdge& edge) {
    Add(signals::OnHostEdge(state_, edge, now_));
    const std::string& id = edge.host().id();
    if (edge.kind() == v1::HostEdge::HOST_CONNECTED) Add(commands::OnHostConnected(state_, id, now_));
    if (edge.kind() == v1::HostEdge::HOST_CONNECTED || edge.kind() == v1::HostEdge::HOST_CAPABILITY) {
      for (const std::string& command : commands::ToCallBack(state_, id, now_))
        handled_.intents.emplace_back(CancelCommand{command, id});
    }
    RunningPlans();
    const auto& about = state_.index.signals_of_host.Of(id);
    dirty_signals_.insert(about.begin(), about.end());
    const v1::Host* host = FindOrNull(state_.hosts, id);
    if (host == nullptr) return;
    for (const std::string& app : host->apps()) MayGoOn(app, true);
  }

  void Tell(const std::string& host_id) { handled_.intents.emplace_back(TellHost{state_.hosts.at(host_id)}); }

  void OnSignal(const std::string& key) {
    Add(incidents::OnSignalEdge(state_, key, now_));
    const v1::Signal* signal = FindOrNull(state_.signals, key);
    if (signal == nullptr) return;
    dirty_incidents_.insert(signal->incident());
    if (signal->state() == v1::FIRING) dirty_signals_.insert(key);
    if (signal->state() == v1::CLEARED) {
      Add(commands::OnSignalCleared(state_, *signal, now_));
      Add(commands::PlansOnCleared(state_, *signal, now_));
      std::set<std::string> groups = {signals::AppOf(*signal)};
      for (const std::string& id : state_.index.commands_of_signal.Of(key))
        groups.insert(state_.commands.at(id).group());
      for (const std::string& group : groups) MayGoOn(group, true);
    }
  }

  // Those that waited for another one of their group.
  void MayGoOn(const std::string& group, bool cleared) {
    for (std::string& signal : policy::MayGoOn(state_, group, cleared, now_))
      dirty_signals_.insert(std::move(signal));
  }

  // A verification's end comes with its command's; a look at a newer sample kept its group waiting.
  void OnWatchEnded(const std::string& id) {
    if (!policy::IsConfirm(id)) return;
    const v1::Signal* signal = FindOrNull(state_.signals, policy::ConfirmedSignal(id));
    if (signal != nullptr) MayGoOn(signals::AppOf(*signal), false);
  }

  void OnChange(const v1::Change& change) {
    Add(incidents::OnChange(state_, change));
    BehindAStorm(change);
    if (change.finished_us() == 0) return;
    for (const auto& [key, decision] : state_.decisions) {
      if (decision.guard() == "change") dirty_signals_.insert(decision.signal());
    }
  }

  // What was withheld because too many are ill may have its reason now; one signal of an incident is enough.
  void BehindAStorm(const v1::Change& change) {
    if (!change.host_id().empty()) {
      const auto& about = state_.index.signals_of_host.Of(change.host_id());
      dirty_signals_.insert(about.begin(), about.end());
      return;
    }
    std::set<std::string> incidents;
    for (const auto& [key, decision] : state_.decisions) {
      if (decision.guard() == "fleet" && incidents.insert(decision.incident()).second)
        dirty_signals_.insert(decision.signal());
    }
  }

  void OnWatch(const v1::WatchEdge& edge) {
    Add(verify::OnWatchEdge(state_, edge, now_));
    Outcome answered = policy::OnWatchEdge(state_, edge, now_);
    if (!answered.records.empty()) dirty_signals_.insert(policy::ToLookAt(edge));
    Add(std::move(answered));
  }

  void OnOpened(const v1::Incident& opened) {
    Add(incidents::AddChanges(state_, opened));
    Add(notify::OnIncidentOpened(state_, opened.id(), now_));
    for (const std::string& key : opened.signals()) dirty_signals_.insert(key);
  }

  void OnIncident(const v1::IncidentChanged& change) {
    Add(notify::OnIncidentChanged(state_, change, now_));
    if (!change.add_signals().empty())
      Add(incidents::AddChangesOf(state_, change.incident(), change.add_signals()));
    for (const std::string& key : change.add_signals()) dirty_signals_.insert(key);
    if (Names(change.fields(), v1::Incident::kTakenByFieldNumber))
      Add(commands::PlansOnTaken(state_, change.incident(), now_));
    if (!Names(change.fields(), v1::Incident::kStatusFieldNumber)) return;
    dirty_incidents_.insert(change.incident());
    RunningPlans();
  }

  void RunningPlans() {
    for (const auto& [id, plan] : state_.plans) {
      if (plan.state() == v1::PLAN_RUNNING) dirty_plans_.insert(id);
    }
  }

  void OnPlanState(const std::string& id) {
    const v1::Plan* plan = FindOrNull(state_.plans, id);
    if (plan == nullptr) return;
    Add(commands::TellPlan(state_, *plan));
    Add(notify::OnPlan(state_, *plan, now_));
    Add(commands::OnPlanEnded(state_, *plan, now_));
    if (plan->state() == v1::PLAN_RUNNING) dirty_plans_.insert(id);
    if (!incidents::IsOpen(*plan)) {
      RunningPlans();
      MayGoOn(policy::GroupOf(state_, *plan), false);
    }
    const v1::Incident* incident = FindOrNull(state_.incidents, plan->incident());
    if (incident == nullptr) return;
    dirty_incidents_.insert(incident->id());
    for (const std::string& key : incident->signals()) dirty_signals_.insert(key);
  }

  void OnCommandState(const std::string& id) {
    const v1::CommandEntry* command = FindOrNull(state_.commands, id);
    if (command == nullptr) return;
    if (commands::WantsSending(*command) && !starting_) handled_.intents.emplace_back(SendCommand{id});
    if (commands::IsCalledBack(*command))
      handled_.intents.emplace_back(CancelCommand{id, command->host_id()});
    Add(incidents::OnCommand(state_, *command, now_));
    Add(notify::OnCommand(state_, *command, now_));
    if (command->state() == v1::SUCCEEDED) Add(verify::OnSucceeded(state_, *command, now_));
    AfterCommand(id);
  }

  void OnCommandChanged(const v1::CommandChanged& change) {
    if (Names(change.fields(), v1::CommandEntry::kStateFieldNumber)) return OnCommandState(change.command());
    if (Names(change.fields(), v1::CommandEntry::kVerificationFieldNumber)) {
      Verification(change.command());
      AfterCommand(change.command());
    }
  }

  // The incident may have settled; the signal may need another look, and so may those that waited.
  void AfterCommand(const std::string& id) {
    const v1::CommandEntry* command = FindOrNull(state_.commands, id);
    if (command == nullptr || incidents::InFlight(*command)) return;
    dirty_incidents_.insert(command->incident());
    dirty_signals_.insert(command->signal());
    RunningPlans();
    MayGoOn(command->group(), false);
  }

  void Verification(const std::string& id) {
    const v1::CommandEntry* command = FindOrNull(state_.commands, id);
    if (command == nullptr || !state_.incidents.contains(command->incident())) return;
    IncidentEdit edit(command->incident());
    const std::string name = incidents::CommandName(state_, *command);
    switch (command->verification()) {
      case v1::VERIFIED:
        edit.Entry("quell", "verified",
                   name + " helped: its condition came true on " + command->host() + " and stayed");
        break;
      case v1::NOT_VERIFIED:
        edit.Entry("quell", "verified", name + " did not help: " + command->reason());
        break;
      default:
        return;
    }
    Add1(edit.Take());
  }

  void Add1(v1::Payload payload) {
    Outcome one;
    one.Add(std::move(payload));
    Add(std::move(one));
  }

  void OnNoticeResult(const v1::NoticeResult& result) {
    Add(notify::OnResult(state_, result, now_));
    const v1::Notice* notice = FindOrNull(state_.notices, result.key());
    if (notice != nullptr) Add(notify::Begin(state_, notice->incident(), notice->receiver(), now_));
  }

  void OnNoticeChanged(const v1::NoticeChanged& change) {
    const v1::Notice* notice = FindOrNull(state_.notices, change.key());
    if (notice == nullptr || !Names(change.fields(), v1::Notice::kStateFieldNumber)) return;
    if (notice->state() == v1::SENDING) handled_.intents.emplace_back(SendNotice{change.key()});
    if (notice->state() == v1::SUPERSEDED)
      Add(notify::Begin(state_, notice->incident(), notice->receiver(), now_));
  }

  void Person(const v1::PersonAct& act) {
    Outcome outcome = Ask(act);
    Answer answer;
    answer.request = act.request();
    if (outcome.reply) {
      answer.exit = outcome.reply->exit;
      answer.message = outcome.reply->message;
      answer.kind = outcome.reply->kind;
      answer.id = outcome.reply->id;
    }
    Add(std::move(outcome));
    if (answer.exit == 0) Add(notify::OnBreakGlass(state_, act, now_));
    handled_.intents.emplace_back(std::move(answer));
  }

  Outcome Ask(const v1::PersonAct& act) const {
    const bool source = act.via() == "source";
    const std::string who = (source ? "ci:" : "person:") + act.person();
    if (source && !act.has_change_start() && !act.has_change_finish())
      return Refuse(4, "a source from outside tells of changes alone");
    if (std::string why = fleet::WhyNoLonger(state_, act); !why.empty()) return Refuse(4, std::move(why));
    switch (act.act_case()) {
      case v1::PersonAct::kDeclare:
        return incidents::DeclareIncident(state_, act.declare(), who, now_);
      case v1::PersonAct::kAcknowledge:
        return incidents::Acknowledge(state_, act.acknowledge(), who, now_);
      case v1::PersonAct::kTake:
        return incidents::Take(state_, act.take(), who, now_);
      case v1::PersonAct::kNote:
        return incidents::Note(state_, act.note(), who, now_);
      case v1::PersonAct::kResolve:
        return incidents::Resolve(state_, act.resolve(), who, now_);
      case v1::PersonAct::kRun:
        return commands::Run(state_, act.run(), who, now_);
      case v1::PersonAct::kApprove:
        return commands::Approve(state_, act.approve(), who, now_);
      case v1::PersonAct::kDeny:
        return commands::Deny(state_, act.deny(), who, now_);
      case v1::PersonAct::kHold:
        return policy::SetHold(state_, act.hold(), who, now_);
      case v1::PersonAct::kEndHold:
        return policy::EndHold(state_, act.end_hold().id(), who);
      case v1::PersonAct::kChangeStart:
        return changes::Start(state_, act.change_start(), who, now_);
      case v1::PersonAct::kChangeFinish:
        return changes::Finish(state_, act.change_finish(), who, now_);
      case v1::PersonAct::kNotifyTest:
        return notify::NotifyTest(state_, act.notify_test(), who, now_);
      case v1::PersonAct::kTokenMake:
        return fleet::MakeToken(state_, act.token_make(), who, now_);
      case v1::PersonAct::kTokenRevoke:
        return fleet::RevokeToken(state_, act.token_revoke(), now_);
      case v1::PersonAct::kAgentRevoke:
        return fleet::RevokeAgent(state_, act.agent_revoke(), now_);
      case v1::PersonAct::kAgentLabels:
        return fleet::LabelAgent(state_, act.agent_labels());
      case v1::PersonAct::kPersonSet:
        return fleet::SetPerson(state_, act, who, now_);
      case v1::PersonAct::kPersonRevoke:
        return fleet::RevokePerson(state_, act, who, now_);
      default:
        return Refuse(1, "this controller does not know that act");
    }
  }

  State& state_;
  const Micros now_;
  uint64_t cause_ = 0;
  size_t next_ = 0;  // of handled_.records: the first that nobody has reacted to
  bool starting_ = false;
  std::set<std::string> dirty_plans_, dirty_incidents_, dirty_signals_;
  Handled handled_;
};

}  // namespace

Handled Engine::Handle(const v1::Payload& input, std::string_view source, Micros now) {
  Require(input.kind_case() == v1::Payload::KIND_NOT_SET || IsInput(input),
          "only facts from outside are inputs of the engine");
  Cascade cascade(state_, now);
  cascade.Input(input, source);
  return cascade.Take();
}

std::vector<Intent> Engine::Outstanding(Micros now) const {
  std::vector<Intent> intents;
  for (const auto& [id, watch] : state_.watches) intents.emplace_back(StartWatch{watch});
  for (const auto& [id, command] : state_.commands) {
    if (commands::WantsSending(command) && command.expires_us() > now) intents.emplace_back(SendCommand{id});
  }
  return intents;
}

Micros Engine::NextDeadline() const {
  Micros next = 0;
  for (Micros room : {commands::NextDue(state_), commands::NextPlan(state_), verify::NextDue(state_),
                      incidents::NextDue(state_), policy::NextDue(state_), policy::NextHoldEnd(state_),
                      notify::NextPage(state_), notify::NextNotice(state_)}) {
    next = Earlier(next, room);
  }
  return next;
}

}  // namespace quell::engine
