#include "controller/app/dispatch.h"

#include <utility>

#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::app {
namespace {

// The longest that an executor takes; what lies in between in a partition is dead by then.
constexpr uint32_t kValidForMs = 30'000;

}  // namespace

absl::StatusOr<v1::CommandBody> BodyOf(const v1::CommandEntry& command, const v1::ControllerStarted& epoch,
                                       const std::string& nonce) {
  v1::CommandBody body;
  QUELL_ASSIGN_OR_RETURN(*body.mutable_id(), HexDecode(command.id()));
  body.set_host_id(command.host_id());
  *body.mutable_action() = command.typed();
  body.set_cause(command.incident());
  body.set_requested_by(command.requested_by());
  body.set_epoch_number(epoch.epoch_number());
  body.set_epoch_start(epoch.epoch_start());
  body.set_nonce(nonce);
  body.set_valid_for_ms(kValidForMs);
  body.set_evidence_budget_ms(command.evidence_budget_ms());
  body.set_evidence_budget_bytes(command.evidence_budget_bytes());
  body.set_deadline_ms(command.deadline_ms());
  body.set_dry_run(command.dry_run());
  if (!command.approvals().empty()) {
    body.set_intent(command.intent());
    *body.mutable_approvals() = command.approvals();
  }
  return body;
}

void Dispatch::Send(const v1::CommandEntry& command) {
  const absl::Status handed = HandOver(command);
  if (!handed.ok())
    LogWarning("command %s for %s was not handed over: %s", command.id(), command.host(), handed.message());
  EngineInput input;
  input.source = "app";
  v1::CommandDelivered& delivered = *input.payload.mutable_command_delivered();
  delivered.set_command(command.id());
  delivered.set_host_id(command.host_id());
  delivered.set_handed_over(handed.ok());
  delivered.set_why(std::string(handed.message()));
  post_(InputClass::kResult, std::move(input));
}

absl::Status Dispatch::HandOver(const v1::CommandEntry& command) {
  QUELL_RETURN_IF_ERROR(allowed_(command.host_id()));
  std::optional<std::string> nonce = registry_.Nonce(command.host_id());
  if (!nonce)
    return absl::FailedPreconditionError("the host has no stream, or no executor that takes commands");
  QUELL_ASSIGN_OR_RETURN(v1::CommandBody body, BodyOf(command, epoch_, *nonce));
  v1::SignedCommand signed_command;
  signed_command.set_body(body.SerializeAsString());
  signed_command.set_key_id(key_.Id());
  signed_command.set_signature(key_.Sign(security::kCommandContext, signed_command.body()));
  return registry_.SendCommand(command.host_id(), signed_command);
}

void Dispatch::Cancel(const std::string& command, const std::string& host_id) {
  auto id = HexDecode(command);
  if (!id.ok()) return;
  if (absl::Status sent = registry_.SendCancel(host_id, *id); !sent.ok()) {
    LogWarning("the cancellation of command %s did not reach its host, which is told when it is back: %s",
               command, sent.message());
  }
}

}  // namespace quell::app
