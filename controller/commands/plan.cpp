#include "controller/commands/plan.h"

#include <algorithm>

#include "controller/commands/approvals.h"
#include "controller/commands/withheld.h"
#include "controller/fleet/people.h"
#include "controller/incidents/acts.h"
#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/command.h"
#include "controller/policy/guards.h"
#include "controller/policy/hold.h"
#include "controller/policy/intent.h"
#include "controller/policy/match.h"

namespace quell::commands {
namespace {

using engine::FindOrNull;
using engine::Outcome;
using engine::PlanEdit;
using engine::Refuse;
using engine::State;
using Entry = v1::CommandEntry;
using v1::Plan;

Outcome End(const Plan& plan, v1::PlanState state, std::string reason, Micros now) {
  PlanEdit edit(plan.id());
  edit.State(state, std::move(reason));
  edit.With(Plan::kFinishedUsFieldNumber).set_finished_us(now);
  Outcome out;
  out.Add(edit.Take());
  return out;
}

bool EndedWell(const Entry& command) {
  if (command.state() != v1::SUCCEEDED) return false;
  return command.dry_run() || command.verification() == v1::VERIFIED ||
         command.verification() == v1::VERIFICATION_STATE_UNSPECIFIED;
}

// Of one that ended otherwise.
std::string WhyStopped(const Entry& command) {
  std::string why = command.target() + " on " + command.host();
  switch (command.state()) {
    case v1::SUCCEEDED:
      why += " did not help";
      break;
    case v1::FAILED:
      why += " failed";
      break;
    case v1::REFUSED:
      why += " was refused by the host";
      break;
    case v1::COMMAND_UNKNOWN:
      why += ": nobody can say how it ended";
      break;
    case v1::EXPIRED:
      why += " could not be delivered";
      break;
    default:
      why += " was cancelled";
  }
  return command.reason().empty() ? why : why + ": " + command.reason();
}

// The signal that a command of the plan on this host is about: its own host's of the plan's alert.
const v1::Signal* CauseOn(const State& state, const Plan& plan, const v1::Host& host) {
  const v1::Incident* incident = FindOrNull(state.incidents, plan.incident());
  if (incident == nullptr) return nullptr;
  const v1::Signal* cause = FindOrNull(state.signals, plan.signal());
  if (cause == nullptr) return SignalAbout(state, incident, host, plan.action());
  for (const std::string& key : incident->signals()) {
    const v1::Signal* signal = FindOrNull(state.signals, key);
    if (signal == nullptr || signal->alert() != cause->alert()) continue;
    if (policy::HostOf(state, *signal) == &host) return signal;
  }
  return nullptr;
}

int WaveSize(const Plan& plan) {
  return plan.begun() == 0 ? 1 : WaveOf(static_cast<size_t>(plan.host_ids_size()));
}

// Not there yet after a start of ours: it is waited for, up to this time. 0: it is there, or gone.
Micros MayComeUntil(const v1::Host* host, Micros now) {
  if (host == nullptr) return 0;
  const bool unseen = host->liveness() == v1::UNSEEN;
  const bool no_executor_yet = host->liveness() == v1::CONNECTED && !host->executor_connected();
  const Micros until = host->liveness_since_us() + kWaitForHost;
  return (unseen || no_executor_yet) && until > now ? until : 0;
}

// None of the signals that it was made for fires any more.
bool IsOver(const State& state, const Plan& plan) {
  const auto fires = [&](const std::string& host_id) {
    const v1::Host* host = FindOrNull(state.hosts, host_id);
    const v1::Signal* cause = host == nullptr ? nullptr : CauseOn(state, plan, *host);
    return cause != nullptr && cause->state() != v1::CLEARED;
  };
  const auto& hosts = plan.host_ids();
  return !plan.signal().empty() && std::none_of(hosts.begin(), hosts.end(), fires);
}

class Advance {
 public:
  Advance(const State& state, const Plan& plan, Micros now) : state_(state), plan_(plan), now_(now) {}

  Outcome Run() {
    if (std::string why = WhyNotOn(); !why.empty()) return Stop(std::move(why));
    if (const Entry* bad = EndedBadly()) return MayAskFor(*bad) ? Ask(bad->reason()) : Stop(WhyStopped(*bad));
    if (InFlight()) return {};
    if (Left() == 0) return End(plan_, v1::PLAN_DONE, "", now_);
    return OthersAtWork() || WaitsUntil() != 0 ? Outcome{} : Wave();
  }

  // When a host that is waited for is given up; 0: none is, or something else has to happen first.
  Micros Deadline() const { return InFlight() || OthersAtWork() ? 0 : WaitsUntil(); }

