// ChildPool: child processes awaited on a thread each; their ends are queued, and wake_fd() becomes readable.
// Start, Kill and TakeEnds belong to one thread. Bound: whoever starts them bounds their number (8 commands,
// one look at releases, one reader per PM2 user).
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/executor/worker_starter.h"
#include "common/base/file.h"
#include "common/base/process.h"
#include "common/base/thread.h"

namespace quell::agent {

class ChildPool {
 public:
  explicit ChildPool(Process& process);
  ~ChildPool();  // kills what still runs

  absl::StatusOr<uint64_t> Start(const SpawnOptions& options);
  void Kill(uint64_t child);  // its end still comes

  int wake_fd() const { return wake_.get(); }
  std::vector<std::pair<uint64_t, ExitStatus>> TakeEnds();

 private:
  struct Child {
    std::unique_ptr<ChildProcess> process;
    NamedThread waiter;
  };
  void Await(uint64_t number, ChildProcess& child);

  Process& process_;
  UniqueFd wake_;
  uint64_t last_ = 0;
  std::map<uint64_t, Child> children_;
  absl::Mutex mutex_;
  std::vector<std::pair<uint64_t, ExitStatus>> ends_ ABSL_GUARDED_BY(mutex_);
};

// Workers as processes of a pool: exec'ed from one fixed path, as the target's user, in a clean environment.
class PoolWorkers final : public WorkerStarter {
 public:
  PoolWorkers(ChildPool& pool, std::string program) : pool_(pool), program_(std::move(program)) {}
  absl::StatusOr<uint64_t> Start(const WorkerJob& job) override;
  void Kill(uint64_t worker) override { pool_.Kill(worker); }

 private:
  ChildPool& pool_;
  const std::string program_;
};

}  // namespace quell::agent
