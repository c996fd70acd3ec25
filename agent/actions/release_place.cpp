#include "agent/actions/release_place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/time.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr char kCurrent[] = "current";
constexpr char kNewLink[] = ".current.quell";  // what an earlier try left under this name is replaced
constexpr size_t kLongestLink = 4096;
constexpr size_t kLongestName = 255;

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

absl::Status Refused(std::string_view path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat(MakeUtf8(path), " ", why));
}

// Whoever may write a directory on the way chooses what is found in it.
absl::Status CheckWriters(const std::string& path, const struct stat& st, uid_t owner) {
  if (st.st_uid != 0 && st.st_uid != owner) return Refused(path, absl::StrCat("belongs to uid ", st.st_uid));
  const bool sticky = (st.st_mode & S_ISVTX) != 0;
  const bool by_group = (st.st_mode & S_IWGRP) != 0 && st.st_gid != getegid();
  if (!sticky && (by_group || (st.st_mode & S_IWOTH) != 0)) return Refused(path, "can be written by others");
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenDirectory(int at, const std::string& name, const std::string& path, uid_t owner,
                                       bool must_own) {
  UniqueFd fd(openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  // A directory on the way may be closed to readers; that is no reason to go another way.
  if (!fd.valid() && errno == EACCES && !must_own) {
    fd.reset(openat(at, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!fd.valid()) {
    if (errno == ELOOP || errno == ENOTDIR) return Refused(path, "is a link or no directory");
    return ErrnoStatus(errno, absl::StrCat("opening ", MakeUtf8(path)));
  }
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", MakeUtf8(path)));
  QUELL_RETURN_IF_ERROR(CheckWriters(path, st, owner));
  if (must_own && st.st_uid != owner) return Refused(path, absl::StrCat("belongs to uid ", st.st_uid));
  return fd;
}

}  // namespace

bool IsReleaseName(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || name[0] == '.' || name.find('/') != name.npos)
    return false;
  while (!name.empty()) {
    const CodePoint c = DecodeUtf8(name);
    if (!c.valid || IsHazardous(c.value)) return false;
    name.remove_prefix(c.size);
  }
  return true;
}

absl::StatusOr<ReleaseDirectory> ReleaseDirectory::Open(const std::string& path, uid_t owner) {
  if (path.empty() || path[0] != '/') return Refused(path, "is no absolute path");
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  UniqueFd at(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string walked;
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&walked, "/", parts[i]);
    if (parts[i] == "..") return Refused(path, "holds ..");
    QUELL_ASSIGN_OR_RETURN(at, OpenDirectory(at.get(), parts[i], walked, owner, i + 1 == parts.size()));
  }
  QUELL_ASSIGN_OR_RETURN(UniqueFd releases,
                         OpenDirectory(at.get(), "releases", absl::StrCat(walked, "/releases"), owner, true));
  return ReleaseDirectory(walked, owner, std::move(at), std::move(releases));
}

absl::StatusOr<CurrentRelease> ReleaseDirectory::Current() const {
  const std::string shown = absl::StrCat(path_, "/", kCurrent);
  struct stat st {};
  if (fstatat(root_.get(), kCurrent, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, absl::StrCat("looking at ", shown));
  }
  if (!S_ISLNK(st.st_mode)) return Refused(shown, "is no link");
  char text[kLongestLink];
  const ssize_t n = readlinkat(root_.get(), kCurrent, text, sizeof text);
  if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", shown));
  CurrentRelease current;
  current.link.assign(text, static_cast<size_t>(n));
  current.since_us = Micros{st.st_ctim.tv_sec} * kSecond + st.st_ctim.tv_nsec / 1000;
  absl::string_view rest = current.link;
  while (absl::EndsWith(rest, "/")) rest.remove_suffix(1);
  const bool below = absl::ConsumePrefix(&rest, absl::StrCat(path_, "/releases/")) ||
                     absl::ConsumePrefix(&rest, "./releases/") || absl::ConsumePrefix(&rest, "releases/");
  if (!below || !IsReleaseName({rest.data(), rest.size()})) {
    return Refused(shown, absl::StrCat("leads to ", MakeUtf8(CutUtf8(current.link, 300)),
                                       ", which is no release right below ", path_, "/releases"));
  }
  current.name = std::string(rest);
  return current;
}

absl::StatusOr<UniqueFd> ReleaseDirectory::OpenRelease(const std::string& name) const {
  if (!IsReleaseName(name)) return Refused(name, "is no name of a release");
  return OpenDirectory(releases_.get(), name, PathOf(name), owner_, true);
}

absl::Status ReleaseDirectory::PointCurrentTo(const CurrentRelease& was, const std::string& name) const {
  // `was.link` ends in its release's name, but for slashes.
  const std::string link = absl::StrCat(was.link.substr(0, was.link.rfind(was.name)), name);
  const auto failed = [&](absl::string_view what) {
    const absl::Status status = ErrnoStatus(errno, absl::StrCat(what, " in ", path_));
    unlinkat(root_.get(), kNewLink, 0);
    return status;
  };
  if (unlinkat(root_.get(), kNewLink, 0) != 0 && errno != ENOENT) return failed("removing an old link");
  if (symlinkat(link.c_str(), root_.get(), kNewLink) != 0) return failed("making a link");
  auto now = Current();
  if (!now.ok() || now->link != was.link) {
    unlinkat(root_.get(), kNewLink, 0);
    return absl::AbortedError(absl::StrCat(path_, "/", kCurrent, " was changed by somebody else meanwhile"));
  }
  if (renameat(root_.get(), kNewLink, root_.get(), kCurrent) != 0) return failed("renaming a link");
  // Renamed it is; whether it survives a power cut is all that a failure here leaves open.
  if (fsync(root_.get()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", path_));
  return absl::OkStatus();
}

std::string ReleaseDirectory::PathOf(std::string_view release) const {
  return absl::StrCat(path_, "/releases/", View(release));
}

std::string InRelease(std::string_view path, const ReleaseDirectory& place, std::string_view release) {
  absl::string_view rest(path.data(), path.size());
  if (absl::ConsumePrefix(&rest, absl::StrCat(place.path(), "/releases/"))) {
    const size_t end = rest.find('/');
    if (end == 0 || rest.empty()) return "";
    rest = end == rest.npos ? "" : rest.substr(end);
  } else if (!absl::ConsumePrefix(&rest, absl::StrCat(place.path(), "/", kCurrent)) ||
             (!rest.empty() && rest[0] != '/')) {
    return "";
  }
  return absl::StrCat(place.PathOf(release), rest);
}

}  // namespace quell::agent
