// Waiting for a condition, with a deadline: what a test does where it would like to sleep.
#pragma once
#include <functional>

#include "common/base/time.h"

namespace quell::test {

// Looks every few milliseconds; false when the deadline passed first. Generous by default: it is only reached
// by a test that fails.
bool WaitFor(const std::function<bool()>& condition, Micros deadline = 20 * kSecond);

}  // namespace quell::test
