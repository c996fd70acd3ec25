#include "controller/http/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/clock.h"

namespace quell::http {
namespace {

void Describe(const sockaddr_storage& address, std::string& ip, int& port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    port = ntohs(v4->sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    port = ntohs(v6->sin6_port);
  }
  ip = text;
}

}  // namespace

void RemoteAddress(int fd, std::string& ip, int& port) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0) Describe(address, ip, port);
}

void LocalAddress(int fd, std::string& ip, int& port) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0) Describe(address, ip, port);
}

BoundedConnection::BoundedConnection(int fd, size_t byte_limit, Micros time_limit)
    : fd_(fd), left_(byte_limit), until_(RealClock().Monotonic() + time_limit) {}

BoundedConnection::~BoundedConnection() {
  shutdown(fd_, SHUT_RDWR);
  close(fd_);
}

bool BoundedConnection::Wait(short events) const {
  for (;;) {
    const Micros left = until_ - RealClock().Monotonic();
    if (left <= 0) return false;
    pollfd p{fd_, events, 0};
    const int ready = poll(&p, 1, static_cast<int>(left / kMillisecond) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool BoundedConnection::is_readable() const { return begin_ < end_ || Wait(POLLIN); }
bool BoundedConnection::is_writable() const { return Wait(POLLOUT); }

ssize_t BoundedConnection::read(char* out, size_t size) {
  if (begin_ == end_) {
    if (left_ == 0 || !Wait(POLLIN)) return -1;
    const ssize_t n = recv(fd_, buffer_.data(), std::min(buffer_.size(), left_), MSG_DONTWAIT);
    if (n <= 0) return n;
    begin_ = 0;
    end_ = static_cast<size_t>(n);
    left_ -= end_;
  }
  const size_t n = std::min(size, end_ - begin_);
  memcpy(out, buffer_.data() + begin_, n);
  begin_ += n;
  return static_cast<ssize_t>(n);
}

ssize_t BoundedConnection::write(const char* data, size_t size) {
  if (!Wait(POLLOUT)) return -1;
  return send(fd_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void BoundedConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  RemoteAddress(fd_, ip, port);
}

void BoundedConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  LocalAddress(fd_, ip, port);
}

}  // namespace quell::http
