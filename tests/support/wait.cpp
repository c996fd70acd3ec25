#include "tests/support/wait.h"

#include <poll.h>

#include "common/base/clock.h"

namespace quell::test {

bool WaitFor(const std::function<bool()>& condition, Micros deadline) {
  const Micros end = RealClock().Monotonic() + deadline;
  while (!condition()) {
    if (RealClock().Monotonic() >= end) return false;
    poll(nullptr, 0, 3);
  }
  return true;
}

}  // namespace quell::test
