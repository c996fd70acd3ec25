#include "agent/actions/release_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kChunk = 256 << 10;
constexpr size_t kLongestTarget = 4096;

class Sha256Stream {
 public:
  Sha256Stream() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { Restart(); }
  void Restart() {
    Require(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1, "beginning a SHA-256 failed");
  }
  void Add(std::string_view bytes) {
    Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "adding to a SHA-256 failed");
  }
  void AddNumber(uint64_t value, int bytes) {
    char little[8];
    for (int i = 0; i < bytes; ++i) little[i] = static_cast<char>(value >> (8 * i) & 0xff);
    Add({little, static_cast<size_t>(bytes)});
  }
  std::string Finish() {
    std::string out(32, '\0');
    const int ok = EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(out.data()), nullptr);
    Require(ok == 1, "ending a SHA-256 failed");
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

class Walk {
 public:
  Walk(uid_t owner, const TreeBounds& bounds, Micros changed_since, Clock& clock)
      : owner_(owner), bounds_(bounds), changed_since_(changed_since), clock_(clock), chunk_(kChunk, '\0') {}

  absl::StatusOr<Tree> Run(int root) {
    struct stat st {};
    if (fstat(root, &st) != 0) return ErrnoStatus(errno, "looking at the release");
    device_ = st.st_dev;
    QUELL_RETURN_IF_ERROR(Directory(root, "", 0));
    tree_.sha256 = all_.Finish();
    return std::move(tree_);
  }

 private:
  static std::string Shown(const std::string& path) { return MakeUtf8(path); }

  absl::Status InTime() {
    if (clock_.Monotonic() < bounds_.deadline) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("reading the release took too long: ", tree_.files, " files were read"));
  }

  absl::Status Judge(const std::string& path, const struct stat& st) {
    const auto bad = [&](absl::string_view why) {
      return absl::FailedPreconditionError(absl::StrCat(Shown(path), " ", why));
    };
    if (st.st_uid != owner_ && st.st_uid != 0) return bad(absl::StrCat("belongs to uid ", st.st_uid));
    if (!S_ISLNK(st.st_mode) && (st.st_mode & S_IWOTH) != 0) return bad("may be written by everybody");
    if (st.st_dev != device_) return bad("lies on another file system");
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
      return bad("is neither file, directory nor link");
    }
    return absl::OkStatus();
  }

  void NoteChange(const std::string& path, const struct stat& st) {
    const Micros changed = Micros{st.st_ctim.tv_sec} * kSecond + st.st_ctim.tv_nsec / 1000;
    if (changed <= changed_since_) return;
    if (tree_.changed++ == 0) tree_.first_changed = Shown(path);
  }

  void Entry(char type, const std::string& path, uint64_t size) {
    all_.Add({&type, 1});
    all_.AddNumber(path.size(), 4);
    all_.Add(path);
    all_.AddNumber(size, 8);
  }

  absl::Status Directory(int fd, const std::string& path, int depth) {
    if (depth >= bounds_.depth) {
      return absl::ResourceExhaustedError(
          absl::StrCat(Shown(path), " lies deeper than ", bounds_.depth, " directories"));
    }
    QUELL_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(fd, path));
    for (const std::string& name : names) {
      QUELL_RETURN_IF_ERROR(InTime());
      const std::string below = path.empty() ? name : absl::StrCat(path, "/", name);
      struct stat st {};
      if (fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrnoStatus(errno, absl::StrCat("looking at ", Shown(below)));
      }
      QUELL_RETURN_IF_ERROR(Judge(below, st));
      NoteChange(below, st);
      if (S_ISLNK(st.st_mode)) {
        QUELL_RETURN_IF_ERROR(Link(fd, name, below));
      } else if (S_ISDIR(st.st_mode)) {
        UniqueFd inner(openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!inner.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", Shown(below)));
        Entry('d', below, 0);
        QUELL_RETURN_IF_ERROR(Directory(inner.get(), below, depth + 1));
      } else {
        QUELL_RETURN_IF_ERROR(File(fd, name, below));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Names(int fd, const std::string& path) {
    UniqueFd own(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::unique_ptr<DIR, int (*)(DIR*)> dir(own.valid() ? fdopendir(own.get()) : nullptr, closedir);
    if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("listing ", Shown(path)));
    own.release();
    std::vector<std::string> names;
    while (const dirent* entry = readdir(dir.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (++entries_ > bounds_.entries) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the release holds more than ", bounds_.entries, " entries"));
      }
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status Link(int fd, const std::string& name, const std::string& path) {
    char target[kLongestTarget];
    const ssize_t n = readlinkat(fd, name.c_str(), target, sizeof target);
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading the link ", Shown(path)));
    ++tree_.files;
    Entry('l', path, static_cast<uint64_t>(n));
    all_.Add({target, static_cast<size_t>(n)});
    return absl::OkStatus();
  }

  absl::Status File(int fd, const std::string& name, const std::string& path) {
    UniqueFd file(openat(fd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat st {};
    if (!file.valid() || fstat(file.get(), &st) != 0) {
      return ErrnoStatus(errno, absl::StrCat("opening ", Shown(path)));
    }
    if (!S_ISREG(st.st_mode))
      return absl::AbortedError(absl::StrCat(Shown(path), " changed while it was read"));
    content_.Restart();
    uint64_t size = 0;
    while (true) {
      const ssize_t n = read(file.get(), chunk_.data(), chunk_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", Shown(path)));
      if (n == 0) break;
      content_.Add({chunk_.data(), static_cast<size_t>(n)});
      size += static_cast<uint64_t>(n);
      tree_.bytes += n;
      if (tree_.bytes > bounds_.bytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the release holds more than ", bounds_.bytes, " bytes"));
      }
      QUELL_RETURN_IF_ERROR(InTime());
    }
    ++tree_.files;
    Entry((st.st_mode & 0111) != 0 ? 'x' : 'f', path, size);
    all_.Add(content_.Finish());
    return absl::OkStatus();
  }

  const uid_t owner_;
  const TreeBounds& bounds_;
  const Micros changed_since_;
  Clock& clock_;
  std::string chunk_;
  dev_t device_ = 0;
  uint32_t entries_ = 0;
  Sha256Stream all_, content_;
  Tree tree_;
};

}  // namespace

absl::StatusOr<Tree> HashTree(int directory, uid_t owner, const TreeBounds& bounds, Micros changed_since,
                              Clock& clock) {
  return Walk(owner, bounds, changed_since, clock).Run(directory);
}

}  // namespace quell::agent
