// Secrets: values that come from files and that nothing prints by accident. A Secret has no stream operator,
// no ToString and no implicit conversion; whoever needs the bytes calls Reveal() where they are used.
// Copyable; owned by whoever holds it. Any thread may read.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace quell::config {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

// One line from a file of at most 64 KiB that belongs to this process's user or to root and that nobody else
// can read or write; a symbolic link is refused. The line end is cut; an empty file and further lines are
// mistakes.
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

}  // namespace quell::config
