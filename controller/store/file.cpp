#include "controller/store/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace quell::store {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status CheckExisting(const std::string& path, const struct stat& st) {
  if (!S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("database ", path, " is not a regular file"));
  }
  if ((st.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("database ", path, " can be read or written by others (mode ",
                     absl::StrFormat("%04o", st.st_mode & 07777), "): make it 0600"));
  }
  if (st.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat("database ", path, " belongs to user ", st.st_uid,
                                                      ", this process runs as ", geteuid()));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsNetworkFilesystem(uint64_t magic) {
  switch (magic) {
    case 0x6969:      // NFS
    case 0x517B:      // SMB
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
    case 0x01021997:  // 9P
    case 0x00C36400:  // Ceph
    case 0x5346414F:  // AFS
    case 0x6B414653:  // kAFS
    case 0x73757245:  // Coda
    case 0x564C:      // NCP
    case 0x0BD00BD0:  // Lustre
    case 0x01161970:  // GFS2
    case 0x7461636F:  // OCFS2
    case 0x19830326:  // BeeGFS
    case 0x47504653:  // GPFS
      return true;
    default:
      return false;
  }
}

absl::StatusOr<std::unique_ptr<WriterLock>> WriterLock::Take(const std::string& database) {
  const std::string path = database + ".lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return ErrnoStatus(errno, "opening the lock file " + path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    close(fd);
    if (error != EWOULDBLOCK) return ErrnoStatus(error, "locking " + path);
    return absl::FailedPreconditionError(
        absl::StrCat("database ", database, " is in use: another controller holds ", path));
  }
  return std::unique_ptr<WriterLock>(new WriterLock(fd));
}

WriterLock::~WriterLock() { close(fd_); }

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = DirectoryOf(path);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "opening directory " + directory);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : ErrnoStatus(error, "syncing directory " + directory);
}

absl::Status PrepareFile(const std::string& path) {
  const std::string directory = DirectoryOf(path);
  struct statfs fs;
  if (statfs(directory.c_str(), &fs) != 0) return ErrnoStatus(errno, "looking at directory " + directory);
  if (IsNetworkFilesystem(static_cast<uint32_t>(fs.f_type))) {
    return absl::FailedPreconditionError(absl::StrCat(
        "database ", path, " lies on a network filesystem (type ",
        absl::Hex(static_cast<uint32_t>(fs.f_type)), "): SQLite's locks and syncs do not hold there"));
  }
  struct stat st;
  if (lstat(path.c_str(), &st) == 0) return CheckExisting(path, st);
  if (errno != ENOENT) return ErrnoStatus(errno, "looking at database " + path);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return ErrnoStatus(errno, "creating database " + path);
  close(fd);
  return SyncDirectoryOf(path);
}

}  // namespace quell::store
