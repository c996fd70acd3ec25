#include "agent/pm2/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/status.h"

namespace quell::pm2 {
namespace {

constexpr size_t kReadBytes = 64 << 10;

// A home too long for sun_path is reached through its descriptor. Owns that descriptor.
class SocketAddress {
 public:
  ~SocketAddress() {
    if (directory_ >= 0) close(directory_);
  }
  absl::Status Set(const std::string& home, std::string_view name) {
    std::string path = absl::StrCat(home, "/", absl::string_view(name.data(), name.size()));
    if (path.size() >= sizeof(address_.sun_path)) {
      directory_ = open(home.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (directory_ < 0) return ErrnoStatus(errno, absl::StrCat("opening the PM2 home ", home));
      path = absl::StrCat("/proc/self/fd/", directory_, "/", absl::string_view(name.data(), name.size()));
    }
    if (path.size() >= sizeof(address_.sun_path) || path.find('\0') != std::string::npos)
      return absl::InvalidArgumentError(absl::StrCat("the PM2 home ", home, " is no usable path"));
    address_.sun_family = AF_UNIX;
    memcpy(address_.sun_path, path.c_str(), path.size() + 1);
    return absl::OkStatus();
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }

 private:
  sockaddr_un address_{};
  int directory_ = -1;
};

absl::Status ConnectError(int error, const std::string& what) {
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(absl::StrCat(what, ": no such socket"));
  if (error == ECONNREFUSED)
    return absl::UnavailableError(absl::StrCat(what, ": the socket is there but no daemon listens"));
  if (error == EACCES || error == EPERM)
    return absl::PermissionDeniedError(absl::StrCat(what, ": not allowed for this user"));
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(error)));
}

int PollMillis(Micros deadline, Clock& clock) {
  const Micros left = deadline - clock.Monotonic();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<Micros>((left + kMillisecond - 1) / kMillisecond, 60'000));
}

// OK when ready; DeadlineExceeded otherwise.
absl::Status Await(int fd, short events, Micros deadline, Clock& clock, std::string_view what) {
  for (;;) {
    pollfd entry{fd, events, 0};
    const int n = poll(&entry, 1, PollMillis(deadline, clock));
    if (n > 0) return absl::OkStatus();
    if (n < 0 && errno != EINTR) return ErrnoStatus(errno, what);
    if (clock.Monotonic() >= deadline)
      return absl::DeadlineExceededError(
          absl::StrCat(absl::string_view(what.data(), what.size()), ": nothing within the deadline"));
  }
}

// A full backlog answers EAGAIN to a non-blocking connect on a Unix socket, and poll does not tell when it
// has room again: it is tried anew each 10 ms.
absl::Status ConnectBy(int fd, const SocketAddress& address, Micros deadline, Clock& clock,
                       const std::string& what) {
  while (connect(fd, address.get(), sizeof(sockaddr_un)) != 0) {
    if (errno != EAGAIN && errno != EINTR) return ConnectError(errno, what);
    if (clock.Monotonic() >= deadline)
      return absl::DeadlineExceededError(absl::StrCat(what, ": the daemon accepts no connection"));
    poll(nullptr, 0, 10);
  }
  return absl::OkStatus();
}

absl::StatusOr<PeerCredentials> CheckPeer(int fd, uid_t wanted, const std::string& what) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return ErrnoStatus(errno, absl::StrCat(what, ": asking for the peer's credentials"));
  if (peer.uid != wanted)
    return absl::PermissionDeniedError(absl::StrCat(what, ": the daemon there (pid ", peer.pid,
                                                    ") runs as uid ", peer.uid, ", not as uid ", wanted,
                                                    ": it is not spoken to"));
  return PeerCredentials{peer.pid, peer.uid};
}

}  // namespace

absl::StatusOr<Pm2Socket> Pm2Socket::Connect(const std::string& home, std::string_view name, uid_t uid,
                                             Micros within, Clock& clock) {
  const std::string what =
      absl::StrCat("connecting to PM2 at ", home, "/", absl::string_view(name.data(), name.size()));
  SocketAddress address;
  QUELL_RETURN_IF_ERROR(address.Set(home, name));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(errno, what);
  Pm2Socket result(fd, {});
  QUELL_RETURN_IF_ERROR(ConnectBy(fd, address, clock.Monotonic() + within, clock, what));
  QUELL_ASSIGN_OR_RETURN(result.peer_, CheckPeer(fd, uid, what));
  return result;
}

Pm2Socket::~Pm2Socket() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Pm2Socket::Write(std::string_view bytes, Micros deadline, Clock& clock) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      QUELL_RETURN_IF_ERROR(Await(fd_, POLLOUT, deadline, clock, "writing to the PM2 daemon"));
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("writing to the PM2 daemon: ", strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::Status Pm2Socket::Read(std::string* out, Micros deadline, Clock& clock) {
  for (;;) {
    out->resize(kReadBytes);
    const ssize_t n = recv(fd_, out->data(), out->size(), 0);
    const int error = errno;
    out->resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (n > 0) return absl::OkStatus();
    if (n == 0) return absl::UnavailableError("reading from the PM2 daemon: it has ended the connection");
    if (error != EAGAIN && error != EINTR)
      return absl::UnavailableError(absl::StrCat("reading from the PM2 daemon: ", strerror(error)));
    QUELL_RETURN_IF_ERROR(Await(fd_, POLLIN, deadline, clock, "waiting for the PM2 daemon"));
  }
}

}  // namespace quell::pm2
