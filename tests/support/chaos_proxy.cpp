#include "tests/support/chaos_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"

namespace quell::test {
namespace {

constexpr size_t kInFlight = 256 << 10;
constexpr size_t kRead = 16 << 10;
constexpr size_t kRecorded = 4 << 20;

sockaddr_in AddressOf(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  int port = 0;
  Require(colon != std::string::npos && absl::SimpleAtoi(text.substr(colon + 1), &port) &&
              inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) == 1,
          text + " is not an IPv4 address with a port");
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

void ResetAtClose(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

struct Chunk {
  std::string bytes;
  Micros due = 0;
};

}  // namespace

struct ChaosProxy::Pipe {
  Way way;
  uint64_t link = 0;
  int from = -1, to = -1;
  std::deque<Chunk> queue;
  size_t queued = 0;
  bool ended = false;    // nothing more comes from `from`
  bool told = false;     // and `to` knows
  bool blocked = false;  // `to` takes no more now
  double credit = 1;     // bytes that may go, where they are bounded
  Micros credited = 0;
};

struct ChaosProxy::Link {
  UniqueFd client, server;
  Micros connect_at = 0;
  Pipe up{.way = Way::kUp}, down{.way = Way::kDown};
};

ChaosProxy::ChaosProxy(const std::string& listen_at, const std::string& target)
    : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      target_(target) {
  sockaddr_in address = AddressOf(listen_at);
  socklen_t size = sizeof(address);
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  Require(bind(listener_.get(), plain, size) == 0 && listen(listener_.get(), 1024) == 0 &&
              getsockname(listener_.get(), plain, &size) == 0,
          "listening on " + listen_at + " failed");
  port_ = ntohs(address.sin_port);
  thread_ = NamedThread("chaos", [this] { Run(); });
}

ChaosProxy::~ChaosProxy() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.Join();
}

void ChaosProxy::Wake() {
  const uint64_t one = 1;
  Require(write(wake_.get(), &one, sizeof(one)) == sizeof(one) || errno == EAGAIN, "waking a proxy failed");
}

void ChaosProxy::Set(const Weather& weather) {
  absl::MutexLock lock(&mutex_);
  weather_ = weather;
  Wake();
}

void ChaosProxy::CutAfter(Way way, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  CutOf(way) = bytes;
}

void ChaosProxy::ResetAll() {
  absl::MutexLock lock(&mutex_);
  reset_all_ = true;
  Wake();
}

void ChaosProxy::SetTarget(const std::string& target) {
  absl::MutexLock lock(&mutex_);
  target_ = target;
}

ChaosProxy::Counts ChaosProxy::counts() {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

void ChaosProxy::Record(Way way) {
  absl::MutexLock lock(&mutex_);
  recording_ = way;
}

std::vector<std::string> ChaosProxy::recorded() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> all;
  for (const auto& [link, bytes] : recorded_) all.push_back(bytes);
  return all;
}

void ChaosProxy::Run() {
  while (true) {
    Await();
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    ServeAll();
  }
}

bool ChaosProxy::Chance(double share) {
  return share > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < share;
}

std::optional<Micros> ChaosProxy::DueOf(const Pipe& pipe) const {
  const bool passes = pipe.way == Way::kUp ? weather_.up_passes : weather_.down_passes;
  if (pipe.queue.empty() || !passes) return std::nullopt;
  Micros due = pipe.queue.front().due;
  if (weather_.bytes_per_second > 0 && pipe.credit < 1) {
    const double wait = (1 - pipe.credit) / static_cast<double>(weather_.bytes_per_second);
    due = std::max(due, pipe.credited + static_cast<Micros>(wait * kSecond) + 1);
  }
  return due;
}

// Until something can be read or written, or is due.
void ChaosProxy::Await() {
  std::vector<pollfd> polls = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  Micros until = RealClock().Monotonic() + kSecond;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& link : links_) {
      if (!link->server.valid()) until = std::min(until, link->connect_at);
      for (const Pipe* pipe : {&link->up, &link->down}) {
        if (pipe->from >= 0 && !pipe->ended && pipe->queued < kInFlight)
          polls.push_back({pipe->from, POLLIN, 0});
        const std::optional<Micros> due = DueOf(*pipe);
        if (due && pipe->blocked) polls.push_back({pipe->to, POLLOUT, 0});
        if (due && !pipe->blocked) until = std::min(until, *due);
      }
    }
  }
  const Micros wait = std::max<Micros>(until - RealClock().Monotonic(), 0);
  poll(polls.data(), polls.size(), static_cast<int>((wait + kMillisecond - 1) / kMillisecond));
  uint64_t count = 0;
  if (read(wake_.get(), &count, sizeof(count)) < 0) Require(errno == EAGAIN, "reading an eventfd failed");
}

void ChaosProxy::ServeAll() {
  const Micros now = RealClock().Monotonic();
  const bool all = std::exchange(reset_all_, false);  // a cut of this round resets the others in the next
  Accept(now);
  for (auto it = links_.begin(); it != links_.end();) {
    Link& link = **it;
    const Next next = all ? Next::kReset : Serve(link, now);
    if (next == Next::kReset) {
      ResetAtClose(link.client.get());
      if (link.server.valid()) ResetAtClose(link.server.get());
    }
    it = next == Next::kKeep ? it + 1 : links_.erase(it);
  }
}

