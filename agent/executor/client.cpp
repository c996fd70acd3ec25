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

ExecutorClient::ExecutorClient(std::string path, OnReader on_reader, OnConnection on_connection)
    : path_(std::move(path)),
      on_reader_(std::move(on_reader)),
      on_connection_(std::move(on_connection)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Require(wake_.valid(), "making an eventfd failed");
}

ExecutorClient::~ExecutorClient() {
  stop_ = true;
  Wake();
  thread_.Join();
}

void ExecutorClient::Start() {
  thread_ = NamedThread("executor-link", [this] { Run(); });
}

void ExecutorClient::SetCallbacks(std::function<void()> on_status,
                                  std::function<bool(v1::CommandReport)> on_report) {
  on_status_ = std::move(on_status);
  on_report_ = std::move(on_report);
}

std::optional<v1::ExecutorStatus> ExecutorClient::Status() {
  absl::MutexLock lock(&mutex_);
  return status_;
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

bool ExecutorClient::Submit(std::string signed_command) {
  v1::AgentToExecutor message;
  message.set_submit(std::move(signed_command));
  return Send(message);
}

void ExecutorClient::Cancel(std::string command_id) {
  v1::AgentToExecutor message;
  message.set_cancel(std::move(command_id));
  Send(message);
}

void ExecutorClient::AckReports(uint64_t journal_seq) {
  v1::AgentToExecutor message;
  message.set_reports_acked(journal_seq);
  Send(message);  // what is lost here comes again, and is acknowledged again
}

void ExecutorClient::SetTrustBundle(std::string signed_bundle) {
  v1::AgentToExecutor message;
  message.set_trust_bundle(std::move(signed_bundle));
  Send(message);
}

void ExecutorClient::Tell(bool connected, const std::string& why) {
  if (!connected) {
    absl::MutexLock lock(&mutex_);
    status_.reset();
  }
  if (on_connection_) on_connection_(connected, why);
  if (on_status_) on_status_();
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
    if (was_connected || why != told) Tell(false, why);
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
  Tell(true, "");
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
  if (!parsed.reader_user().empty()) {
    if (on_reader_ && message.fd.valid()) on_reader_(parsed.reader_user(), std::move(message.fd));
    return;
  }
  if (parsed.has_status()) {
    {
      absl::MutexLock lock(&mutex_);
      status_ = std::move(*parsed.mutable_status());
    }
    if (on_status_) on_status_();
  }
  for (v1::CommandReport& report : *parsed.mutable_reports()) {
    if (on_report_) on_report_(std::move(report));  // what could not be kept is sent again
  }
}

}  // namespace quell::agent
