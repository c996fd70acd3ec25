// Identifiers and small encodings. Pure but for RandomBytes/RandomUuid, which read the kernel and belong to
// the rim.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quell {

std::string RandomBytes(size_t n);  // getrandom(2); a failure is fatal
std::string RandomUuid();           // version 4, lower case
std::string HexEncode(std::string_view bytes);
absl::StatusOr<std::string> HexDecode(std::string_view hex);
bool IsUuid(std::string_view text);          // full match, lower case
bool IsHostName(std::string_view text);      // [a-z0-9]([a-z0-9.-]{0,62}): what `instance` may be
bool IsPersonName(std::string_view text);    // [a-z0-9-]{1,64}
std::string Sha256(std::string_view bytes);  // 32 raw bytes
uint32_t Crc32c(std::string_view bytes);     // Castagnoli, as in iSCSI (RFC 3720 B.4)

}  // namespace quell
