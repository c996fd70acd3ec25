#include "agent/executor/client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr int kLeastBackOffMs = 100;
constexpr int kMostBackOffMs = 2000;

void Clear(int eventfd) {
  uint64_t n = 0;
  [[maybe_unused]] const ssize_t got = read(eventfd, &n, sizeof n);
}

}  // namespace

ExecutorClient::ExecutorClient(std::string path, Handlers handlers)
    : path_(std::move(path)), handlers_(std::move(handlers)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Require(wake_.valid(), "making an eventfd failed");
  thread_ = NamedThread("executor-link", [this] { Run(); });
}

ExecutorClient::~ExecutorClient() {
  stop_ = true;
  Wake();
  thread_.Join();
}

void ExecutorClient::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

bool ExecutorClient::Send(const v1::AgentToExecutor& message) {
  if (!connected_ || !out_.Push(message.SerializeAsString())) return false;
  Wake();
  return true;
}

bool ExecutorClient::Submit(std::string_view signed_command) {
  v1::AgentToExecutor message;
  message.set_submit(std::string(signed_command));
  return Send(message);
}

bool ExecutorClient::Cancel(std::string_view id) {
  v1::AgentToExecutor message;
  message.set_cancel(std::string(id));
  return Send(message);
}

bool ExecutorClient::Acknowledge(uint64_t seq) {
  v1::AgentToExecutor message;
  message.set_reports_acked(seq);
  return Send(message);
}

bool ExecutorClient::OfferTrust(std::string_view signed_bundle) {
  v1::AgentToExecutor message;
  message.set_trust_bundle(std::string(signed_bundle));
  return Send(message);
}

bool ExecutorClient::AskStatus() {
  v1::AgentToExecutor message;
  message.set_status(true);
  return Send(message);
}

void ExecutorClient::Run() {
  int wait = kLeastBackOffMs;
  std::string told;
  while (!stop_) {
    const absl::Status ended = RunConnection();
    const bool was_connected = connected_.exchange(false);
    while (out_.Pop(absl::ZeroDuration())) {
    }
    if (stop_) return;
    // Each reason once, not at each try.
    const std::string why(ended.message());
    if (was_connected) wait = kLeastBackOffMs;
    if (handlers_.on_connection && (was_connected || why != told)) handlers_.on_connection(false, why);
    told = why;
    pollfd woken{wake_.get(), POLLIN, 0};
    poll(&woken, 1, wait);
    Clear(wake_.get());
    wait = std::min(2 * wait, kMostBackOffMs);
  }
}

absl::Status ExecutorClient::RunConnection() {
  QUELL_ASSIGN_OR_RETURN(UniqueFd fd, ConnectPackets(path_));
  QUELL_ASSIGN_OR_RETURN(const PeerUser peer, PeerOf(fd.get()));
  if (peer.uid != 0 && peer.uid != geteuid()) {
    return absl::PermissionDeniedError("what listens at the executor's socket is neither root nor this user");
  }
  PacketSocket socket(std::move(fd));
  connected_ = true;
  if (handlers_.on_connection) handlers_.on_connection(true, "");
  return Serve(socket);
}

absl::Status ExecutorClient::Serve(PacketSocket& socket) {
  while (!stop_) {
    pollfd fds[2] = {{socket.fd(), static_cast<short>(POLLIN | (socket.wants_to_write() ? POLLOUT : 0)), 0},
                     {wake_.get(), POLLIN, 0}};
    if (poll(fds, 2, 1000) < 0 && errno != EINTR) return ErrnoStatus(errno, "waiting for the executor");
    Clear(wake_.get());
    while (auto message = out_.Pop(absl::ZeroDuration())) QUELL_RETURN_IF_ERROR(socket.Send(*message));
    QUELL_RETURN_IF_ERROR(socket.Flush());
    std::vector<Message> messages;
    const absl::Status received = socket.Receive(&messages);
    for (Message& message : messages) Take(std::move(message));
    QUELL_RETURN_IF_ERROR(received);
  }
  return absl::OkStatus();
}

void ExecutorClient::Take(Message&& message) {
  v1::ExecutorToAgent parsed;
  if (!parsed.ParseFromString(message.bytes)) {
    LogWarning("a message of the executor could not be read (%d bytes)", message.bytes.size());
    return;
  }
  if (!parsed.reader_user().empty() && message.fd.valid()) {
    if (handlers_.on_reader) handlers_.on_reader(parsed.reader_user(), std::move(message.fd));
    return;
  }
  if (handlers_.on_message) handlers_.on_message(std::move(parsed));
}

}  // namespace quell::agent
