#include "agent/collectors/postgres/log_errors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/collectors/postgres/queries.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kMostLine = 4096;
constexpr Micros kPathEvery = 10 * kSecond;
// Whatever a line can begin with behind its prefix (elog.c's error_severity and what follows a message).
constexpr std::string_view kTags[] = {"LOG",     "ERROR",     "FATAL",    "PANIC",    "WARNING",
                                      "NOTICE",  "INFO",      "DETAIL",   "HINT",     "QUERY",
                                      "DEBUG1",  "DEBUG2",    "DEBUG3",   "DEBUG4",   "DEBUG5",
                                      "CONTEXT", "STATEMENT", "LOCATION", "BACKTRACE"};
constexpr std::string_view kCounted[] = {"ERROR", "FATAL", "PANIC", "WARNING"};

// The tag that ends right before `colon`; "" when there is none.
std::string_view TagBefore(std::string_view line, size_t colon) {
  for (std::string_view tag : kTags) {
    if (colon < tag.size() || line.substr(colon - tag.size(), tag.size()) != tag) continue;
    const size_t begin = colon - tag.size();
    if (begin == 0 || !((line[begin - 1] >= 'A' && line[begin - 1] <= 'Z') || line[begin - 1] == '_'))
      return tag;
  }
  return "";
}

}  // namespace

std::string_view PgLogCounter::Severity(std::string_view line) {
  if (line.starts_with('\t')) return "";  // goes on with the line before
  for (size_t at = line.find(":  "); at != std::string_view::npos; at = line.find(":  ", at + 1)) {
    const std::string_view tag = TagBefore(line, at);
    if (tag.empty()) continue;
    return std::find(std::begin(kCounted), std::end(kCounted), tag) != std::end(kCounted) ? tag : "";
  }
  return "";
}

absl::Status PgLogCounter::Open(const std::string& path, bool at_end) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd.get() < 0) return ErrnoStatus(errno, "opening the server's log");
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "looking at the server's log");
  if (!S_ISREG(info.st_mode)) return absl::FailedPreconditionError("the server's log is no ordinary file");
  fd_ = std::move(fd);
  offset_ = at_end ? info.st_size : 0;
  line_.clear();
  return absl::OkStatus();
}

bool PgLogCounter::IsAnother(const std::string& path) const {
  struct stat ours, theirs;
  if (fstat(fd_.get(), &ours) != 0 || lstat(path.c_str(), &theirs) != 0) return false;
  return ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

absl::Status PgLogCounter::Follow(const std::string& path) {
  if (fd_.get() < 0) return Open(path, /*at_end=*/true);
  const size_t left = kMostRead - ReadOn(kMostRead);
  if (left == 0 || !IsAnother(path)) return absl::OkStatus();
  QUELL_RETURN_IF_ERROR(Open(path, /*at_end=*/false));
  ReadOn(left);
  return absl::OkStatus();
}

size_t PgLogCounter::ReadOn(size_t most) {
  struct stat info;
  if (fstat(fd_.get(), &info) != 0) return 0;
  if (info.st_size < offset_) offset_ = 0, line_.clear();  // truncated
  if (info.st_size - offset_ > kMostBehind) {
    skipped_ += static_cast<uint64_t>(info.st_size - offset_);
    offset_ = info.st_size;
    line_.clear();
  }
  char buffer[64 << 10];
  size_t taken = 0;
  while (taken < most) {
    const ssize_t n = pread(fd_.get(), buffer, std::min(sizeof(buffer), most - taken), offset_);
    if (n <= 0) break;
    Take({buffer, static_cast<size_t>(n)});
    offset_ += n;
    taken += static_cast<size_t>(n);
  }
  return taken;
}

void PgLogCounter::Take(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    line_.append(part.substr(0, kMostLine - std::min(kMostLine, line_.size())));
    if (end == std::string_view::npos) return;
    const auto counted = counts_.find(Severity(line_));
    if (counted != counts_.end()) ++counted->second;
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
}

absl::Status PgLogErrors::Read(PgConnection& connection, const std::string& server, Micros now,
                               SeriesTable& table) {
  if (configured_.empty() && now >= path_due_) {
    const auto rows = connection.Query(sql::kLogFile);
    if (!rows.ok() && connection.broken()) return rows.status();
    // A server that doesn't say (before version 16 that takes a grant, which quell.sql makes) is one without
    // a log.
    path_ = rows.ok() && rows->size() == 1 ? rows->Text(0, 0) : "";
    path_due_ = now + kPathEvery;
  }
  const std::string& path = configured_.empty() ? path_ : configured_;
  if (path.empty()) return absl::OkStatus();
  const bool readable = counter_.Follow(path).ok();
  table.Put("pg_log_readable", {{"server", server}}, readable ? 1 : 0);
  for (const auto& [severity, count] : counter_.counts())
    table.Put("pg_log_errors_total", {{"server", server}, {"severity", severity}},
              static_cast<double>(count));
  table.Put("pg_log_skipped_bytes_total", {{"server", server}}, static_cast<double>(counter_.skipped()));
  return absl::OkStatus();
}

}  // namespace quell::agent
