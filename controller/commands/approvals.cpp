#include "controller/commands/approvals.h"

#include <algorithm>

#include "common/base/ids.h"
#include "controller/fleet/people.h"
#include "controller/policy/intent.h"

namespace quell::commands {
namespace {

using engine::Outcome;
using engine::Refuse;
using Entry = v1::CommandEntry;

std::string Who(const v1::Approval& approval) { return "person:" + approval.person(); }

bool HasSigned(const Asked& asked, const std::string& who) {
  return std::any_of(asked.approvals.begin(), asked.approvals.end(),
                     [&](const v1::Approval& approval) { return Who(approval) == who; });
}

// What it was for has cleared while the host was asked, or has begun anew: a policy decides on that anew as
// well.
bool IsOver(const engine::State& state, const Entry& command) {
  const v1::Signal* cause = engine::FindOrNull(state.signals, command.signal());
  if (cause == nullptr) return false;
  const bool by_policy = command.requested_by().rfind("policy:", 0) == 0;
  return cause->state() == v1::CLEARED || (by_policy && cause->edge_us() > command.proposed_us());
}

std::optional<Outcome> RefusedUnsigned(const Asked& asked, const std::string& who) {
  if (who == asked.requested_by) return Refuse(4, asked.name + " is not approved by who asked for it");
  if (asked.host_wants.empty()) return std::nullopt;
  return Refuse(
      4, asked.name +
             " needs an approval that a person signs with their own certificate; by the controller's own "
             "socket none is signed: " +
             asked.host_wants);
}

}  // namespace

google::protobuf::RepeatedPtrField<v1::Approval> InForce(
    const engine::State& state, const google::protobuf::RepeatedPtrField<v1::Approval>& approvals,
    std::string_view requested_by) {
  google::protobuf::RepeatedPtrField<v1::Approval> kept;
  for (const v1::Approval& approval : approvals) {
    if (fleet::StillCounts(state, Who(approval), requested_by)) *kept.Add() = approval;
  }
  return kept;
}

std::optional<Outcome> RefuseApproval(const Asked& asked, const v1::CommandAct& act, const std::string& who) {
  if (!act.has_approval()) return RefusedUnsigned(asked, who);
  if (Who(act.approval()) != who) return Refuse(4, "an approval is given by the person who signed it");
  if (asked.intent.empty() || act.approval().intent_sha256() != Sha256(asked.intent))
    return Refuse(1, asked.name + " is not what was signed; look at it again");
  if (HasSigned(asked, who))
    return Refuse(1, act.approval().person() + " has signed " + asked.name + " already");
  if (who == asked.requested_by && asked.host_wants.empty())
    return Refuse(4, asked.name + " is not approved by who asked for it");
  return std::nullopt;
}

bool GoesOn(const Asked& asked, const std::string& who) {
  return who != asked.requested_by ||
         std::any_of(asked.approvals.begin(), asked.approvals.end(),
                     [&](const v1::Approval& approval) { return Who(approval) != asked.requested_by; });
}

google::protobuf::RepeatedPtrField<v1::Approval> With(const Asked& asked, const v1::CommandAct& act) {
  auto all = asked.approvals;
  if (act.has_approval()) *all.Add() = act.approval();
  return all;
}

std::string Said(const Asked& asked, const v1::CommandAct& act, const std::string& who) {
  if (!GoesOn(asked, who)) return "signed " + asked.name + ", which waits for somebody else's approval";
  return (act.has_approval() ? "signed and approved " : "approved ") + asked.name;
}

bool MayAsk(const Entry& command, v1::RefusalKind refusal) {
  return refusal == v1::REFUSAL_APPROVAL && !command.dry_run() && command.approvals_size() < kMostSigned;
}

Outcome AskFor(const engine::State& state, const Entry& command, const std::string& reason, Micros now) {
  if (IsOver(state, command)) {
    engine::CommandEdit edit(command.id());
    edit.State(v1::CANCELLED, "its signal cleared before anybody approved");
    edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
    Outcome out;
    out.Add(edit.Take());
    return out;
  }
  Entry waits = command;
  if (waits.intent().empty()) {
    waits.set_approval_expires_us(now + policy::ApprovalTime(state, command.policy()));
    waits.set_intent(policy::IntentOf(state, waits));
  }
  engine::CommandEdit edit(command.id());
  edit.State(v1::AWAITING_APPROVAL, reason);
  edit.With(Entry::kRefusalFieldNumber).set_refusal(v1::REFUSAL_APPROVAL);
  edit.With(Entry::kApprovalExpiresUsFieldNumber).set_approval_expires_us(waits.approval_expires_us());
  edit.With(Entry::kIntentFieldNumber).set_intent(waits.intent());
  for (const int gone :
       {Entry::kIssuedUsFieldNumber, Entry::kDeliveredUsFieldNumber, Entry::kExpiresUsFieldNumber,
        Entry::kRetryUsFieldNumber, Entry::kDeliveriesFieldNumber}) {
    edit.With(gone);  // as if it had not been handed over: nothing was done
  }
  Outcome out;
  out.Add(edit.Take());
  return out;
}

}  // namespace quell::commands
