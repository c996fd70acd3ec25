// HeadMemory: the newest log head that a controller told this agent, kept over restarts, so that a controller
// with a shorter or another history is found out. Owned by main; used by the link's thread alone.
#pragma once
#include <cstdint>
#include <string>

#include "common/base/disk.h"
#include "common/base/time.h"

namespace quell::agent {

class HeadMemory {
 public:
  // A file that is absent or damaged means that nothing is remembered.
  HeadMemory(Disk& disk, std::string path);
  // Takes a higher head; written at most each ten seconds (and by Save).
  void Told(uint64_t seq, const std::string& head, Micros now);
  void Save();
  uint64_t seq() const { return seq_; }
  const std::string& head() const { return head_; }

 private:
  Disk& disk_;
  const std::string path_;
  uint64_t seq_ = 0;
  std::string head_;
  uint64_t saved_ = 0;
  Micros saved_at_ = 0;
};

}  // namespace quell::agent
