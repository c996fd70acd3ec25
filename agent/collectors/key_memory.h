// What a collector saw last, by key, so that a process after this one knows it: of changes, that what changed
// while the agent was away is told when it is back and what was there at the very first look is not; of PM2,
// why an app is stopped. One file in the agent's state directory for each, its own: a damaged one is as good
// as none. Pure but for the constructor and Save; owned by a collector, which keeps its threads apart.
//
// Format: a line each, "KEY\tVALUE", C-escaped; at most 2,000 keys and 1 MiB before escaping. A key begins
// with the kind of place.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/disk.h"

namespace quell::agent {

class KeyMemory {
 public:
  static constexpr size_t kMostKeys = 2'000;
  static constexpr size_t kMostBytes = 1 << 20;  // of keys and values

  // `path` empty: nothing outlives the process.
  KeyMemory(Disk& disk, std::string path);

  // nullopt: never looked at.
  std::optional<std::string> Find(const std::string& key) const;
  // False beyond the bounds: it is not kept then.
  bool Set(const std::string& key, std::string value);
  void Erase(const std::string& key);
  // Keys with this prefix, in order.
  std::map<std::string, std::string> Under(const std::string& prefix) const;
  // Writes when something is new since the last Save.
  absl::Status Save();

 private:
  void Load();

  Disk& disk_;
  const std::string path_;
  std::map<std::string, std::string> values_;
  size_t bytes_ = 0;
  bool dirty_ = false;
};

}  // namespace quell::agent
