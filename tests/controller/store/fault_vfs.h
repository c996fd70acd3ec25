// FaultVfs: SQLite's file layer with faults. Passes everything on to the system's but counts writes, syncs,
// truncations and deletions, fails those that it is told to, and knows for each file what was synced and what
// was only written, so that a power cut can be played. One thread.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace quell::store {

class FaultVfs {
 public:
  FaultVfs();  // registered under name() until it goes
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;
  const std::string& name() const { return name_; }

  // The n-th operation from now on (1, 2, …) ends with this result code; `for_good`: all later ones too.
  void FailAt(uint64_t n, int code, bool for_good);
  uint64_t operations() const { return operations_; }
  bool failed() const { return failed_; }

  // No operation succeeds any more: the process is as good as dead. Then, with every connection closed,
  // PowerCut leaves in each file what was synced, and of what was written after that whatever `seed` says
  // (0: nothing), each write whole, torn or not at all.
  void Freeze() { frozen_ = true; }
  void PowerCut(uint32_t seed);

  struct Write {
    bool truncate = false;
    int64_t offset = 0;
    std::string data;
  };
  struct Content {
    std::string synced;
    std::vector<Write> pending;
  };
  // SQLITE_OK, or the result that this operation has to have.
  int Enter();
  Content& Track(const std::string& path);
  std::map<std::string, Content>& contents() { return contents_; }
  sqlite3_vfs* real() { return real_; }

 private:
  std::string name_;
  sqlite3_vfs vfs_{};
  sqlite3_vfs* real_;
  std::map<std::string, Content> contents_;
  uint64_t operations_ = 0;
  uint64_t fail_at_ = 0;
  int code_ = SQLITE_OK;
  bool for_good_ = false;
  bool failed_ = false;
  bool frozen_ = false;
};

}  // namespace quell::store
