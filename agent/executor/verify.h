// The first lock: is this command really from a controller that this host trusts, for this host, now? Pure.
// Everything that is checked here comes from outside; every refusal is one sentence.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/executor/nonce.h"
#include "common/base/time.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/trust.pb.h"

namespace quell::agent {

inline constexpr size_t kLargestCommand = 64 << 10;
inline constexpr uint32_t kDefaultDeadlineMs = 30'000;
inline constexpr uint32_t kLongestDeadlineMs = 600'000;
inline constexpr uint32_t kDefaultEvidenceMs = 2'000;
inline constexpr uint32_t kLongestEvidenceMs = 20'000;
// A report with its evidence must fit a frame of 1 MiB on both of its ways; this much is left for the rest.
inline constexpr uint32_t kDefaultEvidenceBytes = (1 << 20) - (32 << 10);

struct VerifiedCommand {
  v1::CommandBody body;
  std::string body_sha256;
  std::string key_id;
  Micros expires_boot = 0;  // by the boot-time clock
};

struct VerifyContext {
  const v1::TrustBundle* trust = nullptr;  // nullptr: nobody is trusted
  std::string_view host_id;
  uint64_t epoch_number = 0;  // highest accepted
  std::string_view epoch_start;
  Micros wall_now = 0;
};

struct VerifyFailure {
  v1::RefusalKind kind = v1::REFUSAL_VERIFY;
  std::string reason;
  std::string id;  // as the bytes claim; empty when they can't be read
};

// Form, signature and host: what holds for these bytes for ever. nullopt and `failure` when refused.
std::optional<VerifiedCommand> VerifyCommand(std::string_view signed_bytes, const VerifyContext& context,
                                             VerifyFailure& failure);
// The key, epoch, nonce and expiry: what holds only now. False and `failure` when refused; sets expires_boot.
bool VerifyFreshness(VerifiedCommand& command, const VerifyContext& context, const NonceBook& nonces,
                     Micros boot_now, VerifyFailure& failure);

// A person asked for it, not a policy.
bool ByPerson(const v1::CommandBody& body);

// Any field, at any depth, that this build does not know.
bool HasUnknownFields(const google::protobuf::Message& message);

}  // namespace quell::agent