 private:
  Outcome Stop(std::string why) const { return End(plan_, v1::PLAN_STOPPED, std::move(why), now_); }
  // The first host wants signatures, and nothing has been done: all of it waits for them.
  bool MayAskFor(const Entry& bad) const {
    return plan_.begun() == 1 && bad.state() == v1::REFUSED && MayAsk(bad, bad.refusal());
  }

  Outcome Ask(const std::string& reason) const {
    PlanEdit edit(plan_.id());
    for (const int gone : {Plan::kCommandsFieldNumber, Plan::kBegunFieldNumber, Plan::kWaveFieldNumber})
      edit.With(gone);
    if (IsOver(state_, plan_)) {
      edit.State(v1::PLAN_STOPPED, "its signals cleared before anybody approved");
      edit.With(Plan::kFinishedUsFieldNumber).set_finished_us(now_);
    } else {
      Wait(reason, edit);
    }
    Outcome out;
    out.Add(edit.Take());
    return out;
  }

  // What was signed before stays good: the intent is made once.
  void Wait(const std::string& reason, PlanEdit& edit) const {
    Plan waits = plan_;
    if (waits.intent().empty()) {
      waits.set_approval_expires_us(now_ + policy::ApprovalTime(state_, plan_.policy()));
      waits.set_intent(policy::IntentOf(state_, waits));
    }
    edit.State(v1::PLAN_AWAITING_APPROVAL, reason);
    edit.With(Plan::kIntentFieldNumber).set_intent(waits.intent());
    edit.With(Plan::kApprovalExpiresUsFieldNumber).set_approval_expires_us(waits.approval_expires_us());
  }

  int Left() const { return plan_.host_ids_size() - static_cast<int>(plan_.begun()); }
  int Size() const { return std::min(WaveSize(plan_), Left()); }
  const v1::Host* Target(int i) const {
    return FindOrNull(state_.hosts, plan_.host_ids(static_cast<int>(plan_.begun()) + i));
  }

  const Entry* EndedBadly() const {
    for (const std::string& id : plan_.commands()) {
      const Entry* command = FindOrNull(state_.commands, id);
      if (command != nullptr && !EndedWell(*command) && !incidents::InFlight(*command)) return command;
    }
    return nullptr;
  }

  bool InFlight() const {
    const auto& ids = plan_.commands();
    return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      const Entry* command = FindOrNull(state_.commands, id);
      return command != nullptr && incidents::InFlight(*command);
    });
  }

  Micros WaitsUntil() const {
    Micros until = 0;
    for (int i = 0; i < Size(); ++i) until = std::max(until, MayComeUntil(Target(i), now_));
    return until;
  }

  // Whoever it rests on: who asked for it, approved it, signed it.
  std::string WhoLapsed() const {
    if (fleet::IsRevoked(state_, plan_.requested_by()))
      return plan_.requested_by() + ", who asked for it, is revoked";
    if (!fleet::StillCounts(state_, plan_.approved_by(), plan_.requested_by()))
      return plan_.approved_by() + ", who approved it, may not approve any more";
    if (InForce(state_, plan_.approvals(), plan_.requested_by()).size() < plan_.approvals_size())
      return "not everybody who signed it may still sign";
    return "";
  }

  // Something that covers what is left: nothing of it is touched.
  std::string WhyNotOn() const {
    if (std::string who = WhoLapsed(); Left() > 0 && !who.empty()) return who;
    const v1::Incident* incident = FindOrNull(state_.incidents, plan_.incident());
    if (Left() > 0 && incident != nullptr && !incidents::IsOpen(*incident)) return "the incident is resolved";
    for (int i = 0; i < Left(); ++i) {
      if (Target(i) == nullptr || Target(i)->deleted() || Target(i)->revoked())
        return plan_.hosts(static_cast<int>(plan_.begun()) + i) + " is not part of the fleet any more";
      const v1::Hold* hold = policy::FindHold(
          state_, {plan_.policy(), Target(i), incident, plan_.action(), policy::GroupOf(state_, plan_)},
          now_);
      if (hold != nullptr) return "hold " + hold->id() + " by " + hold->by() + ": " + hold->why();
    }
    return "";
  }

  // Another command of the group: the first of the plan waits for its end.
  bool OthersAtWork() const {
    for (const Entry* command : policy::OfGroup(state_, policy::GroupOf(state_, plan_))) {
      const bool waits = command->state() == v1::AWAITING_APPROVAL;
      if (command->plan() != plan_.id() && !waits && incidents::InFlight(*command)) return true;
    }
    return false;
  }

