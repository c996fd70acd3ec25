// Files that only root (without root: the user quell runs as) may have written, and that nobody else can have
// swapped: besides what ReadTrustedFile of common/base checks, no part of the path is a link and no directory
// on the way can be written by another. Functions over the file system; any thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quell::agent {

// Content of a regular file that is owned by `owner` or root, not writable by group or others, at most
// `limit` bytes, reached without a symbolic link, in directories that nobody else can write (above the one
// that holds it a sticky directory of root's is fine). NotFound when absent; every other refusal is
// PermissionDenied or ResourceExhausted, one sentence with the path.
absl::StatusOr<std::string> ReadGuardedFile(const std::string& path, uid_t owner, uint64_t limit);

// Names in a directory that passes the same checks, sorted; at most `most`. NotFound when absent.
absl::StatusOr<std::vector<std::string>> ListGuardedDirectory(const std::string& path, uid_t owner,
                                                              size_t most);

}  // namespace quell::agent
