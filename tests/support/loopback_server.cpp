#include "tests/support/loopback_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/status.h"

namespace quell::test {
namespace {

constexpr size_t kLargestBuffer = 8 << 20;

// False when it is time to stop.
bool WaitReadable(int fd, int stop) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) {
  }
  return fds[1].revents == 0;
}

}  // namespace

bool Connection::Fill() {
  if (buffer_.size() > kLargestBuffer || !WaitReadable(fd_, stop_)) return false;
  char bytes[8192];
  const ssize_t n = read(fd_, bytes, sizeof(bytes));
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::optional<std::string> Connection::Line() {
  size_t end = 0;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    if (!Fill()) return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::optional<std::string> Connection::Bytes(size_t n) {
  while (buffer_.size() < n) {
    if (!Fill()) return std::nullopt;
  }
  std::string bytes = buffer_.substr(0, n);
  buffer_.erase(0, n);
  return bytes;
}

bool Connection::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void Connection::Hang() {
  while (Fill()) buffer_.clear();
}

LoopbackServer::LoopbackServer(std::function<void(Connection&)> serve)
    : serve_(std::move(serve)),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  Require(bind(listener_.get(), generic, size) == 0 && listen(listener_.get(), 64) == 0 &&
              getsockname(listener_.get(), generic, &size) == 0,
          "listening on loopback failed");
  port_ = ntohs(address.sin_port);
  acceptor_ = NamedThread("test-accept", [this] { Accept(); });
}

void LoopbackServer::Accept() {
  while (WaitReadable(listener_.get(), stop_.get())) {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    absl::MutexLock lock(&mutex_);
    connections_.emplace_back("test-serve", [this, fd] {
      const UniqueFd owned(fd);
      Connection connection(fd, stop_.get());
      serve_(connection);
    });
  }
}

void LoopbackServer::Stop() {
  if (!listener_.valid()) return;
  const uint64_t one = 1;
  Require(write(stop_.get(), &one, sizeof(one)) == sizeof(one), "stopping a test server failed");
  acceptor_.Join();
  std::vector<NamedThread> connections;
  {
    absl::MutexLock lock(&mutex_);
    connections.swap(connections_);
  }
  connections.clear();
  listener_.reset();
}

}  // namespace quell::test
