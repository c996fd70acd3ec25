#include "agent/collectors/host/filesystems.h"

#include <cerrno>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/collectors/host/proc_file.h"

namespace quell::agent {
namespace {

constexpr std::string_view kPseudo[] = {
    "autofs",   "binfmt_misc", "bpf",        "cgroup",     "cgroup2",   "configfs", "debugfs", "devpts",
    "devtmpfs", "fusectl",     "hugetlbfs",  "iso9660",    "mqueue",    "nsfs",     "overlay", "proc",
    "procfs",   "pstore",      "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs",   "tracefs"};
constexpr std::string_view kPlaces[] = {
    "/dev", "/proc", "/sys", "/run/credentials", "/var/lib/docker", "/var/lib/containers/storage"};

bool Under(std::string_view path, std::string_view place) {
  return path.starts_with(place) && (path.size() == place.size() || path[place.size()] == '/');
}

bool Excluded(const Filesystem& fs) {
  if (fs.mountpoint == "/" && fs.fstype == "overlay") return false;
  for (std::string_view type : kPseudo)
    if (fs.fstype == type) return true;
  for (std::string_view place : kPlaces)
    if (Under(fs.mountpoint, place)) return true;
  return false;
}

// mountinfo writes blank, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0'));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool HasOption(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const size_t end = std::min(options.find(','), options.size());
    if (options.substr(0, end) == wanted) return true;
    options.remove_prefix(std::min(end + 1, options.size()));
  }
  return false;
}

}  // namespace

std::vector<Filesystem> ParseMountinfo(std::string_view text) {
  std::vector<Filesystem> mounts;
  std::set<std::pair<std::string, std::string>> seen;
  Scanner scanner(text);
  for (std::string_view line; scanner.NextLine(&line) && mounts.size() < Filesystems::kMaxMounts;) {
    for (int i = 0; i < 4; ++i) NextWord(&line);  // id, parent, major:minor, root
    Filesystem fs;
    fs.mountpoint = Unescape(NextWord(&line));
    fs.readonly = HasOption(NextWord(&line), "ro");
    std::string_view word = NextWord(&line);
    while (!word.empty() && word != "-") word = NextWord(&line);
    fs.fstype = std::string(NextWord(&line));
    fs.device = Unescape(NextWord(&line));
    if (HasOption(NextWord(&line), "ro")) fs.readonly = true;  // the whole superblock
    if (fs.fstype.empty() || Excluded(fs)) continue;
    if (seen.emplace(fs.device, fs.mountpoint).second) mounts.push_back(std::move(fs));
  }
  return mounts;
}

struct Filesystems::Shared {
  std::string root;
  Clock* clock;
  StatFn stat;
  absl::Mutex mutex;
  bool stop ABSL_GUARDED_BY(mutex) = false;
  uint64_t generation ABSL_GUARDED_BY(mutex) =
      1;                                      // of the thread that works; others were left to their mount
  std::string asking ABSL_GUARDED_BY(mutex);  // mount point
  Micros asking_since ABSL_GUARDED_BY(mutex) = 0;  // monotonic; 0: idle
  std::set<std::string> stuck ABSL_GUARDED_BY(mutex);
  std::vector<Filesystem> latest ABSL_GUARDED_BY(mutex);
};

Filesystems::Filesystems(std::string root, Clock& clock, StatFn stat) : shared_(std::make_shared<Shared>()) {
  shared_->root = std::move(root);
  shared_->clock = &clock;
  shared_->stat = stat ? std::move(stat) : [](const std::string& path, struct statvfs* out) {
    return statvfs(path.c_str(), out);
  };
  std::thread(Run, shared_, 1).detach();
}

Filesystems::~Filesystems() {
  absl::MutexLock lock(&shared_->mutex);
  shared_->stop = true;
}

std::vector<Filesystem> Filesystems::Latest() {
  Watch(shared_);
  absl::MutexLock lock(&shared_->mutex);
  return shared_->latest;
}

// A thread that has waited too long is replaced; the mount it waits for is told as failed at once.
void Filesystems::Watch(const std::shared_ptr<Shared>& shared) {
  absl::MutexLock lock(&shared->mutex);
  if (shared->asking_since == 0 || shared->clock->Monotonic() - shared->asking_since < kPatience) return;
  shared->asking_since = 0;
  shared->stuck.insert(shared->asking);
  for (Filesystem& fs : shared->latest)
    if (fs.mountpoint == shared->asking) fs.error = true;
  const uint64_t generation = ++shared->generation;
  if (shared->stuck.size() <= kMaxStuck) std::thread(Run, shared, generation).detach();
}

namespace {

void Fill(Filesystem& fs, const struct statvfs& v) {
  const auto unit = static_cast<double>(v.f_frsize);
  fs.size = static_cast<double>(v.f_blocks) * unit;
  fs.free = static_cast<double>(v.f_bfree) * unit;
  fs.avail = static_cast<double>(v.f_bavail) * unit;
  fs.files = static_cast<double>(v.f_files);
  fs.files_free = static_cast<double>(v.f_ffree);
}

std::vector<Filesystem> ReadMounts(const std::string& root) {
  for (const char* path : {"/proc/1/mountinfo", "/proc/self/mountinfo"}) {
    ProcFile file(root + path);
    const std::string_view text = file.Read();
    if (!text.empty()) return ParseMountinfo(text);
  }
  return {};
}

}  // namespace

void Filesystems::Run(std::shared_ptr<Shared> shared, uint64_t generation) {
  for (;;) {
    std::vector<Filesystem> mounts = ReadMounts(shared->root);
    for (Filesystem& fs : mounts) {
      {
        absl::MutexLock lock(&shared->mutex);
        if (shared->stop || shared->generation != generation) return;
        fs.error = shared->stuck.count(fs.mountpoint) != 0;
        if (fs.error) continue;
        shared->asking = fs.mountpoint;
        shared->asking_since = shared->clock->Monotonic();
      }
      struct statvfs v {};
      const int result = shared->stat(shared->root + fs.mountpoint, &v);
      absl::MutexLock lock(&shared->mutex);
      if (shared->generation != generation) {
        shared->stuck.erase(fs.mountpoint);  // it has answered at last: the others may ask it again
        return;
      }
      shared->asking_since = 0;
      fs.error = result != 0;
      if (!fs.error) Fill(fs, v);
    }
    absl::MutexLock lock(&shared->mutex);
    shared->latest = std::move(mounts);
    if (shared->mutex.AwaitWithTimeout(absl::Condition(&shared->stop), absl::Microseconds(kEvery))) return;
  }
}

}  // namespace quell::agent
