// Tells ThreadSanitizer what Debian's Abseil does: its libraries are compiled without the sanitizer, which
// therefore sees neither their locks nor their notifications. The linker (--wrap) leads calls of them here,
// and here they are told as acquire and release. Part of sanitizer builds only; hides nothing: an access
// outside its lock is still reported. Conditions of Await are evaluated under the lock, by whichever thread
// has it at that moment.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace {

using absl::Condition;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::Time;

// Abseil's own graph of who holds what is kept under a lock that nobody sees either; the sanitizer finds
// deadlocks itself.
const bool kNoGraph = [] {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return true;
}();

void Acquire(const void* address) { __tsan_acquire(const_cast<void*>(address)); }
void Release(const void* address) { __tsan_release(const_cast<void*>(address)); }

struct Watched {
  Mutex* mutex;
  const Condition* condition;
};
bool Evaluate(Watched* watched) {
  Acquire(watched->mutex);
  const bool holds = watched->condition->Eval();
  Release(watched->mutex);
  return holds;
}

template <typename Wait>
bool Await(Mutex* mutex, const Condition& condition, Wait wait) {
  Watched watched{mutex, &condition};
  Release(mutex);
  const bool holds = wait(Condition(Evaluate, &watched));
  Acquire(mutex);
  return holds;
}

bool Noticed(const Notification* notification, bool noticed) {
  if (noticed) Acquire(notification);
  return noticed;
}

}  // namespace

// The mangled names carry the inline namespace of Debian's Abseil 20220623.
#define MUTEX(name) _ZN4absl7debian35Mutex##name
#define NOTIFICATION(name) _ZNK4absl7debian312Notification##name
#define REAL(name) REAL_(name)
#define REAL_(name) __real_##name
#define WRAP(name) WRAP_(name)
#define WRAP_(name) __wrap_##name

extern "C" {

void REAL(MUTEX(4LockEv))(Mutex*);
void WRAP(MUTEX(4LockEv))(Mutex* mutex) {
  REAL(MUTEX(4LockEv))(mutex);
  Acquire(mutex);
}

bool REAL(MUTEX(7TryLockEv))(Mutex*);
bool WRAP(MUTEX(7TryLockEv))(Mutex* mutex) {
  const bool locked = REAL(MUTEX(7TryLockEv))(mutex);
  if (locked) Acquire(mutex);
  return locked;
}

void REAL(MUTEX(6UnlockEv))(Mutex*);
void WRAP(MUTEX(6UnlockEv))(Mutex* mutex) {
  Release(mutex);
  REAL(MUTEX(6UnlockEv))(mutex);
}

void REAL(MUTEX(5AwaitERKNS0_9ConditionE))(Mutex*, const Condition&);
void WRAP(MUTEX(5AwaitERKNS0_9ConditionE))(Mutex* mutex, const Condition& condition) {
  Await(mutex, condition, [mutex](const Condition& told) {
    REAL(MUTEX(5AwaitERKNS0_9ConditionE))(mutex, told);
    return true;
  });
}

bool REAL(MUTEX(16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE))(Mutex*, const Condition&, Duration);
bool WRAP(MUTEX(16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE))(Mutex* mutex, const Condition& condition,
                                                                     Duration timeout) {
  return Await(mutex, condition, [=](const Condition& told) {
    return REAL(MUTEX(16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE))(mutex, told, timeout);
  });
}

bool REAL(MUTEX(17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE))(Mutex*, const Condition&, Time);
bool WRAP(MUTEX(17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE))(Mutex* mutex, const Condition& condition,
                                                                  Time deadline) {
  return Await(mutex, condition, [=](const Condition& told) {
    return REAL(MUTEX(17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE))(mutex, told, deadline);
  });
}

void REAL(_ZN4absl7debian312Notification6NotifyEv)(Notification*);
void WRAP(_ZN4absl7debian312Notification6NotifyEv)(Notification* notification) {
  Release(notification);
  REAL(_ZN4absl7debian312Notification6NotifyEv)(notification);
}

void REAL(NOTIFICATION(19WaitForNotificationEv))(const Notification*);
void WRAP(NOTIFICATION(19WaitForNotificationEv))(const Notification* notification) {
  REAL(NOTIFICATION(19WaitForNotificationEv))(notification);
  Acquire(notification);
}

bool REAL(NOTIFICATION(30WaitForNotificationWithTimeoutENS0_8DurationE))(const Notification*, Duration);
bool WRAP(NOTIFICATION(30WaitForNotificationWithTimeoutENS0_8DurationE))(const Notification* notification,
                                                                         Duration timeout) {
  return Noticed(notification,
                 REAL(NOTIFICATION(30WaitForNotificationWithTimeoutENS0_8DurationE))(notification, timeout));
}

bool REAL(NOTIFICATION(31WaitForNotificationWithDeadlineENS0_4TimeE))(const Notification*, Time);
bool WRAP(NOTIFICATION(31WaitForNotificationWithDeadlineENS0_4TimeE))(const Notification* notification,
                                                                      Time deadline) {
  return Noticed(notification,
                 REAL(NOTIFICATION(31WaitForNotificationWithDeadlineENS0_4TimeE))(notification, deadline));
}

}  // extern "C"
