// A release directory as one hash: of everything below it, so that a file more, a file less, another content,
// another link or another executable bit is another hash. No link is followed. Functions over a directory
// descriptor; one thread.
//
// The hash is SHA-256 over the entries in the order of a walk that lists each directory by its names' bytes:
//   type ('d', 'f', 'x' for a file that anybody may execute, 'l') || uint32 length of path || path below the
//   release || uint64 size (of a directory 0) || for a file the SHA-256 of its content, for a link its target
// with numbers in little-endian. Owners, times and other mode bits are not part of it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace quell::agent {

struct TreeBounds {
  uint32_t entries = 200'000;  // files, links and directories
  int64_t bytes = 4ll << 30;   // of files
  int depth = 40;              // directories within one another; each holds a descriptor
  Micros deadline = 0;         // monotonic
};

struct Tree {
  std::string sha256;  // 32 bytes
  uint32_t files = 0;  // and links
  int64_t bytes = 0;   // of files
  // Entries whose inode changed after the time that was asked about (st_ctime, which no user can set), and
  // the first of them in the walk's order, as UTF-8.
  uint32_t changed = 0;
  std::string first_changed;
};

// ResourceExhausted: beyond a bound. DeadlineExceeded. FailedPrecondition, with the path: an entry of another
// user than `owner` or root, one that everybody may write, one that is neither file, directory nor link, or
// another file system.
absl::StatusOr<Tree> HashTree(int directory, uid_t owner, const TreeBounds& bounds, Micros changed_since,
                              Clock& clock);

}  // namespace quell::agent
