#include <limits.h>
#include <unistd.h>

#include <cerrno>

#include "agent/collectors/changes/watches.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

// "/opt/portal/releases/1.8.2" -> "1.8.2".
std::string NameOf(std::string target) {
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  const size_t slash = target.rfind('/');
  return slash == std::string::npos ? target : target.substr(slash + 1);
}

absl::StatusOr<std::string> ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = readlink(path.c_str(), target, sizeof(target));
  if (n >= 0) return std::string(target, static_cast<size_t>(n));
  if (errno == EINVAL) return absl::FailedPreconditionError(absl::StrCat(path, " is not a link"));
  return ErrnoStatus(errno, absl::StrCat("reading the link ", path));
}

}  // namespace

absl::Status LookAtReleases(const ChangePlace& place, const ChangeContext& context) {
  const std::string key = "release " + place.path;
  const std::string link = context.root + place.path + "/current";
  const auto before = context.memory.Find(key);
  const auto target = ReadLink(link);
  if (absl::IsNotFound(target.status())) {
    if (!before) context.memory.Set(key, "");
    return absl::OkStatus();
  }
  if (!target.ok()) return target.status();
  if (before && *before != *target) {
    struct stat st {};
    const bool known = lstat(link.c_str(), &st) == 0;
    ChangeEvent event{"change.release", known ? MicrosOf(st.st_ctim) : 0, {}, ""};
    AddPlace(place, event);
    const std::string from = NameOf(*before), to = NameOf(*target);
    event.labels.insert(event.labels.end(), {{"path", place.path}, {"from", from}, {"to", to}});
    if (known) event.labels.emplace_back("author", UserName(context.root, st.st_uid));
    event.text = absl::StrCat(place.app, " ", from.empty() ? "(none)" : from, " -> ", to);
    context.tell(event);
  }
  context.memory.Set(key, *target);
  return absl::OkStatus();
}

}  // namespace quell::agent
