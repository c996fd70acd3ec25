// Filesystems: sizes of what is mounted, taken by threads of its own, since statvfs on a dead network mount
// never returns. A mount that hasn't answered within kPatience is told as device_error, its thread is left to
// it, and a new one goes on with the others; such a mount is not asked again before that call returns. Bound:
// kMaxStuck threads may be left so, then nothing more is asked. Any thread may read Latest.
#pragma once
#include <sys/statvfs.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace quell::agent {

struct Filesystem {
  std::string device, mountpoint, fstype;
  bool readonly = false;
  bool error = false;  // it can't be asked, or doesn't answer
  double size = 0, free = 0, avail = 0, files = 0, files_free = 0;
};

class Filesystems {
 public:
  static constexpr Micros kEvery = 5 * kSecond;
  static constexpr Micros kPatience = 2 * kSecond;
  static constexpr size_t kMaxStuck = 4;
  static constexpr size_t kMaxMounts = 512;
  using StatFn = std::function<int(const std::string& path, struct statvfs* out)>;  // 0 or -1 with errno

  Filesystems(std::string root, Clock& clock, StatFn stat = nullptr);
  ~Filesystems();
  // What the last round found; empty before the first.
  std::vector<Filesystem> Latest();

 private:
  struct Shared;
  static void Run(std::shared_ptr<Shared> shared, uint64_t generation);
  static void Watch(const std::shared_ptr<Shared>& shared);
  std::shared_ptr<Shared> shared_;  // with threads that may never return
};

// Mounts worth telling of, in the file's order: node_exporter's exclusions, except that an overlay is kept
// where it is the root. Source of the format: proc(5), mountinfo.
std::vector<Filesystem> ParseMountinfo(std::string_view text);

}  // namespace quell::agent
