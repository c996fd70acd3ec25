#include "common/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell {
namespace {

absl::Status CheckTrust(const struct stat& s, const std::string& path, const FileTrust& trust) {
  const auto refuse = [&](absl::string_view why) {
    return absl::PermissionDeniedError(absl::StrCat("reading ", path, ": ", why));
  };
  if (!S_ISREG(s.st_mode)) return refuse("it is not a regular file");
  if (s.st_uid != 0 && s.st_uid != trust.owner) {
    return refuse(absl::StrCat("it belongs to uid ", s.st_uid, ", not to ", trust.owner, " or root"));
  }
  if ((s.st_mode & (S_IWGRP | S_IWOTH)) != 0) return refuse("group or others can write to it");
  if (!trust.others_may_read && (s.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return refuse("group or others have rights on it; it must be mode 0600 or 0400");
  }
  return absl::OkStatus();
}

}  // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

absl::StatusOr<std::string> ReadDescriptor(int fd, uint64_t limit, std::string_view name) {
  std::string out;
  out.reserve(std::min<uint64_t>(limit + 1, 16 << 10));  // a key is not copied about while it is read
  while (true) {
    const size_t before = out.size();
    // One byte over the limit tells "just fits" from "too long".
    const size_t want = std::min<uint64_t>(std::max<size_t>(4096, before), limit + 1 - before);
    out.resize(before + want);
    const ssize_t n = read(fd, out.data() + before, want);
    const int error = errno;
    out.resize(before + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && error == EINTR) continue;
    if (n < 0) return ErrnoStatus(error, "reading " + std::string(name));
    if (n == 0) return out;
    if (out.size() > limit) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "reading ", absl::string_view(name.data(), name.size()), ": longer than ", limit, " bytes"));
    }
  }
}

absl::StatusOr<std::string> ReadTrustedFile(const std::string& path, const FileTrust& trust) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  const int error = errno;
  if (!fd.valid() && error == ELOOP) {
    return absl::PermissionDeniedError(absl::StrCat("reading ", path, ": it is a symbolic link"));
  }
  if (!fd.valid()) return ErrnoStatus(error, "opening " + path);
  struct stat s {};
  if (fstat(fd.get(), &s) != 0) return ErrnoStatus(errno, "reading the state of " + path);
  QUELL_RETURN_IF_ERROR(CheckTrust(s, path, trust));
  return ReadDescriptor(fd.get(), trust.limit, path);
}

}  // namespace quell
