#include "controller/operator/socket.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::operators {
namespace {

constexpr int kBacklog = 16;
constexpr int kWithoutDescriptors = 100;  // ms until the next attempt

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(absl::StrCat("listening at ", path, ": a socket's path has 1 to ",
                                                   sizeof address.sun_path - 1, " bytes"));
  path.copy(address.sun_path, path.size());
  return address;
}

// Removes a socket that a process left behind. Nothing there is fine.
absl::Status ClearPath(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0)
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "looking at " + path);
  if (!S_ISSOCK(info.st_mode))
    return absl::AlreadyExistsError(
        absl::StrCat("listening at ", path, ": something else than a socket is there"));
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool alive =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
  close(probe);
  if (alive)
    return absl::AlreadyExistsError(absl::StrCat("listening at ", path, ": another process listens there"));
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "removing the old socket " + path);
  return absl::OkStatus();
}

absl::Status Bind(int fd, const std::string& path, const sockaddr_un& address) {
  // Before bind: the file is never there with a wider mode.
  if (fchmod(fd, 0600) != 0) return ErrnoStatus(errno, "setting the mode of " + path);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return ErrnoStatus(errno, "listening at " + path);
  if (chmod(path.c_str(), 0600) != 0) return ErrnoStatus(errno, "setting the mode of " + path);
  if (listen(fd, kBacklog) != 0) return ErrnoStatus(errno, "listening at " + path);
  return absl::OkStatus();
}

bool MayBeWritten(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace

std::string PersonOfUid(unsigned uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr &&
      MayBeWritten(found->pw_name))
    return found->pw_name;
  return "uid-" + std::to_string(uid);
}

absl::StatusOr<std::unique_ptr<OperatorSocket>> OperatorSocket::Listen(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  QUELL_RETURN_IF_ERROR(ClearPath(path, address));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(errno, "making a socket for " + path);
  if (const absl::Status bound = Bind(fd, path, address); !bound.ok()) {
    close(fd);
    return bound;
  }
  const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  Require(wake >= 0, "no eventfd for the operators' socket");
  return std::unique_ptr<OperatorSocket>(new OperatorSocket(path, fd, wake));
}

OperatorSocket::OperatorSocket(std::string path, int listener, int wake)
    : path_(std::move(path)), listener_(listener), wake_(wake) {}

OperatorSocket::~OperatorSocket() {
  Stop();
  close(listener_);
  close(wake_);
}

void OperatorSocket::Serve(grpc::Server& server) {
  thread_ = NamedThread("operator-socket", [this, &server] { Accept(server); });
}

void OperatorSocket::Stop() {
  const uint64_t one = 1;
  if (write(wake_, &one, sizeof one) != sizeof one && errno != EAGAIN)
    LogWarning("waking %s: %s", path_, "failed");
  thread_.Join();
  unlink(path_.c_str());
}

void OperatorSocket::Accept(grpc::Server& server) {
  while (true) {
    pollfd ready[2] = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (ready[1].revents != 0) return;
    if ((ready[0].revents & POLLIN) == 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) Take(server, fd);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE)) continue;
    // The caller stays in the backlog, and the listener's poll would say so again at once.
    waits_.fetch_add(1, std::memory_order_relaxed);
    if (poll(&ready[1], 1, kWithoutDescriptors) > 0) return;
  }
}

void OperatorSocket::Take(grpc::Server& server, int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && size == sizeof who;
  if (!known || (who.uid != 0 && who.uid != geteuid())) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    LogWarning(
        "refused uid %d at the operators' socket: administration is root's or the controller's own user's",
        known ? static_cast<int64_t>(who.uid) : -1);
    close(fd);
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    callers_[fd] = Caller{PersonOfUid(who.uid), Role::kAdmin, "socket", who.uid};
  }
  grpc::AddInsecureChannelFromFd(&server, fd);
}

std::optional<Caller> OperatorSocket::CallerOf(const std::string& peer) const {
  constexpr std::string_view kPrefix = "fd:";
  if (peer.compare(0, kPrefix.size(), kPrefix) != 0) return std::nullopt;
  int fd = -1;
  const auto [end, error] = std::from_chars(peer.data() + kPrefix.size(), peer.data() + peer.size(), fd);
  if (error != std::errc() || end != peer.data() + peer.size()) return std::nullopt;
  absl::MutexLock lock(&mutex_);
  const auto found = callers_.find(fd);
  if (found == callers_.end()) return std::nullopt;
  return found->second;
}

}  // namespace quell::operators
