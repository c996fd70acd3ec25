// deploy/rules/default.yml, group apps: from what PM2's reader tells to what fires, and what never does.
#include <fstream>
#include <map>
#include <sstream>

#include "tests/controller/rules/fixture.h"
#include "tests/controller/rules/pm2_host.h"

namespace quell::rules {
namespace {

using Alerts = std::map<std::string, std::string>;

class DefaultAppRules : public ShardFixture {
 protected:
  void SetUp() override {
    std::ostringstream text;
    text << std::ifstream(QUELL_SOURCE_DIR "/deploy/rules/default.yml").rdbuf();
    Start(text.str());
    Up("h1", "web-1");
    host.Add("portal");
    host.Add("job", false);
    host.List(*shard, now);
    For(30 * kSecond);
  }
  // A collection each second, a list each 15.
  void For(Micros d) {
    for (Micros t = 0; t < d; t += kSecond) {
      if (now / kSecond % 15 == 0) host.List(*shard, now);
      host.Collect(*shard, now);
      Run(kSecond);
    }
  }
  // Alert -> its edges so far, as "F", "H" and "C".
  Alerts Told() {
    Collect();
    Alerts out;
    for (const v1::SignalEdge& edge : signals) {
      const v1::SignalState state = edge.signal().state();
      out[edge.signal().alert()] += state == v1::FIRING ? "F" : state == v1::CLEARED ? "C" : "H";
    }
    return out;
  }
  void Crash(const std::string& app, bool comes_back = true) {
    host.Exit(*shard, app, "stopped", now);
    For(kSecond);
    if (comes_back) host.Online(*shard, app, now);
    For(kSecond);
  }
  // It hangs, and that is known.
  void Hang() {
    host.probes["portal"] = false;
    For(25 * kSecond);
    ASSERT_EQ(Told(), (Alerts{{"AppHung", "F"}}));
  }
  void GiveUp() {
    host.Exit(*shard, "job", "stopped", now);
    ASSERT_EQ(Told(), (Alerts{{"AppGivenUp", "F"}})) << "at once";
    For(20 * kSecond);
  }

