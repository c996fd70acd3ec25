// Answers: people, and hosts that enrol, who wait for what the engine makes of their act. Any thread. At most
// 1,024 wait at a time.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/engine/engine.h"

namespace quell::app {

class Answers {
 public:
  // A token for one act; ResourceExhausted when too many wait.
  absl::StatusOr<std::string> Register();
  // The same under a name of the caller's own making, which nobody else may use.
  absl::Status RegisterAs(const std::string& token);
  // The answer, or DeadlineExceeded: the act may still be done, and the log tells. Forgets the token.
  absl::StatusOr<engine::Answer> Wait(const std::string& token, absl::Duration timeout);
  void Reply(const engine::Answer& answer);  // of an unknown token: nobody waits any more

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::optional<engine::Answer>> waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace quell::app
