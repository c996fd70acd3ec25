#include "common/security/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/status.h"

namespace quell::security {
namespace {

constexpr off_t kLongestSecret = 64 << 10;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status CheckSecretFile(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat("reading key file ", path, ": it is not a regular file"));
  if (info.st_uid != 0 && info.st_uid != geteuid())
    return absl::PermissionDeniedError(absl::StrCat("reading key file ", path, ": it belongs to uid ",
                                                    info.st_uid, ", not to this process's user"));
  if ((info.st_mode & 077) != 0)
    return absl::PermissionDeniedError(
        absl::StrCat("reading key file ", path, ": group or others can open it; chmod 600 it"));
  if (info.st_size > kLongestSecret)
    return absl::ResourceExhaustedError(
        absl::StrCat("reading key file ", path, ": it is larger than 64 KiB"));
  return absl::OkStatus();
}

}  // namespace

void Secret::Wipe() {
  if (!value_.empty()) OPENSSL_cleanse(value_.data(), value_.size());
  value_.clear();
}
Secret::Secret(Secret&& other) noexcept : value_(other.value_) { other.Wipe(); }
Secret& Secret::operator=(const Secret& other) {
  if (this != &other) {
    Wipe();
    value_ = other.value_;
  }
  return *this;
}
Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    value_ = other.value_;
    other.Wipe();
  }
  return *this;
}
Secret::~Secret() { Wipe(); }

bool operator==(const Secret& a, const Secret& b) {
  return a.value_.size() == b.value_.size() &&
         CRYPTO_memcmp(a.value_.data(), b.value_.data(), a.value_.size()) == 0;
}

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) return ErrnoStatus(errno, "opening key file " + path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "looking at key file " + path);
  QUELL_RETURN_IF_ERROR(CheckSecretFile(path, info));
  std::string content(static_cast<size_t>(info.st_size), '\0');
  size_t got = 0;
  while (got < content.size()) {
    const ssize_t n = read(file.get(), content.data() + got, content.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "reading key file " + path);
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  content.resize(got);
  Secret secret(content);
  OPENSSL_cleanse(content.data(), content.size());
  return secret;
}

}  // namespace quell::security
