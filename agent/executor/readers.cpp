#include "agent/executor/readers.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kLeastBackOff = kSecond;
constexpr Micros kMostBackOff = 30 * kSecond;
constexpr Micros kStable = kMinute;
constexpr Micros kWithoutEnd = 36500 * kDay;

}  // namespace

Readers::Readers(ChildPool& pool, Clock& clock, std::string program, std::vector<HostUser> users)
    : pool_(pool), clock_(clock), program_(std::move(program)) {
  for (HostUser& user : users) readers_.emplace_back().user = std::move(user);
}

void Readers::AgentConnected() {
  AgentGone();
  wanted_ = true;
  for (Reader& reader : readers_) reader.due = 0, reader.back_off = 0;
}

void Readers::AgentGone() {
  wanted_ = false;
  for (Reader& reader : readers_) {
    if (reader.child == 0) continue;
    pool_.Kill(reader.child);
    dismissed_.push_back(std::exchange(reader.child, 0));
  }
}

bool Readers::OnExit(uint64_t child, const ExitStatus& exit) {
  auto dismissed = std::find(dismissed_.begin(), dismissed_.end(), child);
  if (dismissed != dismissed_.end()) {
    dismissed_.erase(dismissed);
    return true;
  }
  for (Reader& reader : readers_) {
    if (reader.child != child) continue;
    reader.child = 0;
    const Micros now = clock_.Monotonic();
    const bool stable = now - reader.started >= kStable;
    reader.back_off = stable ? kLeastBackOff : std::clamp(2 * reader.back_off, kLeastBackOff, kMostBackOff);
    reader.due = now + reader.back_off;
    LogWarning("the PM2 reader of %s ended (code %d, signal %d): %s; it is started again in %s",
               reader.user.name, exit.code, exit.signal, exit.error_output, FormatDuration(reader.back_off));
    return true;
  }
  return false;
}

std::vector<Readers::HandOver> Readers::StartDue() {
  std::vector<HandOver> out;
  if (!wanted_) return out;
  for (Reader& reader : readers_) {
    if (reader.child != 0 || clock_.Monotonic() < reader.due) continue;
    auto fd = Start(reader);
    if (fd.ok()) {
      out.push_back({reader.user.name, std::move(*fd)});
      continue;
    }
    reader.back_off = std::clamp(2 * reader.back_off, kLeastBackOff, kMostBackOff);
    reader.due = clock_.Monotonic() + reader.back_off;
    LogWarning("the PM2 reader of %s could not be started: %s", reader.user.name, fd.status().ToString());
  }
  return out;
}

absl::StatusOr<UniqueFd> Readers::Start(Reader& reader) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return ErrnoStatus(errno, "making a socket pair for a PM2 reader");
  }
  UniqueFd ours(fds[0]), agents(fds[1]);
  SpawnOptions options;
  options.program = program_;
  options.argv = {program_, reader.user.pm2_home};
  options.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", absl::StrCat("HOME=", reader.user.home)};
  options.uid = reader.user.uid;
  options.gid = reader.user.gid;
  options.deadline = kWithoutEnd;
  options.pass_fd = ours.get();
  QUELL_ASSIGN_OR_RETURN(reader.child, pool_.Start(options));
  reader.started = clock_.Monotonic();
  return agents;
}

}  // namespace quell::agent
