// The watches of the collector of changes, one per kind. Each compares what it finds with what is remembered,
// tells of the difference and remembers what it told. What is seen for the first time is remembered and not
// told. Owned by the collector, used by its thread.
//
// An error names the place that can't be looked at; the other places were looked at all the same.
#pragma once
#include <functional>
#include <string>

#include "agent/collectors/changes/look.h"
#include "agent/collectors/key_memory.h"

namespace quell::agent {

struct ChangeContext {
  const std::string& root;
  KeyMemory& memory;
  Micros wall;  // now
  std::function<void(const ChangeEvent&)> tell;
};

// change.release {user, app, service, path, from, to, author}: the link `current` of a releases directory
// leads elsewhere. The time is the link's ctime, the author its owner: both are the kernel's. A link that is
// gone for a moment, or for good, is no change.
absl::Status LookAtReleases(const ChangePlace& place, const ChangeContext& context);

// change.git {path, branch, from, to, author, …}: HEAD leads to another commit. Read from HEAD, the refs,
// packed-refs and the newest entry of logs/HEAD alone, as text; git is never executed, and no object is
// opened. The format is gitrepository-layout(5)'s.
absl::Status LookAtGit(const ChangePlace& place, const ChangeContext& context);

// change.config {path, before, after, author, …}: the SHA-256 of a file that the pattern matches, never its
// content. Of a file that this user may not read, or that is larger than 1 MiB, size and time of modification
// are compared and both hashes left out. At most 200 files a pattern, 10,000 names looked at, 16 components.
absl::Status LookAtFiles(const ChangePlace& place, const ChangeContext& context);

// change.package {installed, upgraded, removed, packages}: what dpkg.log says. Lines within a minute are one
// event with their number and the first five names. The log is followed over rotation (to dpkg.log.1) and
// truncation; at most 1 MiB a look.
absl::Status LookAtPackages(const ChangeContext& context);

}  // namespace quell::agent
