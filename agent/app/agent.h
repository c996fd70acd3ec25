// Agent: the parts of a running quell-agent, put together in named steps. Owned by main; its thread alone
// calls.
#pragma once
#include <memory>
#include <string>

#include "agent/app/config.h"
#include "agent/collectors/pm2/pm2_collector.h"
#include "agent/collectors/runner.h"
#include "agent/enrol/identity.h"
#include "agent/enrol/recovering_dialer.h"
#include "agent/executor/client.h"
#include "agent/link/grpc_stream.h"
#include "agent/link/head_memory.h"
#include "agent/link/link.h"
#include "agent/link/spool.h"
#include "common/base/supervisor.h"

namespace quell::agent {

class Agent {
 public:
  Agent(AgentConfig config, std::string version) : config_(std::move(config)), version_(std::move(version)) {}
  ~Agent();

  // Runs the steps in order; the first that fails is named in the error and nothing is left running.
  // InvalidArgument, NotFound, PermissionDenied and FailedPrecondition: what is configured can't work.
  absl::Status Start();
  // Says goodbye with this reason, keeps what is to be kept. Idempotent.
  void Stop(const std::string& goodbye);

 private:
  absl::Status LockState();
  absl::Status LoadIdentity();
  absl::Status OpenSpool();
  absl::Status PrepareCollectors();
  absl::Status StartLink();
  absl::Status StartCollectors();

  const AgentConfig config_;
  const std::string version_;
  Watchdog watchdog_{RealClock(), 2};  // fed by the link's loop and by the look at the collectors
  UniqueFd lock_;
  AgentFacts facts_;
  std::unique_ptr<AgentIdentity> identity_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<HeadMemory> head_;
  std::unique_ptr<GrpcDialer> dialer_;
  std::unique_ptr<RecoveringDialer> recovering_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<ExecutorClient> executor_;  // calls link_: goes before it
  Pm2Collector* pm2_ = nullptr;               // in runner_; set before the executor's client starts
  std::unique_ptr<CollectorRunner> runner_;
};

}  // namespace quell::agent
