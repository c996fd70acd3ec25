// The database as a file: made for its owner alone, on a local filesystem, with one writing process. Called
// by the store thread before SQLite sees the path.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace quell::store {

// Whether a filesystem of this statfs(2) magic lives on another machine: there, locks and fsync cannot be
// relied on.
bool IsNetworkFilesystem(uint64_t magic);

// Held by the one process that writes a database; freed by the kernel when it ends. A file beside the
// database, because closing any descriptor of the database itself would drop SQLite's own locks.
class WriterLock {
 public:
  static absl::StatusOr<std::unique_ptr<WriterLock>> Take(const std::string& database);
  ~WriterLock();

 private:
  explicit WriterLock(int fd) : fd_(fd) {}
  int fd_;
};

// Refuses network filesystems, symbolic links and files that others can read; creates the file (0600) when it
// is absent and syncs its directory.
absl::Status PrepareFile(const std::string& path);
absl::Status SyncDirectoryOf(const std::string& path);

}  // namespace quell::store