  Pm2Host host{"h1"};
};

TEST_F(DefaultAppRules, AHangFiresAndClears) {
  Hang();
  host.ByHand(*shard, "portal", "restart", now);
  host.probes["portal"] = true;
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FC"}}));
}

TEST_F(DefaultAppRules, AGivenUpAppFiresAndClearsWhenItIsStarted) {
  GiveUp();
  host.ByHand(*shard, "job", "start", now);
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FC"}}));
}

TEST_F(DefaultAppRules, ACrashLoopFiresAndClearsWhenItIsOver) {
  Crash("portal");
  For(kMinute);
  Crash("portal");
  EXPECT_EQ(Told(), Alerts{});
  For(kMinute);
  Crash("portal");
  EXPECT_EQ(Told(), (Alerts{{"AppCrashLoop", "F"}}));
  For(4 * kMinute);
  EXPECT_EQ(Told(), (Alerts{{"AppCrashLoop", "FC"}}));
}

// The loop goes on while lists are late.
TEST_F(DefaultAppRules, ACrashLoopIsCountedAcrossASilentDaemon) {
  Crash("portal");
  Crash("portal");
  host.Silent(*shard, now);
  For(20 * kSecond);
  host.Back(*shard, now);
  For(5 * kSecond);
  Crash("portal");
  EXPECT_EQ(Told(), (Alerts{{"AppCrashLoop", "F"}}));
}

TEST_F(DefaultAppRules, WhatDoesNotComeBackInTime) {
  Crash("portal", false);
  For(6 * kSecond);
  EXPECT_EQ(Told(), Alerts{});
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppNotRunning", "F"}}));
  host.Online(*shard, "portal", now);
  For(6 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppNotRunning", "FC"}}));
}

// ---- what takes nothing back

TEST_F(DefaultAppRules, ALateListTakesNothingBack) {
  Hang();
  for (int i = 0; i < 5; ++i) {
    host.Silent(*shard, now);
    For(7 * kSecond);
    host.Back(*shard, now);
    For(13 * kSecond);
  }
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FHFHFHFHFHF"}}));
}

TEST_F(DefaultAppRules, WhyAnAppIsStoppedIsKnownAfterASilence) {
  GiveUp();
  host.Silent(*shard, now);
  For(3 * kMinute);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FH"}, {"Pm2DaemonGone", "F"}}));
  host.Back(*shard, now);
  For(kMinute);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FHF"}, {"Pm2DaemonGone", "FC"}}));
}

TEST_F(DefaultAppRules, ALostReaderTakesNothingBack) {
  Hang();
  host.reader = false;
  For(10 * kMinute);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FH"}, {"CollectorFailing", "F"}}));
  host.reader = true;
  For(20 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FHF"}, {"CollectorFailing", "FC"}}));
}

TEST_F(DefaultAppRules, ADaemonThatDiedAndIsBackTakesNothingBack) {
  Hang();
  host.Silent(*shard, now);
  For(10 * kSecond);
  host.Back(*shard, now, true);
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FHF"}})) << "its app hangs still";
}

TEST_F(DefaultAppRules, AnAgentThatIsStartedAnewTakesNothingBack) {
  Hang();
  shard->HostDown("h1", now);
  Run(10 * kSecond);
  host.AgentRestarts();
  Up("h1", "web-1", true);
  shard->HostReplayed("h1");
  for (int i = 0; i < 10; ++i) {  // it has no list yet
    host.Collect(*shard, now);
    Run(kSecond);
  }
  For(20 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FHF"}}));
}

// ---- what clears all the same

TEST_F(DefaultAppRules, StoppedByHandIsOver) {
  Hang();
  host.ByHand(*shard, "portal", "stop", now);
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppHung", "FC"}}));
}

TEST_F(DefaultAppRules, DeletedIsOver) {
  GiveUp();
  host.Delete("job");
  For(30 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FC"}}));
}

TEST_F(DefaultAppRules, DeletedWhileNobodyLookedIsOverToo) {
  GiveUp();
  host.Silent(*shard, now);
  For(10 * kSecond);
  host.Delete("job");
  host.Back(*shard, now);
  For(10 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FH"}}));
  For(20 * kSecond);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FHC"}}));
}

TEST_F(DefaultAppRules, ADaemonThatAPersonEndedIsOver) {
  GiveUp();
  host.Killed(*shard, now);
  For(5 * kMinute);
  EXPECT_EQ(Told(), (Alerts{{"AppGivenUp", "FHC"}}));
}

// ---- what never fires

TEST_F(DefaultAppRules, N11_WhatPeopleDoAndWhatHealsIsSilent) {
  const auto unanswered = [&](Micros d) {  // while it starts
    host.probes["portal"] = false;
    For(d);
    host.probes["portal"] = true;
    For(kMinute);
  };
  for (const char* act : {"restart", "reload", "restart"}) {
    host.ByHand(*shard, "portal", act, now);
    unanswered(10 * kSecond);
  }
  Crash("portal");
  unanswered(5 * kSecond);
  host.ByHand(*shard, "portal", "stop", now);
  unanswered(10 * kMinute);
  host.ByHand(*shard, "portal", "start", now);
  unanswered(10 * kSecond);
  host.Silent(*shard, now);
  For(10 * kSecond);
  host.Back(*shard, now);
  For(kMinute);
  host.Silent(*shard, now);
  For(30 * kSecond);
  host.Back(*shard, now, true);
  unanswered(10 * kSecond);
  host.Killed(*shard, now);
  unanswered(5 * kMinute);
  host.Back(*shard, now, true);
  unanswered(10 * kSecond);
  host.ByHand(*shard, "job", "stop", now);
  For(kMinute);
  host.Delete("job");
  For(kMinute);
  host.Add("job", false);
  For(kMinute);
  host.reader = false;
  For(2 * kMinute);
  host.reader = true;
  For(kMinute);
  host.AgentRestarts();
  For(kMinute);
  EXPECT_EQ(Told(), Alerts{});
}

}  // namespace
}  // namespace quell::rules
