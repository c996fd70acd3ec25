#include "controller/commands/acts.h"

#include <set>

#include "controller/commands/approvals.h"
#include "controller/commands/plan.h"
#include "controller/commands/withheld.h"
#include "controller/incidents/acts.h"
#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/command.h"
#include "controller/policy/guards.h"
#include "controller/policy/match.h"

namespace quell::commands {
namespace {

using engine::CommandEdit;
using engine::FindOrNull;
using engine::Outcome;
using engine::Refuse;
using engine::State;
using Entry = v1::CommandEntry;

constexpr char kPersonPolicy[] = "person";

v1::Verify DefaultVerify() {
  v1::Verify verify;
  verify.set_cleared(true);
  verify.set_within_us(kMinute);
  verify.set_hold_us(30 * kSecond);
  return verify;
}

// Another act on the group of a single target is told, not refused.
std::string Warning(const State& state, const std::string& group) {
  for (const Entry* command : policy::OfGroup(state, group)) {
    if (incidents::InFlight(*command))
      return "; beware: another command on " + group + " is under way on " + command->host();
  }
  return "";
}

// Each host once, in the order given; or the answer that says why there are none.
struct Targets {
  std::vector<const v1::Host*> hosts;
  Outcome refusal;
};

Targets FindTargets(const State& state, const v1::RunAct& act, const v1::Incident* incident, Micros now) {
  if (act.hosts().empty()) return {{}, Refuse(3, "no host is named: an empty selection is nothing")};
  if (act.hosts_size() > kMostTargets)
    return {{}, Refuse(1, "more than " + std::to_string(kMostTargets) + " targets")};
  Targets targets;
  std::set<std::string> seen;
  for (const std::string& host_id : act.hosts()) {
    const v1::Host* host = FindOrNull(state.hosts, host_id);
    if (host == nullptr) return {{}, Refuse(3, "there is no host " + host_id)};
    if (!seen.insert(host_id).second) continue;
    std::string why = Withheld(
        state, {kPersonPolicy, host, incident, act.action(), policy::GroupOf(act.action(), nullptr)}, now);
    if (!why.empty()) return {{}, Refuse(5, "withheld on " + host->name() + ": " + why)};
    targets.hosts.push_back(host);
  }
  return targets;
}

Outcome RunOne(const State& state, const v1::RunAct& act, const v1::Incident* incident, const v1::Host& host,
               const v1::Signal* signal, const std::string& who, Micros now) {
  const v1::Verify verify = DefaultVerify();
  policy::CommandSpec spec;
  spec.action = act.action();
  spec.host = &host;
  spec.incident = incident == nullptr ? "" : incident->id();
  spec.policy = kPersonPolicy;
  spec.requested_by = who;
  spec.dry_run = act.dry_run();
  spec.group = policy::GroupOf(act.action(), signal);
  if (signal != nullptr) spec.signal = signal->key(), spec.verify = &verify;
  v1::Payload payload;
  *payload.mutable_command_issued()->mutable_command() = policy::MakeCommand(state, spec, 0, now);
  Outcome out;
  out.reply = engine::Reply{0, "1 target: " + host.name() + Warning(state, spec.group), "command",
                            payload.command_issued().command().id()};
  out.Add(std::move(payload));
  return out;
}

std::string Names(const std::vector<const v1::Host*>& hosts) {
  std::string names;
  for (const v1::Host* host : hosts) names += (names.empty() ? "" : ", ") + host->name();
  return names;
}

// Who asked for it has approved it: the list is what they were shown.
Outcome RunPlan(const State& state, const v1::RunAct& act, const v1::Incident* incident,
                const std::vector<const v1::Host*>& hosts, const std::string& who, Micros now) {
  policy::PlanSpec spec;
  spec.action = act.action();
  spec.hosts = hosts;
  spec.incident = incident == nullptr ? "" : incident->id();
  spec.policy = kPersonPolicy;
  spec.requested_by = who;
  const v1::Signal* signal = SignalAbout(state, incident, *hosts.front(), act.action());
  if (signal != nullptr) spec.signal = signal->key();
  spec.verify = DefaultVerify();
  spec.dry_run = act.dry_run();
  v1::Payload payload;
  *payload.mutable_plan_made()->mutable_plan() = policy::MakePlan(state, spec, now);
  Outcome out;
  out.reply = engine::Reply{0,
                            std::to_string(hosts.size()) + " targets: " + Names(hosts) +
                                "; one first, then waves of " + std::to_string(WaveOf(hosts.size())),
                            "plan", payload.plan_made().plan().id()};
  out.Add(std::move(payload));
  return out;
}

// A command that waits for approval, or the answer to the person that says why there is none.
struct Waiting {
  const Entry* command = nullptr;
  Outcome refusal;
};

Waiting FindWaiting(const State& state, const v1::CommandAct& act) {
  const Entry* command = incidents::FindCommand(state, act.command());
  if (command == nullptr) return {nullptr, Refuse(3, "there is no command " + act.command())};
  if (command->state() != v1::AWAITING_APPROVAL) {
    return {nullptr, Refuse(1, incidents::CommandName(state, *command) + " does not wait for approval")};
  }
  return {command, {}};
}

const v1::Plan* PlanMeant(const State& state, const v1::CommandAct& act) {
  if (incidents::FindCommand(state, act.command()) != nullptr) return nullptr;
  return incidents::FindPlan(state, act.command());
}

void Acknowledge(const State& state, const Entry& command, const std::string& who, Micros now, Outcome& out) {
  const v1::Incident* incident = FindOrNull(state.incidents, command.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident) || incident->acknowledged_us() != 0) return;
  engine::IncidentEdit edit(incident->id());
  incidents::MarkAcknowledged(*incident, who, now, edit);
  edit.Entry(who, "acknowledged", "by deciding on " + incidents::CommandName(state, command));
  out.Add(edit.Take());
}

void Tell(const State& state, const std::string& id, const std::string& who, const engine::Reply& reply,
          Outcome& out) {
  if (!state.incidents.contains(id)) return;
  engine::IncidentEdit edit(id);
  edit.Entry(who, "approved", reply.message);
  out.Add(edit.Take());
}

}  // namespace

