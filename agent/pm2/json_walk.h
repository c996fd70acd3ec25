// Walks JSON without building it: callbacks see each scalar with the path that leads to it, and keep what
// they want. Bounded in depth; what is not looked at is never stored. Private to this room.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"

namespace quell::pm2 {

// monostate is null. The view is good during the callback alone.
using Scalar = std::variant<std::monostate, bool, double, std::string_view>;
using Path = std::span<const std::string>;  // keys from the root; "#" for an array's elements

struct JsonWalk {
  std::function<void(Path path)> on_open;  // of an object or array; the path is its own
  std::function<void(Path path, const Scalar& value)> on_scalar;
  std::function<void(Path path)> on_close;

  // InvalidArgument for what is not JSON or deeper than `depth`.
  absl::Status Run(std::string_view json, int depth) const;
};

}  // namespace quell::pm2
