#include <gmock/gmock.h>

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

const Labels kPortal = {{"user", "deploy"}, {"app", "portal"}};
const char kRules[] = "  - {alert: AppHung, expr: probe_success == 0}\n";

class WatchTest : public ShardFixture {
 protected:
  v1::Watch Expr(const std::string& expr) {
    v1::Watch watch;
    watch.set_id("w");
    watch.set_expr(expr);
    watch.set_host_id("h1");
    watch.set_host("web-1");
    watch.set_newer_than_us(now);
    return watch;
  }
  v1::Watch Cleared() {
    Collect();
    v1::Watch watch = Expr("");
    watch.set_signal_key(signals.back().signal().key());
    watch.set_alert("AppHung");
    *watch.mutable_labels() = signals.back().signal().labels();
    return watch;
  }
};

TEST_F(WatchTest, SignalIsClearedOnNewerSamplesOnly) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Put("h1", "probe_success", {{"user", "deploy"}, {"app", "other"}}, 1);
  Run(2 * kSecond);
  shard->SetWatch(Cleared(), now);
  EXPECT_EQ(WatchValues(), "F") << "the rule still yields it";
  Run(kSecond);
  Put("h1", "probe_success", {{"user", "deploy"}, {"app", "other"}}, 1);
  Run(kSecond);
  EXPECT_EQ(WatchValues(), "F");
  Put("h1", "probe_success", kPortal, 1);
  const Micros sampled = now;
  Run(2 * kSecond);
  ASSERT_EQ(WatchValues(), "FT");
  EXPECT_EQ(watches[1].sample_us(), sampled);
  EXPECT_EQ(watches[1].watch(), "w");
}

TEST_F(WatchTest, AnotherHostsHealthVerifiesNothing) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  Up("h2", "web-2");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  shard->SetWatch(Cleared(), now);
  Run(kSecond);
  Put("h2", "probe_success", kPortal, 1);
  Run(3 * kSecond);
  EXPECT_EQ(WatchValues(), "F");
}

TEST_F(WatchTest, OldSamplesAndSilenceAreNoData) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  const v1::Watch watch = Cleared();
  Put("h1", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  v1::Watch later = watch;
  later.set_newer_than_us(now);
  shard->SetWatch(later, now);
  EXPECT_EQ(WatchValues(), "N") << "healthy, but before the outcome";
}

TEST_F(WatchTest, AnEndedSeriesIsNotHealth) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  shard->SetWatch(Cleared(), now);
  Run(kSecond);
  Put("h1", "probe_success", kPortal, StaleMarker());
  Run(2 * kSecond);
  EXPECT_EQ(WatchValues(), "FN");
}

// The probe fails still; that PM2 says nothing makes the rule's result empty, and nothing well.
TEST_F(WatchTest, OneEndedSideOfARuleIsNotHealth) {
  Start(OneGroup(
      "  - {alert: AppHung, expr: 'probe_success == 0 and on (instance, user, app) pm2_app_online == 1'}\n"));
  Up("h1", "web-1");
  const auto put = [&](double online, double up) {
    const uint32_t probe = shard->SeriesFor("h1", "probe_success", kPortal, "probe");
    shard->Append("h1", probe, {now, 0});
    Put("h1", "pm2_app_online", kPortal, online);
    Put("h1", "pm2_up", {{"user", "deploy"}}, up);
  };
  put(1, 1);
  Run(2 * kSecond);
  shard->SetWatch(Cleared(), now);
  Run(kSecond);
  for (int i = 0; i < 5; ++i) {
    put(StaleMarker(), 0);
    Run(kSecond);
  }
  EXPECT_EQ(WatchValues(), "FN");
  // Long after, when its end has left the window too.
  for (int i = 0; i < 400; ++i) {
    Put("h1", "pm2_up", {{"user", "deploy"}}, 0);
    shard->Append("h1", shard->SeriesFor("h1", "probe_success", kPortal, "probe"), {now, 0});
    Run(kSecond);
  }
  EXPECT_EQ(WatchValues(), "FN");
  put(1, 1);
  Run(kSecond);
  EXPECT_EQ(WatchValues(), "FNF") << "it hangs still";
  put(0, 1);
  Run(kSecond);
  EXPECT_EQ(WatchValues(), "FNFT");
}

TEST_F(WatchTest, LostHostIsNoData) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  shard->SetWatch(Expr("probe_success == 1"), now);
  Run(kSecond);
  Put("h1", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  shard->HostDown("h1", now);
  EXPECT_EQ(WatchValues(), "NTN");
}

TEST_F(WatchTest, EveryElementMustBeTrue) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  shard->SetWatch(Expr("probe_success == 1"), now);
  Run(kSecond);
  Put("h1", "probe_success", kPortal, 1);
  Put("h1", "probe_success", {{"probe", "second"}}, 0);
  Run(kSecond);
  EXPECT_EQ(WatchValues(), "NF");
  Put("h1", "probe_success", {{"probe", "second"}}, 1);
  Run(2 * kSecond);
  EXPECT_EQ(WatchValues(), "NFT");
}

TEST_F(WatchTest, NarrowedToTheUser) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  v1::Watch watch = Expr("probe_success == 1 and node_load1 < 5");
  v1::Label* user = watch.add_labels();
  user->set_name("user");
  user->set_value("deploy");
  Run(kSecond);
  Put("h1", "probe_success", kPortal, 1);
  Put("h1", "probe_success", {{"user", "somebody"}, {"app", "portal"}}, 0);
  Put("h1", "node_load1", {}, 1);
  watch.set_newer_than_us(now - 1);
  shard->SetWatch(watch, now);
  EXPECT_EQ(WatchValues(), "T");
}

TEST_F(WatchTest, PushedSamplesAreSeenAtOnce) {
  Start(OneGroup(kRules, "1h"));
  Up("h1", "web-1");
  shard->SetWatch(Expr("probe_success == 1"), now);
  now += 20 * kMillisecond;
  Push("h1", "probe_success", kPortal, 1);
  EXPECT_EQ(WatchValues(), "NT");
}

TEST_F(WatchTest, EdgesOnChangeOnlyAndNoneAfterItsEnd) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  v1::Watch watch = Expr("probe_success == 1");
  watch.set_until_us(now + 10 * kSecond);
  shard->SetWatch(watch, now);
  Run(kSecond);
  for (int i = 0; i < 5; ++i) {
    Put("h1", "probe_success", kPortal, 1);
    Run(kSecond);
  }
  EXPECT_EQ(WatchValues(), "NT");
  Run(20 * kSecond);
  EXPECT_EQ(shard->stats().watches, 0u);
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  EXPECT_EQ(WatchValues(), "NT");
}

TEST_F(WatchTest, AnUnreadableOneAnswersNoData) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  shard->SetWatch(Expr("probe_success =="), now);
  EXPECT_EQ(WatchValues(), "N");
  EXPECT_EQ(shard->stats().refused_watches, 1u);
  EXPECT_THAT(shard->stats().last_failure, testing::HasSubstr("unexpected end of input"));
}

TEST_F(WatchTest, TellsHowFullTheWindowIs) {
  Start(OneGroup(kRules));
  Up("h1", "web-1");
  shard->SetWatch(Expr("min_over_time(probe_success[10s]) == 1"), now);
  for (int i = 0; i < 6; ++i) {
    Put("h1", "probe_success", kPortal, 1);
    Run(kSecond);
  }
  ASSERT_EQ(WatchValues(), "NT");
  EXPECT_LT(watches[1].filled(), 0.3);
}

}  // namespace
}  // namespace quell::rules
