// Keys from files, as Secrets.
#pragma once
#include <string>

#include "absl/status/statusor.h"
#include "common/base/secret.h"

namespace quell::security {

using quell::Secret;

// Reads a file that holds a secret, whole, of at most 64 KiB: a regular file, reached through no symbolic
// link at its last component, owned by root or by this process's user, and open to nobody else. Each refusal
// has its own sentence.
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

}  // namespace quell::security
