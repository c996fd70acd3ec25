#include "common/base/monotonic_waits.h"

#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/process.h"

namespace quell {
namespace {

absl::Duration TimeOfAWait(absl::Duration limit) {
  const Micros begin = RealClock().Monotonic();
  absl::Mutex mutex;
  const bool never = false;
  absl::MutexLock lock(&mutex);
  EXPECT_FALSE(mutex.AwaitWithTimeout(absl::Condition(&never), limit));
  return absl::Microseconds(RealClock().Monotonic() - begin);
}

TEST(MonotonicWaits, LastAsLongAsTheyShould) {
  EXPECT_GE(TimeOfAWait(absl::Milliseconds(30)), absl::Milliseconds(29));
  EXPECT_LT(TimeOfAWait(absl::Milliseconds(1)), absl::Seconds(10));
  EXPECT_LT(TimeOfAWait(-absl::Hours(1)), absl::Seconds(10));
}

// The program that the next test starts: not by itself.
TEST(MonotonicWaits, DISABLED_InAProcessWhoseClockIsOff) {
  EXPECT_LT(TimeOfAWait(absl::Milliseconds(30)), absl::Seconds(5));
}

// To the kernel, a process whose wall clock is an hour ahead of its own has had it set back by an hour.
TEST(MonotonicWaits, AreNotProlongedByAWallClockThatIsSetBack) {
  SpawnOptions options;
  options.program = "/proc/self/exe";
  options.argv = {"base_test", "--gtest_filter=MonotonicWaits.DISABLED_*", "--gtest_also_run_disabled_tests"};
  options.environment = {"LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME=+1h",
                         "FAKETIME_DONT_FAKE_MONOTONIC=1",
                         "ASAN_OPTIONS=verify_asan_link_order=0"};  // in a build of the sanitizer's
  options.memory_limit = 0;
  options.deadline = 20 * kSecond;
  auto child = RealProcess().Start(options);
  ASSERT_TRUE(child.ok()) << child.status();
  const ExitStatus exit = (*child)->Wait();
  EXPECT_FALSE(exit.timed_out) << "it waits for an hour";
  EXPECT_EQ(exit.code, 0) << exit.output << exit.error_output;
  EXPECT_NE(exit.output.find("[  PASSED  ] 1 test"), std::string::npos) << exit.output;
}

}  // namespace
}  // namespace quell
