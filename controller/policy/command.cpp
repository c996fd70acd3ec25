#include "controller/policy/command.h"

#include "common/base/ids.h"
#include "controller/policy/bind.h"
#include "controller/policy/intent.h"

namespace quell::policy {
namespace {

void AppendBigEndian(uint64_t value, std::string& out) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

uint64_t NextNumber(const engine::State& state, const std::string& incident, uint64_t index) {
  auto it = state.incidents.find(incident);
  if (it == state.incidents.end()) return state.next_command + index;
  return it->second.commands_count() + 1 + index;
}

}  // namespace

std::string CommandId(const engine::State& state, uint64_t index) {
  std::string bytes = state.started.epoch_start();
  AppendBigEndian(state.seq, bytes);
  AppendBigEndian(index, bytes);
  return HexEncode(Sha256(bytes).substr(0, 16));
}

v1::CommandEntry MakeCommand(const engine::State& state, const CommandSpec& spec, uint64_t index,
                             Micros now) {
  v1::CommandEntry command;
  command.set_id(CommandId(state, index));
  command.set_number(NextNumber(state, spec.incident, index));
  command.set_incident(spec.incident);
  command.set_policy(spec.policy);
  command.set_step(spec.step);
  command.set_action(ActionName(spec.action));
  *command.mutable_typed() = spec.action;
  command.set_host_id(spec.host->id());
  command.set_host(spec.host->name());
  command.set_user(UserOf(spec.action));
  command.set_requested_by(spec.requested_by);
  command.set_target(Describe(spec.action));
  command.set_group(spec.group.empty() ? TargetOf(spec.action) : spec.group);
  command.set_signal(spec.signal);
  command.set_dry_run(spec.dry_run);
  if (spec.verify != nullptr) *command.mutable_verify() = *spec.verify;
  if (EndsProcess(spec.action)) {
    command.set_evidence_budget_ms(kEvidenceMs);
    command.set_evidence_budget_bytes(kEvidenceBytes);
  }
  command.set_deadline_ms(kDeadlineMs);
  command.set_proposed_us(now);
  if (spec.approval_expires != 0) {
    command.set_state(v1::AWAITING_APPROVAL);
    command.set_approval_expires_us(spec.approval_expires);
    if (!spec.dry_run) command.set_intent(IntentOf(state, command));
    return command;
  }
  command.set_state(v1::ISSUED);
  command.set_issued_us(now);
  command.set_expires_us(now + kDeliverWithin);
  return command;
}

v1::Plan MakePlan(const engine::State& state, const PlanSpec& spec, Micros now) {
  v1::Plan plan;
  plan.set_id(CommandId(state, 0));
  plan.set_number(NextNumber(state, spec.incident, 0));
  plan.set_incident(spec.incident);
  *plan.mutable_action() = spec.action;
  for (const v1::Host* host : spec.hosts) {
    plan.add_host_ids(host->id());
    plan.add_hosts(host->name());
  }
  plan.set_requested_by(spec.requested_by);
  plan.set_policy(spec.policy);
  plan.set_step(spec.step);
  plan.set_signal(spec.signal);
  *plan.mutable_verify() = spec.verify;
  plan.set_dry_run(spec.dry_run);
  plan.set_proposed_us(now);
  plan.set_approval_expires_us(spec.approval_expires);
  plan.set_state(spec.approval_expires == 0 ? v1::PLAN_RUNNING : v1::PLAN_AWAITING_APPROVAL);
  if (spec.approval_expires == 0) plan.set_approved_by(spec.requested_by);
  if (spec.approval_expires != 0 && !spec.dry_run) plan.set_intent(IntentOf(state, plan));
  return plan;
}

std::string TargetCountKey(const std::string& host_id, const std::string& target) {
  return "target " + host_id + " " + target;
}

std::string GroupCountKey(const std::string& group) { return "group " + group; }

}  // namespace quell::policy
