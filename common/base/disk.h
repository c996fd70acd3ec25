// Disk: files as the executor's journal, the spool and the store's helpers need them. Implementations are
// owned by main (or a test) and outlive all users; a File belongs to one thread.
//
// MemoryDisk keeps, per file, what was synced and what was only written, so that a crash can drop the latter;
// faults are planted by the n-th operation.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quell {

class AppendFile {
 public:
  virtual ~AppendFile() = default;
  virtual absl::Status Append(std::string_view bytes) = 0;
  virtual absl::Status Sync() = 0;  // fdatasync; after an error the file is not to be trusted any more
  virtual absl::StatusOr<uint64_t> Size() = 0;
};

class Disk {
 public:
  virtual ~Disk() = default;
  // Opens for appending, mode 0600, created when absent; never follows a symbolic link.
  virtual absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) = 0;
  // Whole content; NotFound when absent; ResourceExhausted when longer than limit.
  virtual absl::StatusOr<std::string> Read(const std::string& path, uint64_t limit) = 0;
  // Temp file, write, fsync, rename, fsync of the directory. Mode 0600.
  virtual absl::Status WriteWhole(const std::string& path, std::string_view content) = 0;
  virtual absl::Status Truncate(const std::string& path, uint64_t size) = 0;        // and syncs
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;  // and syncs the directory
  virtual absl::Status Remove(const std::string& path) = 0;                         // absent is fine
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& directory) = 0;  // names, sorted
  virtual bool Exists(const std::string& path) = 0;
};

Disk& RealDisk();

class MemoryDisk final : public Disk {
 public:
  // Called before each operation with its number (1, 2, …), name and path; a non-OK answer is its result.
  using Fault = std::function<absl::Status(uint64_t n, std::string_view operation, std::string_view path)>;

  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override;
  absl::StatusOr<std::string> Read(const std::string& path, uint64_t limit) override;
  absl::Status WriteWhole(const std::string& path, std::string_view content) override;
  absl::Status Truncate(const std::string& path, uint64_t size) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override;
  bool Exists(const std::string& path) override;

  void set_fault(Fault fault) { fault_ = std::move(fault); }
  // What a power cut leaves: everything unsynced is gone, but for `torn` bytes of each unsynced tail.
  void Crash(uint64_t torn = 0);
  uint64_t operations() const { return operations_; }

  struct Content {
    std::string data;
    uint64_t synced = 0;
    uint64_t inode = 0;  // tells a file from another of the same name; 0: never opened
  };
  std::map<std::string, Content>& files() { return files_; }
  absl::Status Enter(std::string_view operation, std::string_view path);

 private:
  friend class MemoryAppendFile;
  std::map<std::string, Content> files_;
  Fault fault_;
  uint64_t operations_ = 0;
  uint64_t last_inode_ = 0;
  uint64_t crashes_ = 0;
};

}  // namespace quell
