#include "agent/executor/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr int kTickMs = 250;
constexpr Micros kEnding = 10 * kSecond;
constexpr Micros kLeastPause = 250 * kMillisecond;
constexpr Micros kMostPause = 8 * kSecond;

// Errors of accept4 that leave the connection in the queue: it would be reported as ready again at once.
bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Server::Server(Executor& executor, ChildPool& pool, Readers& readers, Clock& clock, UniqueFd listener,
               uid_t agent_uid, UniqueFd stop)
    : executor_(executor),
      pool_(pool),
      readers_(readers),
      clock_(clock),
      listener_(std::move(listener)),
      agent_uid_(agent_uid),
      stop_(std::move(stop)) {}

absl::Status Server::Run() {
  Micros give_up = 0;
  while (true) {
    QUELL_RETURN_IF_ERROR(Round());
    if (on_round_) on_round_();
    if (!stopping_) continue;
    if (give_up == 0) give_up = clock_.Monotonic() + kEnding;
    executor_.Stop();
    if (executor_.running() == 0 || clock_.Monotonic() >= give_up) return absl::OkStatus();
  }
}

absl::Status Server::Round() {
  const int agent = agent_ == nullptr ? -1 : agent_->fd();
  const bool writes = agent_ != nullptr && agent_->wants_to_write();
  const bool accepts = clock_.Monotonic() >= accept_at_;
  pollfd fds[4] = {{accepts ? listener_.get() : -1, POLLIN, 0},
                   {agent, static_cast<short>(POLLIN | (writes ? POLLOUT : 0)), 0},
                   {pool_.wake_fd(), POLLIN, 0},
                   {stopping_ ? -1 : stop_.get(), POLLIN, 0}};
  if (poll(fds, 4, kTickMs) < 0 && errno != EINTR) return ErrnoStatus(errno, "waiting for the agent");
  if (fds[3].revents != 0) stopping_ = true;
  for (const auto& [child, exit] : pool_.TakeEnds()) {
    if (!readers_.OnExit(child, exit)) executor_.OnWorkerExit(child, exit);
  }
  if (fds[0].revents != 0) Accept();
  if (agent_ != nullptr && fds[1].revents != 0) ReadAgent();
  executor_.Tick();
  // Nothing is told that an untrusted journal stands for.
  QUELL_RETURN_IF_ERROR(executor_.fatal());
  SendAll();
  return absl::OkStatus();
}

void Server::Accept() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    if (IsShortage(errno)) AcceptLater(errno);
    return;
  }
  accept_pause_ = 0;
  auto peer = PeerOf(fd.get());
  if (!peer.ok() || peer->uid != agent_uid_) {
    executor_.CountRefusal();
    LogWarning("a connection of uid %d was refused: the agent runs as uid %d",
               peer.ok() ? peer->uid : uid_t(-1), agent_uid_);
    return;
  }
  if (agent_ != nullptr) DropAgent(absl::CancelledError("a newer agent has connected"));
  agent_ = std::make_unique<PacketSocket>(std::move(fd));
  executor_.OnAgentConnected();
  readers_.AgentConnected();
  LogInfo("the agent has connected (pid %d)", peer->pid);
}

void Server::AcceptLater(int error) {
  executor_.CountRefusal();
  if (accept_pause_ == 0)
    LogError("a connection can't be taken (%s): it waits, and is tried again", std::strerror(error));
  accept_pause_ = std::clamp(accept_pause_ * 2, kLeastPause, kMostPause);
  accept_at_ = clock_.Monotonic() + accept_pause_;
}

void Server::ReadAgent() {
  std::vector<Message> messages;
  absl::Status status = agent_->Receive(&messages);
  for (const Message& message : messages) {
    const absl::Status taken = executor_.Receive(message.bytes);
    if (status.ok()) status = taken;
  }
  if (status.ok()) return;
  if (!absl::IsUnavailable(status)) executor_.CountRefusal();
  DropAgent(status);
}

void Server::SendAll() {
  if (agent_ == nullptr) return;
  HandOverReaders();
  absl::Status status = agent_->Flush();
  // Reports stay in the journal until they are acknowledged: only as many are queued as the socket takes.
  if (status.ok() && !agent_->wants_to_write()) {
    for (const v1::ExecutorToAgent& message : executor_.TakeMessages()) {
      if (status.ok()) status = agent_->Send(message.SerializeAsString());
    }
  }
  if (!status.ok()) DropAgent(status);
}

void Server::HandOverReaders() {
  for (Readers::HandOver& reader : readers_.StartDue()) {
    v1::ExecutorToAgent message;
    message.set_reader_user(reader.user);
    const absl::Status sent = agent_->Send(message.SerializeAsString(), std::move(reader.fd));
    if (!sent.ok()) LogWarning("handing a reader to the agent: %s", sent.ToString());
  }
}

void Server::DropAgent(const absl::Status& why) {
  LogInfo("the agent is gone: %s", why.ToString());
  agent_.reset();
  readers_.AgentGone();
}

}  // namespace quell::agent
