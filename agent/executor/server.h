// Server: the executor's loop: the local socket, the ends of workers and readers, and time. Run() is the one
// thread on which the Executor, the Readers and the pool are used. One agent at a time: a newer connection of
// the right user replaces the older; a connection of another user is closed before a byte is read, and
// counted. While the process is out of descriptors, a connection waits in the socket's queue: taking it is
// tried again after 250 ms, twice that, and so on up to 8 s; each try that fails is counted as a refusal.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "agent/executor/child_pool.h"
#include "agent/executor/executor.h"
#include "agent/executor/packet.h"
#include "agent/executor/readers.h"

namespace quell::agent {

class Server {
 public:
  // `agent_uid`: whose connections are taken. `stop` becomes readable when the program should end.
  Server(Executor& executor, ChildPool& pool, Readers& readers, Clock& clock, UniqueFd listener,
         uid_t agent_uid, UniqueFd stop);

  // Returns OK when told to stop, after commands that were started have ended (at most 10 s); an error when
  // the journal can't be trusted any more.
  absl::Status Run();
  // Called by Run's thread after each round that was completed. Before Run.
  void OnRound(std::function<void()> on_round) { on_round_ = std::move(on_round); }

 private:
  absl::Status Round();
  void Accept();
  void AcceptLater(int error);
  void ReadAgent();
  void SendAll();
  void DropAgent(const absl::Status& why);
  void HandOverReaders();

  Executor& executor_;
  ChildPool& pool_;
  Readers& readers_;
  Clock& clock_;
  UniqueFd listener_;
  const uid_t agent_uid_;
  UniqueFd stop_;
  std::function<void()> on_round_;
  std::unique_ptr<PacketSocket> agent_;
  bool stopping_ = false;
  Micros accept_pause_ = 0;  // 0: the last accept did not fail for want of anything
  Micros accept_at_ = 0;     // monotonic; the listener isn't looked at before
};

}  // namespace quell::agent
