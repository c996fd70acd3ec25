// quell-worker: runs one task of one action, or looks at a deployment's releases, and ends. One WorkerRequest
// on descriptor 0, one WorkerResult on descriptor 1; started by quell-executor as the target's user, in a
// clean environment, with a deadline kept by the parent.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/synchronization/mutex.h"
#include "agent/actions/action.h"
#include "agent/actions/release_rollback.h"
#include "agent/worker/frame.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {
namespace {

absl::StatusOr<v1::WorkerRequest> ReadRequest() {
  QUELL_ASSIGN_OR_RETURN(const std::string bytes, ReadWorkerFrame(STDIN_FILENO, kLargestWorkerRequest));
  v1::WorkerRequest request;
  if (!request.ParseFromString(bytes)) return absl::InvalidArgumentError("the request is no WorkerRequest");
  if (request.target_uid() != geteuid()) {
    return absl::PermissionDeniedError("the request is for another user than this worker runs as");
  }
  return request;
}

absl::StatusOr<v1::WorkerResult> RunTask(const v1::WorkerRequest& request) {
  if (request.task() == v1::WORKER_TASK_RECORD) {
    setpriority(PRIO_PROCESS, 0, 10);  // nobody waits for it
    return RecordRelease(request, RealClock());
  }
  const ActionRow* row = FindAction(request.action().kind_case());
  if (row == nullptr) return absl::UnimplementedError("this worker knows no such action");
  const std::unique_ptr<Action> action = row->make();
  switch (request.task()) {
    case v1::WORKER_TASK_CHECK:
      return action->Check(request, RealClock());
    case v1::WORKER_TASK_EVIDENCE:
      return action->Evidence(request, RealClock());
    case v1::WORKER_TASK_RUN:
      return action->Run(request, RealClock());
    default:
      return absl::InvalidArgumentError("the request names no task");
  }
}

absl::Status WriteResult(const v1::WorkerResult& result) {
  const std::string bytes = result.SerializeAsString();
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = write(STDOUT_FILENO, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "writing the result");
    at += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status Work() {
  QUELL_ASSIGN_OR_RETURN(const v1::WorkerRequest request, ReadRequest());
  QUELL_ASSIGN_OR_RETURN(const v1::WorkerResult result, RunTask(request));
  return WriteResult(result);
}

}  // namespace
}  // namespace quell::agent

int main() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Others of this user's processes can neither trace nor read this one.
  prctl(PR_SET_DUMPABLE, 0);
  signal(SIGPIPE, SIG_IGN);
  const absl::Status status = quell::agent::Work();
  if (status.ok()) return 0;
  fprintf(stderr, "quell-worker: %s\n", status.ToString().c_str());
  return 1;
}
