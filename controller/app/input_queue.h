// InputQueue: what waits for the engine, by class. Results of commands come first, then people, liveness,
// signals. Any thread may post; the engine thread alone takes.
//
// Bounds: 65,536 inputs for each of the first three classes, 131,072 signals. A signal that waits is replaced
// by a newer edge of the same identity (its rule states are kept together). What does not fit is refused to
// the caller, who counts: results and events are not acknowledged then and come again; liveness is
// re-evaluated each second; a refused signal is evaluated again on the next tick of its group. What became of
// a command or a notice is never refused, for nobody would say it again: one for each that is under way.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/engine/log_store.h"
#include "quell/v1/log.pb.h"

namespace quell::app {

enum class InputClass { kResult = 0, kPerson = 1, kLiveness = 2, kSignal = 3 };
inline constexpr size_t kInputClasses = 4;

struct EngineInput {
  v1::Payload payload;  // not set: only rule states are to be stored
  std::string source;
  std::vector<v1::RuleState> rule_states;
  std::vector<engine::Blob> blobs;
  std::function<void()> committed;  // called by the store thread once the commit is durable; quick
};

class InputQueue {
 public:
  // False when full or closed.
  bool Post(InputClass input_class, EngineInput input);
  // Up to `most` inputs in order of class; empty when the timeout passed or the queue is closed and empty.
  std::vector<EngineInput> Take(size_t most, absl::Duration timeout);
  void Close();
  bool closed() const;
  uint64_t refused(InputClass input_class) const;
  uint64_t coalesced() const;
  size_t size() const;

 private:
  bool Coalesce(EngineInput& input) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnyWaiting() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::array<std::list<EngineInput>, kInputClasses> waiting_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::list<EngineInput>::iterator> signals_ ABSL_GUARDED_BY(mutex_);  // by signal key
  std::array<uint64_t, kInputClasses> refused_ ABSL_GUARDED_BY(mutex_) = {};
  uint64_t coalesced_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quell::app
