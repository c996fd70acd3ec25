#include "controller/commands/acts.h"

#include <set>

#include "controller/incidents/acts.h"
#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/command.h"
#include "controller/policy/guards.h"
#include "controller/policy/hold.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"

namespace quell::commands {
namespace {

using engine::CommandEdit;
using engine::FindOrNull;
using engine::Outcome;
using engine::Refuse;
using engine::State;
using Entry = v1::CommandEntry;

constexpr char kPersonPolicy[] = "person";

// Why nothing is done here now, "" when it may be.
std::string Withheld(const State& state, const std::string& policy, const v1::Host* host,
                     const v1::Incident* incident, const v1::Action& action, Micros now) {
  if (policy::IsOwnTarget(action)) return policy::TargetOf(action) + " is part of quell itself";
  if (const v1::Hold* hold = policy::FindHold(state, policy, host, incident, now)) {
    return "hold " + hold->id() + " by " + hold->by() + ": " + hold->why();
  }
  return policy::HostWontAct(host, policy::ActionName(action));
}

// The firing signal about this target on this host: what a person's act is verified by.
const v1::Signal* SignalAbout(const State& state, const v1::Incident* incident, const v1::Host& host,
                              const v1::Action& action) {
  if (incident == nullptr) return nullptr;
  for (const std::string& key : incident->signals()) {
    const v1::Signal* signal = FindOrNull(state.signals, key);
    if (signal == nullptr || signal->state() != v1::FIRING) continue;
    if (policy::HostOf(state, *signal) == &host && signals::AppOf(*signal) == policy::TargetOf(action))
      return signal;
  }
  return nullptr;
}

v1::Verify DefaultVerify() {
  v1::Verify verify;
  verify.set_cleared(true);
  verify.set_within_us(kMinute);
  verify.set_hold_us(30 * kSecond);
  return verify;
}

// A group of targets acted on all at once is told, not refused.
std::string Warning(const State& state, const v1::RunAct& act, Micros now) {
  const std::string group = policy::TargetOf(act.action());
  for (const Entry* command : policy::OfGroup(state, group)) {
    if (incidents::InFlight(*command))
      return "; beware: another command on " + group + " is under way on " + command->host();
  }
  const size_t size = policy::GroupSize(state, group, now);
  if (act.hosts_size() > 1 && size > 0) {
    return "; beware: " + std::to_string(act.hosts_size()) + " of the " + std::to_string(size) +
           " hosts of " + group + " at once";
  }
  return "";
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

void Acknowledge(const State& state, const Entry& command, const std::string& who, Micros now, Outcome& out) {
  const v1::Incident* incident = FindOrNull(state.incidents, command.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident) || incident->acknowledged_us() != 0) return;
  engine::IncidentEdit edit(incident->id());
  incidents::MarkAcknowledged(*incident, who, now, edit);
  edit.Entry(who, "acknowledged", "by deciding on " + incidents::CommandName(state, command));
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
  if (act.hosts().empty()) return Refuse(3, "no host is named: an empty selection is nothing");
  if (act.hosts_size() > kMostTargets)
    return Refuse(1, "more than " + std::to_string(kMostTargets) + " targets");
  const v1::Verify verify = DefaultVerify();
  Outcome out;
  std::string names, ids;
  std::set<std::string> seen;
  for (const std::string& host_id : act.hosts()) {
    const v1::Host* host = FindOrNull(state.hosts, host_id);
    if (host == nullptr) return Refuse(3, "there is no host " + host_id);
    if (!seen.insert(host_id).second) continue;
    std::string why = Withheld(state, kPersonPolicy, host, incident, act.action(), now);
    if (!why.empty()) return Refuse(5, "withheld on " + host->name() + ": " + why);
    const v1::Signal* signal = SignalAbout(state, incident, *host, act.action());
    policy::CommandSpec spec;
    spec.action = act.action();
    spec.host = host;
    spec.incident = incident == nullptr ? "" : incident->id();
    spec.policy = kPersonPolicy;
    spec.requested_by = who;
    spec.dry_run = act.dry_run();
    if (signal != nullptr) spec.signal = signal->key(), spec.verify = &verify;
    v1::Payload payload;
    Entry* command = payload.mutable_command_issued()->mutable_command();
    *command = policy::MakeCommand(state, spec, out.records.size(), now);
    names += (names.empty() ? "" : ", ") + host->name();
    ids += (ids.empty() ? "" : ",") + command->id();
    out.Add(std::move(payload));
  }
  out.reply = engine::Reply{0,
                            std::to_string(seen.size()) + (seen.size() == 1 ? " target: " : " targets: ") +
                                names + Warning(state, act, now),
                            "command", ids};
  return out;
}

Outcome Approve(const State& state, const v1::CommandAct& act, const std::string& who, Micros now) {
  Waiting waiting = FindWaiting(state, act);
  if (waiting.command == nullptr) return std::move(waiting.refusal);
  const Entry& command = *waiting.command;
  const std::string name = incidents::CommandName(state, command);
  if (command.approval_expires_us() <= now) return Refuse(1, name + " waited for approval until now");
  if (command.requested_by() == who) return Refuse(4, name + " is not approved by who asked for it");
  const v1::Incident* incident = FindOrNull(state.incidents, command.incident());
  std::string why = Withheld(state, command.policy(), FindOrNull(state.hosts, command.host_id()), incident,
                             command.typed(), now);
  if (!why.empty()) return Refuse(5, "withheld on " + command.host() + ": " + why);
  Outcome out;
  Acknowledge(state, command, who, now, out);
  CommandEdit edit(command.id());
  edit.State(v1::ISSUED, act.why());
  edit.With(Entry::kApprovedByFieldNumber).set_approved_by(who);
  edit.With(Entry::kIssuedUsFieldNumber).set_issued_us(now);
  edit.With(Entry::kExpiresUsFieldNumber).set_expires_us(now + policy::kDeliverWithin);
  edit.With(Entry::kRetryUsFieldNumber).set_retry_us(0);
  out.Add(edit.Take());
  out.reply = engine::Reply{0, "approved " + name, "command", command.id()};
  return out;
}

Outcome Deny(const State& state, const v1::CommandAct& act, const std::string& who, Micros now) {
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
