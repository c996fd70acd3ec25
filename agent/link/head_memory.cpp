#include "agent/link/head_memory.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/ids.h"
#include "common/base/log.h"

namespace quell::agent {

HeadMemory::HeadMemory(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {
  auto content = disk_.Read(path_, 1024);
  if (!content.ok()) return;
  const std::vector<std::string> words = absl::StrSplit(*content, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  uint64_t seq = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &seq)) return;
  auto head = HexDecode(words[1]);
  if (!head.ok() || head->size() != 32) return;
  seq_ = saved_ = seq;
  head_ = *head;
}

void HeadMemory::Told(uint64_t seq, const std::string& head, Micros now) {
  if (seq <= seq_ || head.size() != 32) return;
  seq_ = seq;
  head_ = head;
  if (saved_ == 0 || now - saved_at_ >= 10 * kSecond) {
    Save();
    saved_at_ = now;
  }
}

void HeadMemory::Save() {
  if (seq_ == saved_) return;
  absl::Status status = disk_.WriteWhole(path_, absl::StrCat(seq_, " ", HexEncode(head_), "\n"));
  if (status.ok()) {
    saved_ = seq_;
  } else {
    LogWarning("the log's head can't be remembered: %s", std::string(status.message()));
  }
}

}  // namespace quell::agent
