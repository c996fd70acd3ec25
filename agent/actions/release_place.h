// ReleasePlace on disk: a directory of a host's own sanctions that holds releases/NAME and the link
// `current`. Everything is looked at and changed below descriptors of directories that were reached without a
// link and that nobody but root and the owner can change. Runs as the owner; one thread.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"

namespace quell::agent {

// What `current` says.
struct CurrentRelease {
  std::string name;      // of the release
  std::string link;      // its text, as it stands there
  int64_t since_us = 0;  // when the link was made, Unix time
};

class ReleaseDirectory {
 public:
  // `path` is absolute. FailedPrecondition, with the reason: a part of it is a link or can be written by
  // others, it or releases/ is not the owner's.
  static absl::StatusOr<ReleaseDirectory> Open(const std::string& path, uid_t owner);

  // FailedPrecondition: `current` is no link, or leads elsewhere than to a directory right below releases/.
  absl::StatusOr<CurrentRelease> Current() const;
  // A real directory, the owner's, writable by nobody else.
  absl::StatusOr<UniqueFd> OpenRelease(const std::string& name) const;
  // Lets `current` lead to `name` instead, spelt as `was` is: a new link, renamed over the old one, synced.
  // Aborted, and nothing changed: `current` is not what `was` says any more.
  absl::Status PointCurrentTo(const CurrentRelease& was, const std::string& name) const;

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view release) const;

 private:
  ReleaseDirectory(std::string path, uid_t owner, UniqueFd root, UniqueFd releases)
      : path_(std::move(path)), owner_(owner), root_(std::move(root)), releases_(std::move(releases)) {}

  std::string path_;
  uid_t owner_;
  UniqueFd root_;
  UniqueFd releases_;
};

// What may be the name of a release: one component of at most 255 bytes of UTF-8 without controls, bidi and
// invisible characters, not beginning with a dot. Anything else in it is its owner's affair and goes into no
// command.
bool IsReleaseName(std::string_view name);

// `path` with the release in it (PATH/releases/ANY or PATH/current, itself or below) replaced by `release`;
// empty: it lies in none.
std::string InRelease(std::string_view path, const ReleaseDirectory& place, std::string_view release);

}  // namespace quell::agent
