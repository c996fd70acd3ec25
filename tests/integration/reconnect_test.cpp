// Many agents that lose their controller at the same moment: reliability row F22. The whole form has 2,000 of
// them: QUELL_WHOLE=1.
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/security/grpc_credentials.h"
#include "tests/integration/stub_agents.h"
#include "tests/integration/three_hosts.h"

namespace quell::test {
namespace {

TEST(Reconnect, F22_AFleetThatLosesItsControllerIsBackWithinAMinuteAndNobodyIsMissed) {
  const int agents = getenv("QUELL_WHOLE") != nullptr ? 2'000 : 100;
  ThreeHosts fleet({.app = false, .stubs = agents, .lost_after = "15s"});
  std::vector<std::string> keys;
  for (int n = 1; n <= agents; ++n) keys.push_back(fleet.dir().Path(absl::StrCat("pki/agent-stub-", n)));
  ChaosProxy& way = fleet.proxy(1);  // counts who dials
  StubAgents stubs(keys, fleet.dir().MakeDirectory("stubs", 0700),
                   absl::StrCat(fleet.network(1).here(), ":", way.port()));
  const auto all_back = [&] { return stubs.connected() == static_cast<size_t>(agents); };
  fleet.StartController();
  ASSERT_TRUE(fleet.WaitForController()) << fleet.Log("controller");
  stubs.Start();
  ASSERT_TRUE(fleet.Await(all_back)) << stubs.connected();

  const uint64_t before = way.counts().connections;
  fleet.Kill("controller");
  ASSERT_TRUE(fleet.Await([&] { return stubs.connected() == 0; }));
  // Away for so long that everybody has tried in vain a few times.
  const Micros down = RealClock().Monotonic();
  ASSERT_TRUE(fleet.Await([&] { return way.counts().connections - before >= 3 * keys.size(); }));
  const double seconds_down = static_cast<double>(RealClock().Monotonic() - down) / kSecond;
  EXPECT_GT(seconds_down, 2.0) << "three tries each take at least 0.5 s, 1 s and 2 s";
  fleet.StartController();
  const Micros begin = RealClock().Monotonic();
  ASSERT_TRUE(fleet.Await(all_back)) << stubs.connected();
  printf("%d agents: away for %.1f s, all back %.1f s after the start\n", agents, seconds_down,
         static_cast<double>(RealClock().Monotonic() - begin) / kSecond);
  EXPECT_EQ(fleet.Metric("quell_agents_connected"), absl::StrCat(agents));
  EXPECT_LE(way.counts().connections - before, 8 * keys.size()) << "they back off";
  int lost = 0;
  for (const Json& host : fleet.Items("hosts")) lost += host.value("liveness", "") == "lost";
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(fleet.Incidents("HostLost"), 0) << "nobody was away for long";
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  quell::security::PrepareGrpcProcess();
  quell::StartLog("stubs", quell::LogLevel::kError);  // a line for each try of each agent is too much
  quell::test::RaiseDescriptorLimit();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
