#include "common/security/join_token.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::security {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr size_t kPinDigits = 64;

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError("reading a join token: " + std::string(why));
}

}  // namespace

std::string EncodeTokenSecret(const Secret& secret) { return absl::WebSafeBase64Escape(secret.Reveal()); }

absl::StatusOr<Secret> DecodeTokenSecret(std::string_view text) {
  std::string bytes;
  const bool decoded = absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes);
  // One token, one spelling.
  if (!decoded || bytes.size() != kSecretBytes || absl::WebSafeBase64Escape(bytes) != text)
    return Bad("its first part is not 32 bytes in base64url");
  return Secret(std::move(bytes));
}

Secret FormatJoinToken(const JoinToken& token) {
  return Secret(EncodeTokenSecret(token.secret) + "." + token.pin);
}

absl::StatusOr<JoinToken> ParseJoinToken(std::string_view text) {
  const absl::string_view bare = absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const size_t dot = bare.find('.');
  if (dot == absl::string_view::npos) return Bad("it has no pin behind a dot");
  JoinToken token;
  QUELL_ASSIGN_OR_RETURN(token.secret, DecodeTokenSecret(std::string_view(bare.data(), dot)));
  token.pin = std::string(bare.substr(dot + 1));
  const auto pin = HexDecode(token.pin);
  if (token.pin.size() != kPinDigits || !pin.ok() || HexEncode(*pin) != token.pin)
    return Bad("its second part is not a pin of 64 hex digits");
  return token;
}

std::string TokenId(std::string_view sha256) { return HexEncode(sha256.substr(0, 8)); }

}  // namespace quell::security
