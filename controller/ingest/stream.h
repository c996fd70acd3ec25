// Outbox: what waits to be sent on one agent's stream, and the stream's end. Shared by the gRPC call (which
// gRPC owns and destroys when it is over) and the registry; detached from the call at its end. Thread-safe.
//
// Bound: kFrames frames or kBytes; a frame that finds no room ends the stream (what matters comes again on
// the next).
#pragma once
#include <cstddef>
#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/time.h"
#include "controller/ingest/registry.h"

namespace quell::ingest {

// The operations of the call under an outbox. Called with the outbox locked; they start and return.
class CallOperations {
 public:
  virtual ~CallOperations() = default;
  virtual void BeginRead() = 0;
  virtual void BeginWrite(const v1::ControllerFrame& frame) = 0;
  virtual void BeginFinish(const absl::Status& status) = 0;
  virtual void Cancel() = 0;
};

class Outbox final : public SessionOutput {
 public:
  static constexpr size_t kFrames = 1'000;
  static constexpr size_t kBytes = 8 << 20;

  explicit Outbox(CallOperations& call) : call_(&call) {}
  bool Send(v1::ControllerFrame frame) override;
  void End(absl::Status why) override;

  // For the call.
  void Read();     // begins the next read unless the stream is ending
  void Written();  // the write under way is done
  void Detach();   // the call is over
  // For the sweep: cancels a call that was ended and has not gone within the time.
  void CancelIfStuck(Micros now);
  bool ending() const;

 private:
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  CallOperations* call_ ABSL_GUARDED_BY(mutex_);  // null once detached
  std::deque<v1::ControllerFrame> frames_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  Micros seen_ending_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quell::ingest
