// Pm2Socket: a connection to one of a PM2 daemon's Unix sockets whose far end has been checked. Move-only;
// used by one thread.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace quell::pm2 {

// True when a process of `peer` may be spoken to as the daemon of `wanted`.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
};

class Pm2Socket {
 public:
  // Connects to home/name ("rpc.sock", "pub.sock") and, before anything is sent, asks the kernel for the
  // peer's credentials (SO_PEERCRED); another uid than `uid` is PermissionDenied. NotFound: no such file;
  // Unavailable: nobody listens.
  static absl::StatusOr<Pm2Socket> Connect(const std::string& home, std::string_view name, uid_t uid,
                                           Micros within, Clock& clock);
  Pm2Socket(Pm2Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)), peer_(other.peer_) {}
  Pm2Socket& operator=(Pm2Socket&&) = delete;
  ~Pm2Socket();

  // Writes all of it by `deadline` (monotonic). Unavailable when the connection has ended.
  absl::Status Write(std::string_view bytes, Micros deadline, Clock& clock);
  // Replaces *out by 1 to 64 KiB, waiting until `deadline` (monotonic). DeadlineExceeded: nothing came;
  // Unavailable: the connection has ended.
  absl::Status Read(std::string* out, Micros deadline, Clock& clock);

  int fd() const { return fd_; }
  pid_t peer_pid() const { return peer_.pid; }

 private:
  Pm2Socket(int fd, PeerCredentials peer) : fd_(fd), peer_(peer) {}
  int fd_;
  PeerCredentials peer_;
};

}  // namespace quell::pm2
