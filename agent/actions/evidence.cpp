#include "agent/actions/evidence.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "agent/actions/proc.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::agent {

void EvidenceCollector::Missing(const std::string& name, const std::string& why) {
  v1::EvidenceItem* item = result_.add_evidence();
  item->set_name(name);
  item->set_missing(why);
}

void EvidenceCollector::Add(const std::string& name, absl::StatusOr<std::string> content) {
  if (!content.ok()) return Missing(name, std::string(content.status().message()));
  constexpr uint64_t kOverhead = 64;  // name, tags, lengths
  if (bytes_left_ <= kOverhead) return Missing(name, "the budget of bytes was used up");
  bytes_left_ -= kOverhead;
  v1::EvidenceItem* item = result_.add_evidence();
  item->set_name(name);
  item->set_truncated(content->size() > bytes_left_);
  // Of what doesn't fit the end is kept: in a log that is the newest.
  if (item->truncated()) content->erase(0, content->size() - bytes_left_);
  bytes_left_ -= content->size();
  item->set_content(*std::move(content));
}

absl::StatusOr<std::string> TailOfLog(const std::string& path, int lines, uint64_t bytes) {
  if (path.empty()) return absl::NotFoundError("PM2 names no such log");
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
  if (!S_ISREG(st.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  const uint64_t from = size - std::min(size, bytes);
  std::string tail(size - from, '\0');
  size_t got = 0;
  while (got < tail.size()) {
    const ssize_t n = pread(fd.get(), tail.data() + got, tail.size() - got, static_cast<off_t>(from + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", path));
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  tail.resize(got);
  size_t begin = tail.size();
  for (int seen = 0; begin > 0; --begin) {
    if (tail[begin - 1] == '\n' && begin != tail.size() && ++seen == lines) break;
  }
  return tail.substr(begin);
}

void CollectProcess(EvidenceCollector& collector, const std::string& proc_root, int64_t pid,
                    const std::string& suffix) {
  if (pid <= 0) {
    for (const char* name : {"proc.status", "proc.wchan", "proc.fds", "proc.sockets", "kernel.stack"}) {
      collector.Missing(name + suffix, "the app has no process");
    }
    return;
  }
  collector.Item("proc.status" + suffix, [&] { return ReadProcFile(proc_root, pid, "status"); });
  collector.Item("proc.wchan" + suffix, [&] { return ReadProcFile(proc_root, pid, "wchan"); });
  size_t total = 0;
  absl::StatusOr<std::vector<ProcFd>> fds = ListProcFds(proc_root, pid, &total);
  collector.Item("proc.fds" + suffix, [&]() -> absl::StatusOr<std::string> {
    if (!fds.ok()) return fds.status();
    std::string text = absl::StrCat(total, " open\n");
    for (const ProcFd& fd : *fds) absl::StrAppend(&text, fd.number, " ", fd.target, "\n");
    return text;
  });
  collector.Item("proc.sockets" + suffix, [&]() -> absl::StatusOr<std::string> {
    if (!fds.ok()) return fds.status();
    return DescribeSockets(proc_root, pid, *fds);
  });
  collector.Item("kernel.stack" + suffix, [&] { return ReadProcFile(proc_root, pid, "stack"); });
}

}  // namespace quell::agent
