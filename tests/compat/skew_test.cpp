// Programs of two versions together (reliability row F30): today's, and the same with an action's number, two
// fields' numbers and every feature's name changed.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/three_hosts.h"

namespace quell::test {
namespace {

std::string Next(const std::string& program) {
  return absl::StrCat(QUELL_BINARY_DIR, "/tests/next/", program);
}

void SetHost(ThreeHosts& fleet, int host, bool next) {
  const auto pick = [&](const std::string& name) { return next ? Next(name) : Program(name); };
  fleet.SetProgram(absl::StrCat("agent-", host), pick("quell-agent"));
  fleet.SetProgram(absl::StrCat("executor-", host), pick("quell-executor"));
  fleet.SetProgram("worker", pick("quell-worker"));
}

// Web-1 from here on of the other version, with the state it had.
void Swap(ThreeHosts& fleet, bool next) {
  for (const std::string program : {"agent-1", "executor-1"}) EXPECT_EQ(fleet.Stop(program), 0);
  SetHost(fleet, 1, next);
  fleet.StartExecutor(1);
  fleet.StartAgent(1);
  ASSERT_TRUE(fleet.WaitForLiveness(1, "connected"));
  ASSERT_TRUE(fleet.Await([&] { return fleet.Value("probe_success") == 1; }));
}

// What it does not know is refused with that reason, and all else goes on.
void ExpectRefused(ThreeHosts& fleet, int starts) {
  std::string said;
  EXPECT_NE(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(absl::StrContains(said, "has a field that this host does not know")) << said;
  EXPECT_EQ(fleet.Commands("refused"), 1);
  EXPECT_EQ(fleet.Starts(), starts);
  for (const std::string program : {"controller", "agent-1", "executor-1"})
    EXPECT_TRUE(fleet.Running(program)) << program;
  EXPECT_EQ(fleet.Liveness(1), "connected");
  EXPECT_EQ(fleet.Value("probe_success"), 1) << "telemetry goes on";
  EXPECT_TRUE(fleet.Items("incidents").empty()) << Json(fleet.Items("incidents")).dump(1);
}

void ExpectDone(ThreeHosts& fleet, int starts) {
  std::string said;
  EXPECT_EQ(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(fleet.WaitForStarts(starts)) << fleet.Starts();
}

TEST(Skew, F30_AControllerOfTodayAndAHostOfAnotherVersion) {
  ThreeHosts fleet({.rules = false});
  SetHost(fleet, 1, true);
  SetHost(fleet, 2, true);
  fleet.StartAll();
  ExpectRefused(fleet, 1);
  Swap(fleet, false);  // on the journal that the other version wrote
  ExpectDone(fleet, 2);
}

TEST(Skew, F30_AControllerOfAnotherVersionAndAHostOfToday) {
  ThreeHosts fleet({.rules = false});
  fleet.SetProgram("controller", Next("quell-controller"));
  fleet.StartAll();
  ExpectRefused(fleet, 1);
  Swap(fleet, true);
  ExpectDone(fleet, 2);
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