void ChaosProxy::Accept(Micros now) {
  while (true) {
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) return;
    if (!weather_.accepts) {
      ResetAtClose(client.get());
      continue;
    }
    ++counts_.connections;
    SendAtOnce(client.get());
    auto link = std::make_unique<Link>();
    link->client = std::move(client);
    link->up.link = link->down.link = next_link_++;
    link->connect_at = now;
    if (weather_.connect_latency > 0)
      link->connect_at += std::uniform_int_distribution<Micros>(0, weather_.connect_latency)(random_);
    links_.push_back(std::move(link));
  }
}

// Blocks: what it connects to is on this machine, and answers at once or refuses.
ChaosProxy::Next ChaosProxy::ConnectOn(Link& link) {
  link.server.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = AddressOf(target_);
  if (connect(link.server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return Next::kReset;
  SendAtOnce(link.server.get());
  link.up.from = link.down.to = link.client.get();
  link.up.to = link.down.from = link.server.get();
  return Next::kKeep;
}

ChaosProxy::Next ChaosProxy::Serve(Link& link, Micros now) {
  if (!link.server.valid()) {
    if (now < link.connect_at) return Next::kKeep;
    if (ConnectOn(link) != Next::kKeep) return Next::kReset;
  }
  for (Pipe* pipe : {&link.up, &link.down}) {
    if (ReadInto(*pipe, now) == Next::kReset || WriteFrom(*pipe, now) == Next::kReset) return Next::kReset;
    if (!pipe->ended || !pipe->queue.empty() || pipe->told) continue;
    shutdown(pipe->to, SHUT_WR);
    pipe->told = true;
  }
  return link.up.told && link.down.told ? Next::kClose : Next::kKeep;
}

ChaosProxy::Next ChaosProxy::ReadInto(Pipe& pipe, Micros now) {
  char buffer[kRead];
  while (!pipe.ended && pipe.queued < kInFlight) {
    const ssize_t n = recv(pipe.from, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? Next::kKeep : Next::kReset;
    if (n == 0) {
      pipe.ended = true;
      break;
    }
    if (Chance(weather_.resets)) {
      ++counts_.resets;
      return Next::kReset;
    }
    Micros due = now + weather_.latency + (Chance(weather_.stalls) ? weather_.stall : 0);
    if (!pipe.queue.empty()) due = std::max(due, pipe.queue.back().due);  // TCP keeps the order
    pipe.queue.push_back({std::string(buffer, static_cast<size_t>(n)), due});
    pipe.queued += static_cast<size_t>(n);
  }
  return Next::kKeep;
}

uint64_t ChaosProxy::Allowance(Pipe& pipe, Micros now) {
  if (weather_.bytes_per_second == 0) return kInFlight;
  const auto rate = static_cast<double>(weather_.bytes_per_second);
  if (pipe.credited != 0) pipe.credit += rate * static_cast<double>(now - pipe.credited) / kSecond;
  pipe.credit = std::min(pipe.credit, std::max(1.0, rate / 20));
  pipe.credited = now;
  return static_cast<uint64_t>(pipe.credit);
}

void ChaosProxy::Passed(Pipe& pipe, uint64_t bytes) {
  std::string& front = pipe.queue.front().bytes;
  if (recording_ == pipe.way && kept_ + bytes <= kRecorded) {
    recorded_[pipe.link].append(front, 0, bytes);
    kept_ += bytes;
  }
  (pipe.way == Way::kUp ? counts_.up : counts_.down) += bytes;
  pipe.queued -= bytes;
  if (weather_.bytes_per_second > 0) pipe.credit -= static_cast<double>(bytes);
  front.erase(0, bytes);
  if (front.empty()) pipe.queue.pop_front();
}

ChaosProxy::Next ChaosProxy::WriteFrom(Pipe& pipe, Micros now) {
  pipe.blocked = false;
  std::optional<uint64_t>& cut = CutOf(pipe.way);
  while (true) {
    uint64_t most = Allowance(pipe, now);
    const std::optional<Micros> due = DueOf(pipe);
    if (!due || *due > now || most == 0) return Next::kKeep;
    if (cut) most = std::min(most, *cut);
    ssize_t sent = 0;
    if (most > 0) {
      const std::string& front = pipe.queue.front().bytes;
      sent = send(pipe.to, front.data(), std::min<size_t>(front.size(), most), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return Next::kReset;
      pipe.blocked = sent < 0;
      if (sent < 0) return Next::kKeep;
      Passed(pipe, static_cast<uint64_t>(sent));
    }
    if (!cut) continue;
    *cut -= static_cast<uint64_t>(sent);
    if (*cut > 0) continue;
    cut.reset();
    ++counts_.cuts;
    reset_all_ = true;
    Wake();
    return Next::kReset;
  }
}

}  // namespace quell::test
