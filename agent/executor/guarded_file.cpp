#include "agent/executor/guarded_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

absl::Status Refused(const std::string& path, absl::string_view why) {
  return absl::PermissionDeniedError(absl::StrCat(path, " is refused: ", why));
}

// Of a file or directory on the way: whoever can write it can choose what is read. `further_up`: a directory
// of which only one name is used, and that name is known to be a directory of root's or the owner's. Where
// such a one is sticky, as /tmp is, others may add names to it, but can't rename or remove that one: no harm.
// Closer to what is read it is harm enough to add one: a file in sanctions.d, or sanctions.d itself, that
// nobody trusts stops every action.
absl::Status CheckOwner(const std::string& path, const struct stat& st, uid_t owner, bool further_up) {
  if (st.st_uid != 0 && st.st_uid != owner) {
    return Refused(path, absl::StrCat("it belongs to uid ", st.st_uid, ", not to root",
                                      owner == 0 ? "" : absl::StrCat(" or uid ", owner)));
  }
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0) return absl::OkStatus();
  const bool sticky = S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0;
  if (!sticky) return Refused(path, "its group or others can write it");
  if (further_up) return absl::OkStatus();
  return Refused(path, "its group or others can write it: what they add there would count, sticky or not");
}

// Walks from / with each component opened in the directory before it; no component may be a link.
absl::StatusOr<UniqueFd> OpenChecked(const std::string& path, uid_t owner, bool directory) {
  if (path.empty() || path[0] != '/') return Refused(path, "its path is not absolute");
  UniqueFd at(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string walked;
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == "..") return Refused(path, "its path holds ..");
    const bool last = i + 1 == parts.size();
    absl::StrAppend(&walked, "/", parts[i]);
    int flags = O_NOFOLLOW | O_CLOEXEC;
    flags |= last ? O_RDONLY | O_NONBLOCK | O_NOCTTY | (directory ? O_DIRECTORY : 0) : O_PATH | O_DIRECTORY;
    UniqueFd next(openat(at.get(), parts[i].c_str(), flags));
    if (next.get() < 0) {
      if (errno == ELOOP || errno == ENOTDIR) return Refused(walked, "it is a symbolic link or no directory");
      return ErrnoStatus(errno, absl::StrCat("opening ", walked));
    }
    struct stat st {};
    if (fstat(next.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", walked));
    QUELL_RETURN_IF_ERROR(CheckOwner(walked, st, owner, i + 2 < parts.size()));
    at = std::move(next);
  }
  return at;
}

}  // namespace

absl::StatusOr<std::string> ReadGuardedFile(const std::string& path, uid_t owner, uint64_t limit) {
  auto file = OpenChecked(path, owner, /*directory=*/false);
  if (!file.ok()) return file.status();
  struct stat st {};
  if (fstat(file->get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
  if (!S_ISREG(st.st_mode)) return Refused(path, "it is no regular file");
  return ReadDescriptor(file->get(), limit, path);
}

absl::StatusOr<std::vector<std::string>> ListGuardedDirectory(const std::string& path, uid_t owner,
                                                              size_t most) {
  auto fd = OpenChecked(path, owner, /*directory=*/true);
  if (!fd.ok()) return fd.status();
  std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(fd->get()), closedir);
  if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("listing ", path));
  fd->release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.push_back(name);
    if (names.size() > most)
      return absl::ResourceExhaustedError(absl::StrCat(path, " holds more than ", most, " files"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace quell::agent
