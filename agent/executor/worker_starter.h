// WorkerStarter: how the Executor gets one worker process running without ever waiting for it. Owned by main
// (or a test, or the simulator), outlives the Executor; called from the executor's one thread.
#pragma once
#include <cstdint>

#include "absl/status/statusor.h"
#include "agent/executor/host_view.h"
#include "common/base/process.h"
#include "common/base/time.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

struct WorkerJob {
  v1::WorkerRequest request;
  HostUser user;              // whom the worker runs as
  Micros deadline = 0;        // from its start; past it the worker is killed
  uint64_t output_limit = 0;  // bytes of its result
};

class WorkerStarter {
 public:
  virtual ~WorkerStarter() = default;
  // The worker's number, once it runs. Its end comes later as Executor::OnWorkerExit(number, status), exactly
  // once, never from inside this call.
  virtual absl::StatusOr<uint64_t> Start(const WorkerJob& job) = 0;
  // Its end still comes.
  virtual void Kill(uint64_t worker) = 0;
};

}  // namespace quell::agent
