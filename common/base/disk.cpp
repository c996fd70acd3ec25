#include "common/base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status Failed(std::string_view doing, const std::string& path) {
  const int error = errno;
  return ErrnoStatus(error, std::string(doing) + " " + path);
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string parent = ParentOf(path);
  const UniqueFd fd(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return Failed("opening directory", parent);
  if (fsync(fd.get()) != 0) return Failed("syncing directory", parent);
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("writing to", path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

class MachineFile final : public AppendFile {
 public:
  MachineFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::Status Append(std::string_view bytes) override { return WriteAll(fd_.get(), bytes, path_); }
  absl::Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return Failed("syncing", path_);
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Size() override {
    struct stat s {};
    if (fstat(fd_.get(), &s) != 0) return Failed("reading the size of", path_);
    return static_cast<uint64_t>(s.st_size);
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class MachineDisk final : public Disk {
 public:
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override {
    constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    UniqueFd fd(open(path.c_str(), kFlags));
    if (!fd.valid() && errno == ENOENT) {
      fd = UniqueFd(open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0600));
      if (!fd.valid()) return Failed("creating", path);
      // The name must outlive a power cut as the first synced bytes do.
      QUELL_RETURN_IF_ERROR(SyncDirectoryOf(path));
    }
    if (!fd.valid()) return Failed("opening for appending", path);
    return std::make_unique<MachineFile>(std::move(fd), path);
  }

  absl::StatusOr<std::string> Read(const std::string& path, uint64_t limit) override {
    // Non-blocking, so that a pipe put in the file's place cannot hang the reader.
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) return Failed("opening", path);
    struct stat s {};
    if (fstat(fd.get(), &s) != 0) return Failed("reading the state of", path);
    if (!S_ISREG(s.st_mode)) return absl::FailedPreconditionError("reading " + path + ": not a regular file");
    return ReadDescriptor(fd.get(), limit, path);
  }

  absl::Status WriteWhole(const std::string& path, std::string_view content) override {
    const std::string temporary = path + ".new-" + HexEncode(RandomBytes(6));
    const absl::Status written = WriteNew(temporary, content);
    if (!written.ok()) {
      unlink(temporary.c_str());
      return written;
    }
    return Rename(temporary, path);
  }

  absl::Status Truncate(const std::string& path, uint64_t size) override {
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
    if (!fd.valid()) return Failed("opening for truncation", path);
    if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return Failed("truncating", path);
    if (fsync(fd.get()) != 0) return Failed("syncing", path);
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      const absl::Status failed = Failed("renaming " + from + " to", to);
      return failed;
    }
    return SyncDirectoryOf(to);
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) == 0) return SyncDirectoryOf(path);
    if (errno == ENOENT) return absl::OkStatus();
    return Failed("removing", path);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    DIR* dir = opendir(directory.c_str());
    if (dir == nullptr) return Failed("listing", directory);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override {
    struct stat s {};
    return lstat(path.c_str(), &s) == 0;
  }

 private:
  static absl::Status WriteNew(const std::string& path, std::string_view content) {
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return Failed("creating", path);
    QUELL_RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
    if (fsync(fd.get()) != 0) return Failed("syncing", path);
    return absl::OkStatus();
  }
};

}  // namespace

Disk& RealDisk() {
  static auto& disk = *new MachineDisk;
  return disk;
}

}  // namespace quell
