// Secrets that configuration names by their files, as Secrets.
#pragma once
#include <string>

#include "absl/status/statusor.h"
#include "common/base/secret.h"

namespace quell::config {

using quell::Secret;

// One line from a file of at most 64 KiB that belongs to this process's user or to root and that nobody else
// can read or write; a symbolic link is refused. The line end is cut; an empty file and further lines are
// mistakes.
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

}  // namespace quell::config
