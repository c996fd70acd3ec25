// Three hosts whose ways to the controller fail: reliability rows F5, F6, F8, F9 and F10. The whole forms are
// longer: QUELL_WHOLE=1.
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "tests/integration/three_hosts.h"

namespace quell::test {
namespace {

bool Whole() { return getenv("QUELL_WHOLE") != nullptr; }

TEST(Partition, F05_AHostWithoutItsLinkIsMissedAndNothingIsDoneThereUntilItIsBack) {
  ThreeHosts fleet({.direct = true});
  fleet.StartAll();
  ASSERT_EQ(fleet.Starts(), 1);
  fleet.network(1).SetLink(false);
  fleet.Hang();
  ASSERT_TRUE(fleet.Await([&] { return fleet.Incidents("HostLost") == 1; }))
      << fleet.Items("incidents").size();
  std::string said;
  EXPECT_NE(fleet.Restart(&said), 0) << said;
  EXPECT_EQ(fleet.Starts(), 1);
  EXPECT_EQ(fleet.Liveness(1), "lost");
  EXPECT_EQ(fleet.Liveness(2), "connected");
  EXPECT_EQ(fleet.Liveness(3), "connected");
  EXPECT_EQ(fleet.Incidents("AppHung"), 0) << "nobody can know";

  // It heals by itself: what was asked meanwhile is gone, what is seen now is mended, once.
  fleet.network(1).SetLink(true);
  ASSERT_TRUE(fleet.WaitForLiveness(1, "connected"));
  ASSERT_TRUE(fleet.WaitForStarts(2, kMinute)) << Json(fleet.Items("commands")).dump(1);
  ASSERT_TRUE(fleet.Await([&] {
    for (const Json& incident : fleet.Items("incidents")) {
      if (incident["status"] != "resolved") return false;
    }
    return true;
  })) << Json(fleet.Items("incidents")).dump(1);
  EXPECT_EQ(fleet.Starts(), 2);
  EXPECT_EQ(fleet.Commands("succeeded"), 1);
}

TEST(Partition, F06_AOneWayPartitionIsSeenByBothEndsAndWhatIsOnTheWayOrQueuedIsNeverDone) {
  ThreeHosts fleet({.direct = true, .lost_after = "2m"});
  fleet.StartAll();
  fleet.network(1).LoseWhatIsSent(true);
  const Micros begin = RealClock().Monotonic();
  fleet.StartRestart("on-the-way");
  ASSERT_TRUE(fleet.Await([&] { return fleet.Commands("delivered") == 1; }))
      << "handed to a stream that is dead";
  // Two intervals of the keepalive, and how long it waits for an answer.
  const Micros until = begin + 2 * 5 * kSecond + 3 * kSecond;
  EXPECT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "2"; },
                          until - RealClock().Monotonic()));
  EXPECT_TRUE(fleet.Await([&] { return absl::StrContains(fleet.Log("agent-1"), "lost the stream"); },
                          until - RealClock().Monotonic()));
  std::string said;
  EXPECT_NE(fleet.Restart(&said), 0) << said;
  EXPECT_EQ(fleet.Commands("expired"), 1) << said << Json(fleet.Items("commands")).dump(1);
  EXPECT_EQ(fleet.Starts(), 1);
  fleet.network(1).LoseWhatIsSent(false);
  ASSERT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "3"; }));
  // A later command comes through; had an earlier one been kept anywhere, it would have been done before.
  ASSERT_TRUE(fleet.Await([&] { return fleet.Restart(&said) == 0; }, 30 * kSecond)) << said;
  EXPECT_TRUE(fleet.WaitForStarts(2)) << fleet.Starts();
  EXPECT_EQ(fleet.Incidents("HostLost"), 0) << "back before it counted as lost";
  if (!Whole()) return;
  ASSERT_TRUE(fleet.Await([&] { return fleet.Commands("unknown") == 1; }, 3 * kMinute))
      << "no word of the one that was on the way";
}

