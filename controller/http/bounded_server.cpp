#include "controller/http/bounded_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/clock.h"
#include "common/base/status.h"

namespace quell::http {
namespace {

// The library's own queue hands over a closure; ours are the descriptors, bounded.
class Inline final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> fn) override { fn(); }
  void shutdown() override {}
};

// What shares are counted by: an IPv4 address, or the /64 that one IPv6 host has to itself.
std::string AddressOf(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    return std::string(reinterpret_cast<const char*>(&v4->sin_addr), sizeof v4->sin_addr);
  }
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr;
  const auto* bytes = reinterpret_cast<const char*>(&v6);
  return IN6_IS_ADDR_V4MAPPED(&v6) ? std::string(bytes + 12, 4) : std::string(bytes, 8);
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("address \"", absl::string_view(text.data(), text.size()),
                                                   "\": ", absl::string_view(why.data(), why.size())));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("it has no port (host:port)");
  HostPort result;
  std::string_view host = text.substr(0, colon);
  const std::string port(text.substr(colon + 1));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty()) return wrong("it has no host");
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(port, &result.port) || result.port > 65535) {
    return wrong("its port is not a number from 0 to 65535");
  }
  result.host = std::string(host);
  return result;
}

BoundedServer::BoundedServer(const ServerBounds& bounds, OpenConnection open, Counter& refused)
    : bounds_(bounds), open_(std::move(open)), refused_(refused), waiting_(bounds.waiting) {
  new_task_queue = [] { return new Inline; };
  // Without the library's SO_REUSEPORT, by which another program could take a share of our requests.
  set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  for (size_t i = 0; i < bounds_.threads; ++i) threads_.emplace_back("http", [this] { Serve(); });
}

bool BoundedServer::TakeShare(const std::string& address) {
  if (bounds_.per_address == 0) return true;
  absl::MutexLock lock(&mutex_);
  auto [share, fresh] = shares_.try_emplace(address, 0);
  if (share->second >= bounds_.per_address) return false;
  ++share->second;
  return true;
}

void BoundedServer::GiveBack(const std::string& address) {
  if (bounds_.per_address == 0) return;
  absl::MutexLock lock(&mutex_);
  auto share = shares_.find(address);
  if (share != shares_.end() && --share->second == 0) shares_.erase(share);
}

bool BoundedServer::process_and_close_socket(socket_t fd) {
  Waiting connection{fd, bounds_.per_address == 0 ? "" : AddressOf(fd)};
  if (TakeShare(connection.address)) {
    const std::string address = connection.address;
    if (waiting_.Push(std::move(connection))) return true;
    GiveBack(address);
  }
  refused_.Add();
  close(fd);
  return false;
}

void BoundedServer::Serve() {
  for (;;) {
    std::optional<Waiting> connection = waiting_.Pop(absl::Seconds(1));
    if (!connection.has_value()) {
      if (waiting_.closed()) return;
      continue;
    }
    if (const auto stream = open_(connection->fd); stream != nullptr) {
      bool closed = false;
      process_request(*stream, true, closed, nullptr);
    }
    GiveBack(connection->address);
  }
}

absl::Status BoundedServer::Start(const HostPort& place, const std::string& listen, std::string_view what) {
  const bool bound = place.port == 0 ? (port_ = bind_to_any_port(place.host)) > 0
                                     : bind_to_port(place.host, port_ = place.port);
  if (!bound) {
    return absl::UnavailableError(absl::StrCat("listening on ", listen, " for ",
                                               absl::string_view(what.data(), what.size()),
                                               " failed: the address is in use or not this host's"));
  }
  accepting_ = NamedThread("http-accept", [this] { listen_after_bind(); });
  const Micros until = RealClock().Monotonic() + 10 * kSecond;
  // Until its loop runs, stop() would go unheard.
  while (!is_running()) {
    if (RealClock().Monotonic() > until) Fatal("a listener's thread did not start within 10 s");
    std::this_thread::yield();
  }
  return absl::OkStatus();
}

void BoundedServer::Stop() {
  stop();
  accepting_.Join();
  waiting_.Close();
  threads_.clear();
}

}  // namespace quell::http
