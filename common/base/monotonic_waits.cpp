#include "common/base/monotonic_waits.h"

#include <absl/base/config.h>
#include <absl/synchronization/internal/waiter.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#if ABSL_LTS_RELEASE_VERSION != 20220623 || ABSL_WAITER_MODE != ABSL_WAITER_MODE_FUTEX
#error "written for Abseil 20220623 over futexes: look whether a newer one still waits by wall time"
#endif

namespace quell {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// The same distance from now, by the monotonic clock.
timespec ToMonotonic(const timespec& wall) {
  timespec wall_now{}, now{};
  clock_gettime(CLOCK_REALTIME, &wall_now);
  clock_gettime(CLOCK_MONOTONIC, &now);
  now.tv_sec += wall.tv_sec - wall_now.tv_sec;
  now.tv_nsec += wall.tv_nsec - wall_now.tv_nsec;
  if (now.tv_nsec < 0) now.tv_nsec += kNanosPerSecond, --now.tv_sec;
  if (now.tv_nsec >= kNanosPerSecond) now.tv_nsec -= kNanosPerSecond, ++now.tv_sec;
  return now.tv_sec < 0 ? timespec{} : now;  // long past
}

}  // namespace

void WaitByMonotonicClock() {}

}  // namespace quell

// A semaphore on a futex: the number is how many Posts nobody has taken yet.
namespace absl {
ABSL_NAMESPACE_BEGIN
namespace synchronization_internal {

Waiter::Waiter() { futex_.store(0, std::memory_order_relaxed); }

bool Waiter::Wait(KernelTimeout t) {
  timespec until{};
  if (t.has_timeout()) until = quell::ToMonotonic(t.MakeAbsTimespec());
  while (true) {
    int32_t posts = futex_.load(std::memory_order_relaxed);
    while (posts > 0) {
      if (futex_.compare_exchange_weak(posts, posts - 1, std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return true;
    }
    const long result =
        syscall(SYS_futex, reinterpret_cast<int32_t*>(&futex_), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
                t.has_timeout() ? &until : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (result != 0 && errno == ETIMEDOUT) return false;
  }
}

void Waiter::Post() {
  if (futex_.fetch_add(1, std::memory_order_release) == 0) Poke();
}

void Waiter::Poke() {
  syscall(SYS_futex, reinterpret_cast<int32_t*>(&futex_), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

}  // namespace synchronization_internal
ABSL_NAMESPACE_END
}  // namespace absl