TEST(Partition, F08_LatencyStallsResetsAndReorderingMakeNoIncidentAndNoSecondRestart) {
  // Longer than several handshakes in a row that this weather cuts off: a host that is away for longer is
  // lost.
  ThreeHosts fleet({.lost_after = "90s"});
  fleet.StartAll();
  const Weather bad{.latency = 300 * kMillisecond,
                    .stalls = 0.1,
                    .stall = 700 * kMillisecond,
                    .resets = 0.05,
                    .connect_latency = kSecond};
  for (int host = 1; host <= ThreeHosts::kHosts; ++host) fleet.proxy(host).Set(bad);
  const auto resets = [&] {
    uint64_t all = 0;
    for (int host = 1; host <= ThreeHosts::kHosts; ++host) all += fleet.proxy(host).counts().resets;
    return all;
  };
  ASSERT_TRUE(fleet.Await([&] { return resets() >= (Whole() ? 100 : 3); }, Whole() ? kHour : kMinute * 2));
  EXPECT_TRUE(fleet.Items("incidents").empty()) << Json(fleet.Items("incidents")).dump(1);
  EXPECT_EQ(fleet.Starts(), 1);
  fleet.Hang();
  ASSERT_TRUE(fleet.WaitForStatus("resolved", 2 * kMinute)) << Json(fleet.Items("incidents")).dump(1);
  EXPECT_EQ(fleet.Incidents("AppHung"), 1);
  EXPECT_EQ(fleet.Items("incidents").size(), 1u);
  EXPECT_TRUE(fleet.WaitForStarts(2)) << fleet.Starts();
  EXPECT_EQ(fleet.Commands("succeeded"), 1);
}

TEST(Partition, F09_ACutAtAnyByteOfACommandOrItsReportRunsItOnce) {
  ThreeHosts fleet({.rules = false});
  fleet.StartAll();
  std::vector<uint64_t> cuts = {0, 1, 60, 400, 900};
  if (Whole()) {
    cuts.clear();
    for (uint64_t n = 0; n < 3'000; n += 20) cuts.push_back(n);
  }
  int runs = 0;
  for (const ChaosProxy::Way way : {ChaosProxy::Way::kDown, ChaosProxy::Way::kUp}) {
    for (const uint64_t n : cuts) {
      SCOPED_TRACE(absl::StrCat(way == ChaosProxy::Way::kDown ? "down " : "up ", n));
      ASSERT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "3"; }));
      const uint64_t before = fleet.proxy(1).counts().cuts;
      fleet.proxy(1).CutAfter(way, n);
      std::string said;
      EXPECT_EQ(fleet.Restart(&said), 0) << said;
      ++runs;
      EXPECT_TRUE(fleet.WaitForStarts(1 + runs)) << fleet.Starts();
      ASSERT_TRUE(fleet.Await([&] { return fleet.proxy(1).counts().cuts > before; }));
    }
  }
  EXPECT_EQ(fleet.Starts(), 1 + runs);
  EXPECT_EQ(fleet.Commands("succeeded"), runs);
  EXPECT_EQ(static_cast<int>(fleet.Items("commands").size()), runs);
  EXPECT_TRUE(fleet.Items("incidents").empty()) << Json(fleet.Items("incidents")).dump(1);
}

TEST(Partition, F10_ASlowWayCostsNeitherEndMemoryNorTheOtherHostsAnything) {
  ThreeHosts fleet;
  fleet.StartAll();
  const std::vector<std::string> programs = {"controller", "agent-2", "agent-3"};
  std::map<std::string, long> before;
  for (const std::string& program : programs) before[program] = fleet.Resident(program);
  fleet.proxy(2).Set({.bytes_per_second = 1});
  fleet.network(3).SetUpstreamBits(8'000);
  ASSERT_TRUE(fleet.WaitForLiveness(2, "lost", 2 * kMinute));
  std::string said;
  EXPECT_EQ(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(fleet.WaitForStarts(2)) << fleet.Starts();
  EXPECT_EQ(fleet.Liveness(1), "connected");
  if (Whole()) {  // more than the ten minutes that an agent keeps
    const Micros until = RealClock().Monotonic() + 12 * kMinute;
    ASSERT_TRUE(fleet.Await([&] { return RealClock().Monotonic() >= until; }, 15 * kMinute));
  }
  for (const std::string& program : programs)
    EXPECT_LT(fleet.Resident(program) - before[program], kMemoryFactor * (24 << 10)) << program << ", in KiB";
  fleet.proxy(2).Set({});
  fleet.network(3).SetUpstreamBits(0);
  ASSERT_TRUE(fleet.WaitForLiveness(2, "connected", 90 * kSecond)) << fleet.Log("agent-2");
  ASSERT_TRUE(fleet.WaitForLiveness(3, "connected", 90 * kSecond)) << fleet.Log("agent-3");
  if (Whole()) {
    EXPECT_GT(fleet.Value("quell_agent_samples_dropped_total{instance=\"web-2\"}"), 0)
        << "dropped, and counted";
  }
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
