// Where a list goes on: the place of the last row that was shown. Opaque to people. Pure.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace quell::store {

struct Place {
  Micros time = 0;
  std::string id;
};
std::string EncodeCursor(const Place& place);
absl::StatusOr<Place> DecodeCursor(std::string_view cursor);  // InvalidArgument

}  // namespace quell::store
