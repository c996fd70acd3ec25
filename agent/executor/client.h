// ExecutorClient: the agent's end of the executor's socket. One thread of its own connects (and again, with
// back-off of 100 ms to 2 s, when the connection ends), checks that the far end is root or this user, and
// hands what comes to callbacks, which run on that thread and must not block. Any thread may send. Owned by
// the agent's main.
//
//   ExecutorClient client(path, on_reader, on_connection);
//   client.SetCallbacks(on_status, on_report);
//   client.Start();
//
// Bounds: 256 messages wait to be sent; more, and all sending while disconnected, is refused: the far end
// would drop what is late anyhow. Reports come again every 15 s, and on a new connection, until they are
// acknowledged.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/executor/packet.h"
#include "agent/link/executor_port.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

class ExecutorClient final : public ExecutorPort {
 public:
  // `fd` is one end of a stream socket on which a PM2 reader of `user` writes; a newer one replaces it.
  using OnReader = std::function<void(const std::string& user, UniqueFd fd)>;
  // Each connection, each end of one, and each new reason why there is none.
  using OnConnection = std::function<void(bool connected, const std::string& why)>;

  ExecutorClient(std::string path, OnReader on_reader, OnConnection on_connection);
  ~ExecutorClient() override;
  void Start();

  bool Submit(std::string signed_command) override;
  void Cancel(std::string command_id) override;
  void AckReports(uint64_t journal_seq) override;
  void SetTrustBundle(std::string signed_bundle) override;
  std::optional<v1::ExecutorStatus> Status() override;
  void SetCallbacks(std::function<void()> on_status,
                    std::function<bool(v1::CommandReport)> on_report) override;

 private:
  bool Send(const v1::AgentToExecutor& message);
  void Run();
  absl::Status RunConnection();
  absl::Status Serve(PacketSocket& socket);
  void Take(Message&& message);
  void Wake();
  void Tell(bool connected, const std::string& why);

  const std::string path_;
  const OnReader on_reader_;
  const OnConnection on_connection_;
  std::function<void()> on_status_;
  std::function<bool(v1::CommandReport)> on_report_;
  BoundedQueue<std::string> out_{256};
  std::atomic<bool> stop_{false};
  std::atomic<bool> connected_{false};
  absl::Mutex mutex_;
  std::optional<v1::ExecutorStatus> status_ ABSL_GUARDED_BY(mutex_);
  UniqueFd wake_;
  NamedThread thread_;
};

}  // namespace quell::agent