Outcome Run(const State& state, const v1::RunAct& act, const std::string& who, Micros now) {
  const v1::Incident* incident = nullptr;
  if (!act.incident().empty()) {
    incident = incidents::FindIncident(state, act.incident());
    if (incident == nullptr || !incidents::IsOpen(*incident))
      return Refuse(3, "there is no open incident " + act.incident());
  }
  if (policy::ActionBody(act.action()) == nullptr) return Refuse(3, "there is no such action");
  Targets targets = FindTargets(state, act, incident, now);
  if (targets.hosts.empty()) return std::move(targets.refusal);
  const v1::Signal* signal = SignalAbout(state, incident, *targets.hosts.front(), act.action());
  if (const v1::Plan* plan = RunningPlan(state, policy::GroupOf(act.action(), signal))) {
    const std::string name = incidents::PlanName(state, *plan);
    return Refuse(5, "withheld: " + name + " of its group is under way; quell deny " + name + " stops it");
  }
  if (targets.hosts.size() > 1) return RunPlan(state, act, incident, targets.hosts, who, now);
  return RunOne(state, act, incident, *targets.hosts.front(), signal, who, now);
}

Outcome Approve(const State& state, const v1::CommandAct& act, const std::string& who, Micros now) {
  if (const v1::Plan* plan = PlanMeant(state, act)) return ApprovePlan(state, *plan, act, who, now);
  Waiting waiting = FindWaiting(state, act);
  if (waiting.command == nullptr) return std::move(waiting.refusal);
  const Entry& command = *waiting.command;
  const std::string name = incidents::CommandName(state, command);
  if (command.approval_expires_us() <= now) return Refuse(1, name + " waited for approval until now");
  const Asked asked{name, command.requested_by(), command.intent(),
                    InForce(state, command.approvals(), command.requested_by()),
                    command.refusal() == v1::REFUSAL_APPROVAL ? command.reason() : ""};
  if (auto refused = RefuseApproval(asked, act, who)) return *std::move(refused);
  std::string why = Withheld(state, policy::IntendedBy(state, command), now);
  if (!why.empty()) return Refuse(5, "withheld on " + command.host() + ": " + why);
  if (const v1::Plan* plan = RunningPlan(state, command.group()))
    return Refuse(5, "withheld: " + incidents::PlanName(state, *plan) + " of its group is under way");
  Outcome out;
  Acknowledge(state, command, who, now, out);
  CommandEdit edit(command.id());
  *edit.With(Entry::kApprovalsFieldNumber).mutable_approvals() = With(asked, act);
  out.reply = engine::Reply{0, Said(asked, act, who), "command", command.id()};
  Tell(state, command.incident(), who, *out.reply, out);
  if (!GoesOn(asked, who)) {
    out.Add(edit.Take());
    return out;
  }
  edit.State(v1::ISSUED);
  edit.With(Entry::kReasonFieldNumber).set_reason(act.why());
  edit.With(Entry::kRefusalFieldNumber);
  edit.With(Entry::kApprovedByFieldNumber)
      .set_approved_by(who == command.requested_by() ? command.approved_by() : who);
  edit.With(Entry::kIssuedUsFieldNumber).set_issued_us(now);
  edit.With(Entry::kExpiresUsFieldNumber).set_expires_us(now + policy::kDeliverWithin);
  edit.With(Entry::kRetryUsFieldNumber).set_retry_us(0);
  out.Add(edit.Take());
  return out;
}

Outcome Deny(const State& state, const v1::CommandAct& act, const std::string& who, Micros now) {
  if (const v1::Plan* plan = PlanMeant(state, act)) return DenyPlan(state, *plan, act, who, now);
  Waiting waiting = FindWaiting(state, act);
  if (waiting.command == nullptr) return std::move(waiting.refusal);
  const Entry& command = *waiting.command;
  Outcome out;
  Acknowledge(state, command, who, now, out);
  CommandEdit edit(command.id());
  edit.State(v1::DENIED, act.why().empty() ? "without a reason" : act.why());
  edit.With(Entry::kApprovedByFieldNumber).set_approved_by(who);
  edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
  out.Add(edit.Take());
  out.reply = engine::Reply{0, "denied " + incidents::CommandName(state, command), "command", command.id()};
  return out;
}

}  // namespace quell::commands
