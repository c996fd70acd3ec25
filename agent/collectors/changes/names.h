// Files that a pattern of names matches, under bounds that glob(3) does not have: a directory with a million
// entries costs no memory. Any thread.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quell::agent {

struct NamePattern {
  static constexpr size_t kMostFiles = 200;
  static constexpr size_t kMostEntries = 10'000;  // of directories, looked at
  static constexpr size_t kMostComponents = 16;
};

// Paths (without the root) that match an absolute pattern, sorted; * ? [] stand for names within one
// component and not for a leading dot. ResourceExhausted when there is more than the bounds allow.
absl::StatusOr<std::vector<std::string>> FindNames(const std::string& root, const std::string& pattern);

}  // namespace quell::agent
