#include "controller/store/cursor.h"

#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::store {
namespace {
constexpr size_t kLongest = 4096;
}

// Hex of: the time as 8 bytes big-endian, then the id.
std::string EncodeCursor(const Place& place) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(static_cast<uint64_t>(place.time) >> shift));
  }
  return HexEncode(bytes + place.id);
}

absl::StatusOr<Place> DecodeCursor(std::string_view cursor) {
  const auto bytes = cursor.size() <= kLongest ? HexDecode(cursor) : absl::StatusOr<std::string>("");
  if (!bytes.ok() || bytes->size() < 8) {
    return absl::InvalidArgumentError("the cursor of this list is not one that was handed out");
  }
  uint64_t time = 0;
  for (size_t i = 0; i < 8; ++i) time = time << 8 | static_cast<unsigned char>((*bytes)[i]);
  return Place{static_cast<Micros>(time), bytes->substr(8)};
}

}  // namespace quell::store
