// Counts what a PostgreSQL server logs, by severity, in its text log (stderr format, English severities).
// Numbers alone leave this file: no line, no statement. Follows rotation and truncation; begins at the log's
// end. Whoever may set what the log's prefix shows (a user's or an application's name) can make a line up:
// the counters' provenance is text. Owned by one collector; one thread.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "agent/collectors/postgres/connection.h"
#include "agent/collectors/series_table.h"
#include "common/base/file.h"
#include "common/base/time.h"

namespace quell::agent {

// Lines of a growing file. Bounds: 1 MiB a call; whoever is more than 16 MiB behind skips to the end, which
// is counted; of a line the first 4 KiB are looked at.
class PgLogCounter {
 public:
  static constexpr size_t kMostRead = 1 << 20;
  static constexpr int64_t kMostBehind = 16 << 20;

  // Reads on in the file at `path`, the former one's rest first when it is another file now. NotFound and the
  // like when it can't be opened.
  absl::Status Follow(const std::string& path);
  const std::map<std::string_view, uint64_t>& counts() const { return counts_; }
  uint64_t skipped() const { return skipped_; }  // bytes

  // The severity that a line reports, of those counted: "WARNING", "ERROR", "FATAL", "PANIC"; "" for any
  // other line.
  static std::string_view Severity(std::string_view line);

 private:
  absl::Status Open(const std::string& path, bool at_end);
  bool IsAnother(const std::string& path) const;
  size_t ReadOn(size_t most);
  void Take(std::string_view bytes);

  UniqueFd fd_;
  int64_t offset_ = 0;
  std::string line_;  // begun, not ended
  std::map<std::string_view, uint64_t> counts_ = {{"ERROR", 0}, {"FATAL", 0}, {"PANIC", 0}, {"WARNING", 0}};
  uint64_t skipped_ = 0;
};

// The counter over the server's own log: the configured file, or where the server says that it writes.
class PgLogErrors {
 public:
  explicit PgLogErrors(std::string configured) : configured_(std::move(configured)) {}
  // Puts pg_log_errors_total and pg_log_readable; nothing when the server writes no text log of its own.
  absl::Status Read(PgConnection& connection, const std::string& server, Micros now, SeriesTable& table);

 private:
  const std::string configured_;
  std::string path_;
  Micros path_due_ = 0;  // monotonic: when the server is asked again
  PgLogCounter counter_;
};

}  // namespace quell::agent
