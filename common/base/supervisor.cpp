#include "common/base/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell {
namespace {

Micros PatienceOfManager() {
  const char* pid = std::getenv("WATCHDOG_PID");
  const char* patience = std::getenv("WATCHDOG_USEC");
  int64_t number = 0;
  if (pid != nullptr && (!absl::SimpleAtoi(pid, &number) || number != getpid())) return 0;
  return patience != nullptr && absl::SimpleAtoi(patience, &number) && number > 0 ? number : 0;
}

}  // namespace

bool TellSupervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return false;
  sockaddr_un address{};
  const size_t length = strlen(path);
  if (length >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  return sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                reinterpret_cast<const sockaddr*>(&address), size) == static_cast<ssize_t>(state.size());
}

Watchdog::Watchdog(Clock& clock, size_t parts) : Watchdog(clock, parts, PatienceOfManager()) {}

Watchdog::Watchdog(Clock& clock, size_t parts, Micros patience)
    : clock_(clock), all_(static_cast<uint32_t>((uint64_t{1} << parts) - 1)), patience_(patience) {
  Require(parts > 0 && parts <= 32, "a watchdog watches 1 to 32 loops");
}

void Watchdog::Completed(size_t part) {
  if (patience_ == 0) return;
  const uint32_t bit = uint32_t{1} << part;
  if ((completed_.fetch_or(bit) | bit) != all_) return;
  const Micros now = clock_.Monotonic();
  Micros fed = fed_.load();
  if (fed != 0 && now - fed < patience_ / 8) return;
  // Of two loops that come here together one feeds.
  if (!fed_.compare_exchange_strong(fed, now)) return;
  completed_ = 0;
  TellSupervisor("WATCHDOG=1");
}

}  // namespace quell
