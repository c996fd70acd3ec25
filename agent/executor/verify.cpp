#include "agent/executor/verify.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/executor/action_info.h"
#include "common/base/ids.h"
#include "common/security/signing.h"
#include "common/security/trust.h"

namespace quell::agent {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string CheckForm(const v1::CommandBody& body) {
  if (HasUnknownFields(body)) return "the command has a field that this host does not know";
  if (body.id().size() != 16) return "the command's id has not 16 bytes";
  if (body.epoch_start().size() != 16) return "the epoch's start id has not 16 bytes";
  if (body.epoch_number() == 0) return "the command has no epoch";
  if (body.valid_for_ms() == 0 || body.valid_for_ms() > kNonceGood / kMillisecond) {
    return "the command is not valid for 1 to 30,000 ms";
  }
  if (body.deadline_ms() > kLongestDeadlineMs) return "the command's deadline is longer than ten minutes";
  if (body.evidence_budget_ms() > kLongestEvidenceMs) return "the evidence budget is longer than 20 s";
  if (body.cause().size() > 128 || body.requested_by().size() > 256) return "cause or requester is too long";
  if (body.approvals_size() > 8) return "the command carries more than 8 approvals";
  if (DescribeAction(body.action()).name.empty()) return "the command names no action that this host knows";
  return std::string(CheckParameters(body.action()).message());
}

// Whether the key may sign commands now; asked at each use.
std::string CheckKey(const std::string& key_id, const VerifyContext& context) {
  if (context.trust == nullptr) return "this host has no trust bundle";
  if (context.trust->not_after_us() != 0 && context.wall_now >= context.trust->not_after_us()) {
    return "this host's trust bundle has expired";
  }
  for (const v1::PublicKey& known : context.trust->command_keys()) {
    if (known.id() != key_id) continue;
    const auto& revoked = context.trust->revoked();
    if (std::find(revoked.begin(), revoked.end(), known.owner()) == revoked.end()) return "";
    return "the command is signed by a controller that is revoked";
  }
  return "the command is signed by a key that the trust bundle does not name";
}

std::string CheckSignature(const v1::SignedCommand& command, const VerifyContext& context) {
  std::string bad_key = CheckKey(command.key_id(), context);
  if (!bad_key.empty()) return bad_key;
  const auto key = security::CommandKey(*context.trust, command.key_id());
  if (!key.ok()) return std::string(key.status().message());
  if (!security::VerifySignature(*key, security::kCommandContext, command.body(), command.signature())) {
    return "the command's signature does not fit its bytes";
  }
  return "";
}

std::string CheckEpoch(const v1::CommandBody& body, const VerifyContext& context) {
  if (body.epoch_number() < context.trust->least_epoch()) {
    return absl::StrCat("the command's epoch ", body.epoch_number(), " is below ",
                        context.trust->least_epoch(), ", the least that the trust bundle allows");
  }
  if (body.epoch_number() < context.epoch_number) {
    return absl::StrCat("the command's epoch ", body.epoch_number(), " is over: this host has accepted ",
                        context.epoch_number);
  }
  if (body.epoch_number() == context.epoch_number && body.epoch_start() != context.epoch_start) {
    return absl::StrCat("epoch ", body.epoch_number(), " was accepted from another start of a controller");
  }
  return "";
}

}  // namespace

bool ByPerson(const v1::CommandBody& body) { return absl::StartsWith(body.requested_by(), "person:"); }

bool HasUnknownFields(const Message& message) {
  const auto* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return true;
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFields(reflection->GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (HasUnknownFields(reflection->GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

std::optional<VerifiedCommand> VerifyCommand(std::string_view signed_bytes, const VerifyContext& context,
                                             VerifyFailure& failure) {
  const auto refuse = [&](std::string reason) {
    failure.kind = v1::REFUSAL_VERIFY;
    failure.reason = std::move(reason);
    return std::nullopt;
  };
  if (signed_bytes.size() > kLargestCommand) {
    return refuse(absl::StrCat("the command has ", signed_bytes.size(), " bytes; at most ", kLargestCommand,
                               " are taken"));
  }
  v1::SignedCommand command;
  if (!command.ParseFromArray(signed_bytes.data(), static_cast<int>(signed_bytes.size())) ||
      HasUnknownFields(command)) {
    return refuse("the bytes are not a signed command");
  }
  // The signature first: nothing unsigned is looked at more closely than its id, for the answer.
  const std::string bad_signature = CheckSignature(command, context);
  VerifiedCommand verified;
  const bool parsed = verified.body.ParseFromString(command.body());
  if (parsed && verified.body.id().size() == 16) failure.id = verified.body.id();
  if (!bad_signature.empty()) return refuse(bad_signature);
  if (!parsed) return refuse("the signed bytes are not a command");
  std::string bad = CheckForm(verified.body);
  if (!bad.empty()) return refuse(std::move(bad));
  if (verified.body.host_id() != context.host_id) return refuse("the command is for another host");
  verified.key_id = command.key_id();
  verified.body_sha256 = Sha256(command.body());
  return verified;
}

bool VerifyFreshness(VerifiedCommand& command, const VerifyContext& context, const NonceBook& nonces,
                     Micros boot_now, VerifyFailure& failure) {
  failure.id = command.body.id();
  failure.kind = v1::REFUSAL_VERIFY;
  failure.reason = CheckKey(command.key_id, context);
  if (failure.reason.empty()) failure.reason = CheckEpoch(command.body, context);
  if (!failure.reason.empty()) return false;
  const std::optional<Micros> made = nonces.MadeAt(command.body.nonce(), boot_now);
  failure.kind = v1::REFUSAL_STALE_NONCE;
  if (!made) {
    failure.reason = "the command's nonce is not one of the last 30 s of this boot and this executor";
    return false;
  }
  command.expires_boot = *made + Micros{command.body.valid_for_ms()} * kMillisecond;
  if (boot_now >= command.expires_boot) {
    failure.reason = "the command has expired";
    return false;
  }
  return true;
}

}  // namespace quell::agent