  Outcome Wave() {
    Outcome out;
    PlanEdit edit(plan_.id());
    auto* ids = edit.With(Plan::kCommandsFieldNumber).mutable_commands();
    *ids = plan_.commands();
    for (int i = 0; i < Size(); ++i) {
      if (std::string why = policy::HostWontAct(Target(i), policy::ActionName(plan_.action())); !why.empty())
        return Stop("nothing more is done: " + why);
      v1::Payload payload;
      *payload.mutable_command_issued()->mutable_command() = CommandOn(*Target(i), out.records.size());
      *ids->Add() = payload.command_issued().command().id();
      out.Add(std::move(payload));
    }
    edit.With(Plan::kBegunFieldNumber).set_begun(plan_.begun() + static_cast<uint32_t>(Size()));
    edit.With(Plan::kWaveFieldNumber).set_wave(plan_.begun() == 0 ? 0 : plan_.wave() + 1);
    out.Add(edit.Take());
    return out;
  }

  Entry CommandOn(const v1::Host& host, uint64_t index) const {
    policy::CommandSpec spec;
    const v1::Signal* cause = CauseOn(state_, plan_, host);
    spec.action = plan_.action();
    spec.host = &host;
    spec.incident = plan_.incident();
    spec.policy = plan_.policy();
    spec.step = plan_.step();
    spec.requested_by = plan_.requested_by();
    spec.signal = cause == nullptr ? "" : cause->key();
    spec.group = policy::GroupOf(state_, plan_);
    if (cause != nullptr || !plan_.verify().cleared()) spec.verify = &plan_.verify();
    spec.dry_run = plan_.dry_run();
    Entry command = policy::MakeCommand(state_, spec, index, now_);
    command.set_plan(plan_.id());
    command.set_approved_by(plan_.approved_by());
    *command.mutable_approvals() = InForce(state_, plan_.approvals(), plan_.requested_by());
    if (!command.approvals().empty()) command.set_intent(plan_.intent());
    return command;
  }

  const State& state_;
  const Plan& plan_;
  const Micros now_;
};

std::string Many(const Plan& plan) {
  return std::to_string(plan.host_ids_size()) + (plan.host_ids_size() == 1 ? " host" : " hosts");
}

void Acknowledge(const State& state, const Plan& plan, const std::string& who, Micros now, Outcome& out) {
  const v1::Incident* incident = FindOrNull(state.incidents, plan.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident) || incident->acknowledged_us() != 0) return;
  engine::IncidentEdit edit(incident->id());
  incidents::MarkAcknowledged(*incident, who, now, edit);
  edit.Entry(who, "acknowledged", "by deciding on " + incidents::PlanName(state, plan));
  out.Add(edit.Take());
}

}  // namespace

int WaveOf(size_t hosts) { return std::max(1, static_cast<int>(hosts / 10)); }

Outcome AdvancePlan(const State& state, const std::string& id, Micros now) {
  const Plan* plan = FindOrNull(state.plans, id);
  if (plan == nullptr || plan->state() != v1::PLAN_RUNNING) return {};
  return Advance(state, *plan, now).Run();
}

Outcome ApprovePlan(const State& state, const Plan& plan, const v1::CommandAct& act, const std::string& who,
                    Micros now) {
  const std::string name = incidents::PlanName(state, plan);
  if (plan.state() != v1::PLAN_AWAITING_APPROVAL) return Refuse(1, name + " does not wait for approval");
  if (plan.approval_expires_us() <= now) return Refuse(1, name + " waited for approval until now");
  // One that was approved and waits again was sent back by a host.
  const Asked asked{name, plan.requested_by(), plan.intent(),
                    InForce(state, plan.approvals(), plan.requested_by()),
                    plan.approved_by().empty() ? "" : plan.reason()};
  if (auto refused = RefuseApproval(asked, act, who)) return *std::move(refused);
  const v1::Incident* incident = FindOrNull(state.incidents, plan.incident());
  for (const std::string& id : plan.host_ids()) {
    const v1::Host* host = FindOrNull(state.hosts, id);
    std::string why =
        Withheld(state, {plan.policy(), host, incident, plan.action(), policy::GroupOf(state, plan)}, now);
    if (!why.empty()) return Refuse(5, "withheld: " + why);
  }
  if (const Plan* other = RunningPlan(state, policy::GroupOf(state, plan)))
    return Refuse(5, "withheld: " + incidents::PlanName(state, *other) + " of its group is under way");
  Outcome out;
  Acknowledge(state, plan, who, now, out);
  PlanEdit edit(plan.id());
  *edit.With(Plan::kApprovalsFieldNumber).mutable_approvals() = With(asked, act);
  out.reply = engine::Reply{0, Said(asked, act, who), "plan", plan.id()};
  if (GoesOn(asked, who)) {
    out.reply->message += ": " + Many(plan) + ", one first";
    edit.State(v1::PLAN_RUNNING);
    edit.With(Plan::kReasonFieldNumber).set_reason(act.why());
    edit.With(Plan::kApprovedByFieldNumber)
        .set_approved_by(who == plan.requested_by() ? plan.approved_by() : who);
  }
  out.Add(edit.Take());
  return out;
}

