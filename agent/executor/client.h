// ExecutorClient: the agent's end of the executor's socket. One thread of its own connects (and again, with
// back-off of 100 ms to 2 s, when the connection ends), checks that the far end is root or this user, and
// hands what comes to a callback; any thread may send. The callback runs on that thread and must not block.
//
//   ExecutorClient client(path, {.on_message = …, .on_reader = …, .on_connection = …});
//   client.Submit(signed_bytes); client.Acknowledge(seq);
//
// Bounds: 256 messages wait to be sent; more, and all sending while disconnected, is refused (false): the far
// end would drop what is late anyhow.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "agent/executor/packet.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

class ExecutorClient {
 public:
  struct Handlers {
    // Status and reports.
    std::function<void(v1::ExecutorToAgent&& message)> on_message;
    // One end of a stream that a PM2 reader of `user` writes ReaderFrames to; a newer one replaces it.
    std::function<void(const std::string& user, UniqueFd fd)> on_reader;
    std::function<void(bool connected, const std::string& why)> on_connection;
  };

  ExecutorClient(std::string path, Handlers handlers);
  ~ExecutorClient();

  bool Submit(std::string_view signed_command);
  bool Cancel(std::string_view id);
  bool Acknowledge(uint64_t seq);
  bool OfferTrust(std::string_view signed_bundle);
  bool AskStatus();

 private:
  bool Send(const v1::AgentToExecutor& message);
  void Run();
  absl::Status RunConnection();
  absl::Status Serve(PacketSocket& socket);
  void Take(Message&& message);
  void Wake();

  const std::string path_;
  const Handlers handlers_;
  BoundedQueue<std::string> out_{256};
  std::atomic<bool> stop_{false};
  std::atomic<bool> connected_{false};
  UniqueFd wake_;
  NamedThread thread_;
};

}  // namespace quell::agent
