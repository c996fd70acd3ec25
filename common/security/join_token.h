// Join tokens: what a host shows once to be certified. 32 random bytes and the pin of the trust root, so that
// whoever holds one knows whom to trust before showing it:
//
//   <base64url of the secret, 43 characters>.<hex SHA-256 of the trust root's public key, 64 digits>
//
// The controller keeps the secret's hash alone. Values; pure.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/security/secret.h"

namespace quell::security {

struct JoinToken {
  Secret secret;    // 32 bytes
  std::string pin;  // 64 hex digits
};

Secret FormatJoinToken(const JoinToken& token);
// Blanks at both ends are left out. InvalidArgument says what is wrong, and nothing of what was read.
absl::StatusOr<JoinToken> ParseJoinToken(std::string_view text);

// The secret alone, as it is sent.
std::string EncodeTokenSecret(const Secret& secret);
absl::StatusOr<Secret> DecodeTokenSecret(std::string_view text);

// What lists show, and what a token is found by: the first 16 hex digits of the secret's hash.
std::string TokenId(std::string_view sha256);

}  // namespace quell::security
