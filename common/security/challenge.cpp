#include "common/security/challenge.h"

#include <openssl/hmac.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::security {
namespace {

constexpr size_t kRandom = 16;
constexpr size_t kDigits = 16;  // of the time, in hex
constexpr size_t kMac = 32;

// HMAC-SHA-256 (RFC 2104).
Secret Mac(const Secret& key, std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const bool done =
      HMAC(EVP_sha256(), key.Reveal().data(), static_cast<int>(key.Reveal().size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &size) != nullptr;
  Require(done && size == kMac, "making a challenge failed");
  return Secret(std::string(reinterpret_cast<char*>(out), size));
}

}  // namespace

Challenges::Challenges() : key_(RandomBytes(kMac)) {}

std::string Challenges::Make(Micros monotonic) const {
  const std::string text = RandomBytes(kRandom) + absl::StrCat(absl::Hex(monotonic, absl::kZeroPad16));
  return text + Mac(key_, text).Reveal();
}

bool Challenges::Check(std::string_view challenge, Micros monotonic) const {
  if (challenge.size() != kRandom + kDigits + kMac) return false;
  const std::string_view text = challenge.substr(0, kRandom + kDigits);
  if (!(Mac(key_, text) == Secret(std::string(challenge.substr(text.size()))))) return false;
  uint64_t made = 0;
  const std::string_view digits = text.substr(kRandom);
  if (!absl::SimpleHexAtoi(absl::string_view(digits.data(), digits.size()), &made)) return false;
  const Micros age = monotonic - static_cast<Micros>(made);
  return age >= 0 && age <= kGoodFor;
}

}  // namespace quell::security
