// File descriptors: an owner of one, and reading one to its end within a limit. A UniqueFd belongs to one
// thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace quell {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);  // closes what it held

 private:
  int fd_ = -1;
};

// Everything from the descriptor's position to its end; ResourceExhausted when that is more than `limit`
// bytes. `name` is for messages.
absl::StatusOr<std::string> ReadDescriptor(int fd, uint64_t limit, std::string_view name);

struct FileTrust {
  uid_t owner = 0;              // who must own it (or root)
  bool others_may_read = true;  // false: no bit for group or others at all
  uint64_t limit = 1 << 20;
};

// Reads a file that decides something: follows no link at its last component, and checks on the descriptor
// that is then read that it is a regular file, owned by `owner` or root, writable by nobody else, and
// readable by nobody else where that is asked. PermissionDenied says which of these failed. Sources:
// openat(2), fstat(2).
absl::StatusOr<std::string> ReadTrustedFile(const std::string& path, const FileTrust& trust);

}  // namespace quell
