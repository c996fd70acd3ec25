// Readers: one quell-pm2-reader per PM2 user of agent.yaml, running while an agent is connected. Each writes
// to one end of a stream socket; the other end goes to the agent. One that ends is started again after 1 s,
// doubled up to 30 s while it keeps ending within a minute. Owned by the executor's loop, one thread.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "agent/executor/child_pool.h"
#include "agent/executor/host_view.h"
#include "common/base/clock.h"

namespace quell::agent {

class Readers {
 public:
  struct HandOver {
    std::string user;
    UniqueFd fd;  // the agent's end
  };

  Readers(ChildPool& pool, Clock& clock, std::string program, std::vector<HostUser> users);

  void AgentConnected();
  void AgentGone();  // their sockets' far ends are closed: they end by themselves, and are killed if not
  // True when the child was one of these.
  bool OnExit(uint64_t child, const ExitStatus& exit);
  // Starts what is due; the agent's ends are to be handed over.
  std::vector<HandOver> StartDue();

 private:
  struct Reader {
    HostUser user;
    uint64_t child = 0;  // 0: does not run
    Micros started = 0;  // monotonic
    Micros due = 0;      // monotonic; when it may be started
    Micros back_off = 0;
  };
  absl::StatusOr<UniqueFd> Start(Reader& reader);

  ChildPool& pool_;
  Clock& clock_;
  const std::string program_;
  std::vector<Reader> readers_;
  std::vector<uint64_t> dismissed_;  // of an agent that is gone, still ending
  bool wanted_ = false;
};

}  // namespace quell::agent