Outcome DenyPlan(const State& state, const Plan& plan, const v1::CommandAct& act, const std::string& who,
                 Micros now) {
  const std::string name = incidents::PlanName(state, plan);
  if (!incidents::IsOpen(plan)) return Refuse(1, name + " is over");
  Outcome out;
  Acknowledge(state, plan, who, now, out);
  PlanEdit edit(plan.id());
  edit.State(v1::PLAN_DENIED, act.why().empty() ? "without a reason" : act.why());
  edit.With(Plan::kFinishedUsFieldNumber).set_finished_us(now);
  edit.With(Plan::kApprovedByFieldNumber).set_approved_by(who);
  out.Add(edit.Take());
  const int left = plan.host_ids_size() - static_cast<int>(plan.begun());
  out.reply = engine::Reply{0,
                            plan.state() == v1::PLAN_RUNNING
                                ? "stopped " + name + ": " + std::to_string(left) + " left untouched"
                                : "denied " + name,
                            "plan", plan.id()};
  return out;
}

Outcome PlansOnTaken(const State& state, const std::string& id, Micros now) {
  Outcome out;
  const v1::Incident* incident = FindOrNull(state.incidents, id);
  if (incident == nullptr) return out;
  for (const std::string& key : incident->plans()) {
    const Plan* plan = FindOrNull(state.plans, key);
    if (plan == nullptr || plan->state() != v1::PLAN_RUNNING) continue;
    if (plan->requested_by() == incident->taken_by()) continue;
    out.Add(End(*plan, v1::PLAN_STOPPED, incident->taken_by() + " has taken the incident", now));
  }
  return out;
}

Outcome PlansOnCleared(const State& state, const v1::Signal& signal, Micros now) {
  Outcome out;
  const v1::Incident* incident = FindOrNull(state.incidents, signal.incident());
  if (incident == nullptr) return out;
  for (const std::string& id : incident->plans()) {
    const Plan* plan = FindOrNull(state.plans, id);
    if (plan == nullptr || plan->state() != v1::PLAN_AWAITING_APPROVAL) continue;
    if (IsOver(state, *plan))
      out.Add(End(*plan, v1::PLAN_STOPPED, "its signals cleared before anybody approved", now));
  }
  return out;
}

Outcome OnPlanEnded(const State& state, const Plan& plan, Micros now) {
  Outcome out;
  if (incidents::IsOpen(plan)) return out;
  for (const std::string& id : plan.commands()) {
    const Entry* command = FindOrNull(state.commands, id);
    if (command == nullptr || (command->state() != v1::ISSUED && command->state() != v1::DELIVERED)) continue;
    engine::CommandEdit edit(id);
    edit.State(v1::CANCELLED, "its plan was stopped: " + plan.reason());
    edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
    out.Add(edit.Take());
  }
  return out;
}

Outcome DuePlans(const State& state, Micros now) {
  Outcome out;
  for (const auto& [id, plan] : state.plans) {
    if (plan.state() != v1::PLAN_AWAITING_APPROVAL || plan.approval_expires_us() > now) continue;
    out.Add(End(plan, v1::PLAN_EXPIRED, "nobody approved it in time", now));
  }
  return out;
}

std::vector<std::string> PlansToAdvance(const State& state, Micros now) {
  std::vector<std::string> ids;
  for (const auto& [id, plan] : state.plans) {
    if (plan.state() != v1::PLAN_RUNNING) continue;
    const Micros until = Advance(state, plan, state.time).Deadline();
    if (until != 0 && until <= now) ids.push_back(id);
  }
  return ids;
}

Micros NextPlan(const State& state) {
  Micros next = 0;
  for (const auto& [id, plan] : state.plans) {
    if (plan.state() == v1::PLAN_AWAITING_APPROVAL) next = engine::Earlier(next, plan.approval_expires_us());
    if (plan.state() == v1::PLAN_RUNNING)
      next = engine::Earlier(next, Advance(state, plan, state.time).Deadline());
  }
  return next;
}

const Plan* RunningPlan(const State& state, const std::string& group) {
  for (const auto& [id, plan] : state.plans) {
    if (plan.state() == v1::PLAN_RUNNING && policy::GroupOf(state, plan) == group) return &plan;
  }
  return nullptr;
}

bool Failed(const State& state, const Plan& plan) {
  const auto& ids = plan.commands();
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
    const Entry* command = FindOrNull(state.commands, id);
    return command != nullptr && !EndedWell(*command) && !incidents::InFlight(*command) &&
           command->state() != v1::CANCELLED;
  });
}

}  // namespace quell::commands
