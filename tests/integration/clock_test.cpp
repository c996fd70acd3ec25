// Three hosts whose clocks, or the controller's, are wrong: reliability rows F19 and F20. The whole form
// takes every step at every program: QUELL_WHOLE=1.
#include "common/base/clock.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/integration/three_hosts.h"

namespace quell::test {
namespace {

bool Whole() { return getenv("QUELL_WHOLE") != nullptr; }

// Where a clock stands still.
std::string Now() {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(RealClock().Wall()),
                          absl::LocalTimeZone());
}

// On a clock set in these steps, one after the other, each command is done once and in time, and nothing is
// said to be wrong with a host.
void ExpectNothingMoves(const std::string& program, const std::vector<std::string>& some) {
  ThreeHosts fleet({.rules = false});
  fleet.FakeWall(program);
  fleet.StartAll();
  std::vector<std::string> steps = some;
  if (Whole()) steps = {"+1h", "-1h", "+1d", "-1d", "+0", "-10s", "-20s", "-30s", Now(), "+0"};
  int starts = 1;
  for (const std::string& step : steps) {
    SCOPED_TRACE(absl::StrCat(program, " at ", step));
    fleet.SetWall(program, step);
    std::string said;
    EXPECT_EQ(fleet.Restart(&said), 0) << said;
    EXPECT_TRUE(fleet.WaitForStarts(++starts)) << fleet.Starts();
    for (int host = 1; host <= ThreeHosts::kHosts; ++host) EXPECT_EQ(fleet.Liveness(host), "connected");
  }
  EXPECT_EQ(fleet.Commands("succeeded"), starts - 1);
  EXPECT_TRUE(fleet.Items("incidents").empty()) << Json(fleet.Items("incidents")).dump(1);
  EXPECT_TRUE(fleet.hook().requests().empty());
}

TEST(Clocks, F19_AnAgentsWallClockMovesNoDeadline) { ExpectNothingMoves("agent-1", {"+1h", "-1d", Now()}); }

TEST(Clocks, F19_AnExecutorsWallClockMovesNoDeadline) {
  ExpectNothingMoves("executor-1", {"+1d", "-1h", Now()});
}

TEST(Clocks, F19_TheControllersWallClockMovesNoDeadlineAndMissesNobody) {
  ExpectNothingMoves("controller", {"+1h", "-1d", "-10s", Now()});
}

// An agent whose clock is wrong may still be let in, by a controller whose clock is right: each clock is
// read at a start, so that the one before leaves no stream behind.
TEST(Clocks, F19_ACertificateThatAWrongClockDoesNotAcceptIsNamed) {
  ThreeHosts fleet({.app = false});
  fleet.FakeWall("agent-2");
  fleet.StartAll();
  const auto starts_at = [&](const std::string& wall) {
    fleet.Kill("agent-2");
    fleet.SetWall("agent-2", wall);
    fleet.StartAgent(2);
  };
  starts_at("+40d");
  EXPECT_TRUE(fleet.Await([&] { return absl::StrContains(fleet.Log("agent-2"), "expired at"); }))
      << fleet.Log("agent-2");
  starts_at("-3d");
  EXPECT_TRUE(fleet.Await([&] { return absl::StrContains(fleet.Log("agent-2"), "is not valid before"); }))
      << fleet.Log("agent-2");
  fleet.SetWall("agent-2", "+0");
  EXPECT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "3"; }));
}

// As after a suspend of a day: the boot-time clock is far from where it was, the monotonic one is not.
TEST(Clocks, F20_WhatAHostKnewBeforeItSleptMovesNothing) {
  ThreeHosts fleet;
  fleet.StartAll();
  std::string said;
  EXPECT_EQ(fleet.Restart(&said), 0) << said;
  ASSERT_TRUE(fleet.WaitForStarts(2));
  ASSERT_TRUE(fleet.Await([&] { return fleet.Value("probe_success") == 1; }));
  fleet.Signal("agent-1", SIGSTOP);
  fleet.Signal("executor-1", SIGSTOP);
  const Micros begin = RealClock().Monotonic();
  fleet.StartRestart("before");  // on its way when the host sleeps
  ASSERT_TRUE(fleet.Await([&] { return fleet.Commands("delivered") == 1; }));
  ASSERT_TRUE(fleet.WaitForLiveness(1, "lost"));
  // It slept for longer than an order is good for.
  ASSERT_TRUE(fleet.Await([&] { return RealClock().Monotonic() > begin + 31 * kSecond; }));
  fleet.Kill("agent-1");
  fleet.Kill("executor-1");
  for (const char* program : {"agent-1", "executor-1"}) fleet.SetBootTime(program, 86'400);
  fleet.StartExecutor(1);
  fleet.StartAgent(1);
  ASSERT_TRUE(fleet.WaitForLiveness(1, "connected"));
  ASSERT_TRUE(fleet.Await([&] { return fleet.Value("probe_success") == 1; }));
  EXPECT_EQ(fleet.Starts(), 2) << "nothing of before";
  EXPECT_EQ(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(fleet.WaitForStarts(3)) << fleet.Starts();
  EXPECT_EQ(fleet.Incidents("AppHung"), 0) << "silence is no evidence of a fault";
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
