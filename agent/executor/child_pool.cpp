#include "agent/executor/child_pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "agent/worker/frame.h"
#include "common/base/status.h"

namespace quell::agent {

ChildPool::ChildPool(Process& process) : process_(process), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Require(wake_.valid(), "making an eventfd failed");
}

ChildPool::~ChildPool() {
  for (auto& [number, child] : children_) child.process->Kill();
  for (auto& [number, child] : children_) child.waiter.Join();
}

absl::StatusOr<uint64_t> ChildPool::Start(const SpawnOptions& options) {
  QUELL_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> process, process_.Start(options));
  const uint64_t number = ++last_;
  Child& child = children_[number];
  child.process = std::move(process);
  ChildProcess& awaited = *child.process;
  child.waiter = NamedThread("child-wait", [this, number, &awaited] { Await(number, awaited); });
  return number;
}

void ChildPool::Await(uint64_t number, ChildProcess& child) {
  ExitStatus status = child.Wait();
  {
    absl::MutexLock lock(&mutex_);
    ends_.emplace_back(number, std::move(status));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

void ChildPool::Kill(uint64_t child) {
  auto known = children_.find(child);
  if (known != children_.end()) known->second.process->Kill();
}

std::vector<std::pair<uint64_t, ExitStatus>> ChildPool::TakeEnds() {
  uint64_t n = 0;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &n, sizeof n);
  std::vector<std::pair<uint64_t, ExitStatus>> ends;
  {
    absl::MutexLock lock(&mutex_);
    ends.swap(ends_);
  }
  for (const auto& [number, status] : ends) {
    auto child = children_.find(number);
    child->second.waiter.Join();  // it is at its end
    children_.erase(child);
  }
  return ends;
}

absl::StatusOr<uint64_t> PoolWorkers::Start(const WorkerJob& job) {
  SpawnOptions options;
  options.program = program_;
  options.argv = {program_};
  options.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", absl::StrCat("HOME=", job.user.home)};
  options.uid = job.user.uid;
  options.gid = job.user.gid;
  options.input = EncodeWorkerFrame(job.request);
  options.output_limit = job.output_limit;
  options.deadline = job.deadline;
  return pool_.Start(options);
}

}  // namespace quell::agent
