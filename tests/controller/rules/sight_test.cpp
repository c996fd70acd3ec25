// What is missing because nobody looks is held; what is gone by its collector's word clears.
#include "controller/rules/sight.h"

#include <gmock/gmock.h>

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

const Labels kUser = {{"user", "deploy"}};
const Labels kPortal = {{"user", "deploy"}, {"app", "portal"}};
const Labels kProbe = {{"user", "deploy"}, {"app", "portal"}, {"probe", "portal"}};
const Labels kMain = {{"server", "main"}};
const char kGivenUp[] = "  - {alert: AppGivenUp, expr: pm2_app_given_up == 1}\n";
const char kHung[] =
    "  - {alert: AppHung, expr: 'probe_success == 0 and on (instance, user, app) pm2_app_online == 1', for: "
    "5s}\n";
const char kBlocked[] = "  - {alert: PostgresBlocked, expr: pg_blocking_root_victims >= 5}\n";

class SightTest : public ShardFixture {
 protected:
  struct Given {
    std::string name;
    Labels labels;
    double value;
    std::string job = "pm2";
  };
  // A sample a second of each.
  void For(Micros d, const std::vector<Given>& given) {
    for (Micros t = 0; t < d; t += kSecond) {
      for (const Given& g : given)
        shard->Append("h1", shard->SeriesFor("h1", g.name, g.labels, g.job), {now, g.value});
      Run(kSecond);
    }
  }
  static Given Collector(const std::string& name, double up) {
    return {"quell_collector_up", {{"collector", name}}, up, "agent"};
  }
  static Given Pm2(double up) { return {"pm2_up", kUser, up}; }
  static Given App(const std::string& metric, double value) { return {"pm2_app_" + metric, kPortal, value}; }
  static Given Probe(double success) { return {"probe_success", kProbe, success, "probe"}; }
  void Begin(const std::string& rules) {
    Start(OneGroup(rules));
    Up("h1", "web-1");
  }
  const double kEnd = StaleMarker();
};

TEST_F(SightTest, ASilentDaemonClearsNothing) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  ASSERT_EQ(Edges(), "F");
  For(5 * kSecond, {Pm2(0), App("given_up", kEnd)});
  EXPECT_EQ(Edges(), "FH");
  EXPECT_EQ(signals[1].signal().key(), signals[0].signal().key());
  EXPECT_TRUE(rows.empty() || !rows.back().gone());
  For(5 * kSecond, {Pm2(1), App("given_up", 1)});
  EXPECT_EQ(Edges(), "FHF");
  For(2 * kSecond, {Pm2(0), App("given_up", kEnd)});
  For(2 * kSecond, {Pm2(1), App("given_up", 0)});
  EXPECT_EQ(Edges(), "FHFHC") << "PM2 says that it is well";
}

TEST_F(SightTest, HoweverLongItIsSilent) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  For(kSecond, {Pm2(0), App("given_up", kEnd)});
  For(kHour, {Pm2(0)});
  EXPECT_EQ(Edges(), "FH");
}

TEST_F(SightTest, WhatPm2DeletedClears) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  For(2 * kSecond, {Pm2(1), App("given_up", kEnd)});
  EXPECT_EQ(Edges(), "FC");
}

// The daemon is back before its apps are: on the bus at once, in the list later.
TEST_F(SightTest, AWordCountsOnceItHasSettled) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  For(2 * kSecond, {Pm2(0), App("given_up", kEnd)});
  For(14 * kSecond, {Pm2(1)});
  EXPECT_EQ(Edges(), "FH");
  For(5 * kSecond, {Pm2(1)});
  EXPECT_EQ(Edges(), "FHC") << "another daemon, without that app";
}

TEST_F(SightTest, ADaemonToldToEndTookItsAppsWithIt) {
  Begin(kGivenUp);
  const Given by_hand = {"pm2_daemon_stopped_by_hand", kUser, 1};
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  For(10 * kSecond, {Pm2(0), by_hand, App("given_up", kEnd)});
  EXPECT_EQ(Edges(), "FH") << "it may be an update";
  For(10 * kSecond, {Pm2(0), by_hand});
  EXPECT_EQ(Edges(), "FHC");
}

TEST_F(SightTest, AUsersSilenceIsNotAnothers) {
  Begin(kGivenUp);
  const Labels other = {{"user", "other"}, {"app", "shop"}};
  For(20 * kSecond,
      {Pm2(1), App("given_up", 1), {"pm2_up", {{"user", "other"}}, 1}, {"pm2_app_given_up", other, 1}});
  ASSERT_EQ(Edges(), "FF");
  For(5 * kSecond,
      {Pm2(0), App("given_up", kEnd), {"pm2_up", {{"user", "other"}}, 1}, {"pm2_app_given_up", other, kEnd}});
  EXPECT_THAT(Edges(), testing::AnyOf("FFHC", "FFCH"));
}

TEST_F(SightTest, TheOtherSideOfARuleCanSettleIt) {
  Begin(kHung);
  For(20 * kSecond, {Pm2(1), App("online", 1), Probe(0)});
  ASSERT_EQ(Edges(), "F");
  For(5 * kSecond, {Pm2(0), App("online", kEnd), Probe(0)});
  EXPECT_EQ(Edges(), "FH") << "the probe fails still";
  For(2 * kSecond, {Pm2(0), Probe(1)});
  EXPECT_EQ(Edges(), "FHC") << "it answers, whatever PM2 says";
}

// However often a list is late: an app that hangs is told of.
TEST_F(SightTest, AForClockStandsStillAndDoesNotBeginAnew) {
  Begin(kHung);
  For(20 * kSecond, {Pm2(1), App("online", 1), Probe(1)});
  for (int i = 0; i < 3; ++i) {
    For(2 * kSecond, {Pm2(1), App("online", 1), Probe(0)});
    EXPECT_EQ(Edges(), "");
    For(10 * kSecond, {Pm2(0), App("online", kEnd), Probe(0)});
    EXPECT_EQ(Edges(), "") << "unseen time is not counted";
  }
  For(4 * kSecond, {Pm2(1), App("online", 1), Probe(0)});
  EXPECT_EQ(Edges(), "F");
}

TEST_F(SightTest, ARuleAboutTheDaemonItselfClears) {
  Begin(
      "  - alert: Pm2DaemonGone\n"
      "    expr: pm2_up == 0 unless on (instance, user) pm2_daemon_stopped_by_hand == 1\n");
  For(5 * kSecond, {Pm2(0), {"pm2_daemon_stopped_by_hand", kUser, 0}});
  ASSERT_EQ(Edges(), "F");
  For(2 * kSecond, {Pm2(0), {"pm2_daemon_stopped_by_hand", kUser, 1}});
  EXPECT_EQ(Edges(), "FC");
  For(2 * kSecond, {Pm2(0), {"pm2_daemon_stopped_by_hand", kUser, 0}});
  For(2 * kSecond, {Pm2(1), {"pm2_daemon_stopped_by_hand", kUser, 0}});
  EXPECT_EQ(Edges(), "FCFC");
}

// Its reader ended: the collector says so of itself, and its word that all is well must have lasted.
TEST_F(SightTest, ACollectorThatSeesNothingClearsNothing) {
  Begin(kGivenUp);
  const auto with = [&](double collector) {
    return std::vector<Given>{Collector("pm2", collector), Collector("host", 1)};
  };
  For(20 * kSecond, {Pm2(1), App("given_up", 1), Collector("pm2", 1), Collector("host", 1)});
  For(kSecond,
      {Pm2(kEnd), App("given_up", kEnd), Collector("pm2", 1)});  // its failure is told a little later
  For(10 * kMinute, with(0));
  EXPECT_EQ(Edges(), "FH");
  For(50 * kSecond, with(1));
  EXPECT_EQ(Edges(), "FH");
  For(15 * kSecond, with(1));
  EXPECT_EQ(Edges(), "FHC") << "it collects, and nothing of that user any more";
}

TEST_F(SightTest, WhatIsNotCollectedAnyMoreClears) {
  Begin("  - {alert: ProbeFails, expr: probe_success == 0}\n");
  For(20 * kSecond, {Probe(0), Collector("probe/portal", 1), Collector("host", 1)});
  ASSERT_EQ(Edges(), "F");
  shard->HostDown("h1", now);
  Run(5 * kSecond);
  Up("h1", "web-1", true);  // another configuration
  shard->HostReplayed("h1");
  For(50 * kSecond, {Collector("host", 1)});
  EXPECT_EQ(Edges(), "FH");
  For(20 * kSecond, {Collector("host", 1)});
  EXPECT_EQ(Edges(), "FHC");
}

// A collector that hangs sends no end: its samples grow old.
TEST_F(SightTest, OldAgeIsNoEnd) {
  Begin("  - {alert: DiskFull, expr: node_filesystem_avail_bytes < 5}\n");
  For(20 * kSecond, {{"node_filesystem_avail_bytes", {}, 1, "host"}, Collector("host", 1)});
  For(20 * kMinute, {Collector("host", 0)});
  EXPECT_EQ(Edges(), "FH");
}

TEST_F(SightTest, AfterALossAnAgentIsGivenTimeToSee) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1), Collector("pm2", 1)});
  shard->HostDown("h1", now);
  Up("h1", "web-1", true);
  shard->HostReplayed("h1");
  For(10 * kSecond, {Collector("pm2", 1)});  // its reader hasn't told of a list yet
  EXPECT_EQ(Edges(), "FH");
  For(2 * kSecond, {Pm2(1), App("given_up", 1), Collector("pm2", 1)});
  EXPECT_EQ(Edges(), "FHF");
}

TEST_F(SightTest, AServerThatTakesNoConnectionsOrRefusesOneClearsNothing) {
  Begin(std::string(kBlocked) + "  - {alert: PostgresDown, expr: pg_up == 0}\n");
  const Given fine = {"pg_exporter_last_scrape_error", kMain, 0, "postgres"};
  const Given error = {"pg_exporter_last_scrape_error", kMain, 1, "postgres"};
  const auto pg = [&](double up) { return Given{"pg_up", kMain, up, "postgres"}; };
  Labels root = kMain;
  root.Set("pid", "4711");
  const auto victims = [&](double n) { return Given{"pg_blocking_root_victims", root, n, "postgres"}; };
  const Given up = Collector("postgres/main", 1), failing = Collector("postgres/main", 0);
  For(20 * kSecond, {pg(1), fine, victims(7), up});
  ASSERT_EQ(Edges(), "F");
  For(2 * kSecond, {pg(0), error, victims(kEnd), up});
  EXPECT_EQ(Edges(), "FHF") << "held, and the server is down";
  For(2 * kSecond, {pg(1), fine, victims(7), up});
  EXPECT_EQ(Edges(), "FHFFC");
  For(2 * kSecond, {pg(1), error, victims(kEnd), failing});
  EXPECT_EQ(Edges(), "FHFFCH") << "the locks could not be read";
  For(2 * kSecond, {pg(1), fine, victims(8), up});
  EXPECT_EQ(Edges(), "FHFFCHF");
  For(10 * kSecond,
      {pg(kEnd), {"pg_exporter_last_scrape_error", kMain, kEnd, "postgres"}, victims(kEnd), failing});
  EXPECT_EQ(Edges(), "FHFFCHFH") << "the role is refused";
  For(20 * kSecond, {pg(1), fine, up});
  EXPECT_EQ(Edges(), "FHFFCHFHC") << "the session is gone by the server's word";
}

TEST_F(SightTest, WhatARuleRecordedIsWhatItWasRecordedFrom) {
  Begin(
      "  - {record: 'app:given_up', expr: 'max by (instance, user, app) (pm2_app_given_up)'}\n"
      "  - {alert: GivenUp, expr: 'app:given_up == 1'}\n");
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  ASSERT_EQ(Edges(), "F");
  For(5 * kSecond, {Pm2(0), App("given_up", kEnd)});
  EXPECT_EQ(Edges(), "FH");
  For(2 * kSecond, {Pm2(1), App("given_up", 0)});
  EXPECT_EQ(Edges(), "FHC");
}

TEST_F(SightTest, OfAnyOtherMetricAnEndIsAnEnd) {
  Begin("  - {alert: A, expr: m > 0}\n");
  For(2 * kSecond, {{"m", {}, 1}});
  For(2 * kSecond, {{"m", {}, kEnd}});
  EXPECT_EQ(Edges(), "FC");
}

TEST_F(SightTest, AHeldAlertThatIsRestoredIsStillHeld) {
  Begin(kGivenUp);
  For(20 * kSecond, {Pm2(1), App("given_up", 1)});
  For(5 * kSecond, {Pm2(0), App("given_up", kEnd)});
  const std::vector<v1::RuleState> table = rows;
  signals.clear();
  Begin(kGivenUp);
  shard->Restore(table, now);
  shard->HostUp({"h1", "web-1", Labels()}, true, now);
  shard->HostReplayed("h1");
  For(5 * kSecond, {Pm2(0)});
  EXPECT_EQ(Edges(), "H");
}

// X07_: what a host can make one evaluation look at again and again is bounded.
TEST_F(SightTest, X07_AThousandUnseenAlertsAreHeldWithoutLookingAtEachAThousandTimes) {
  Begin(kGivenUp);
  std::vector<Given> many = {Pm2(1)}, ended = {Pm2(0)};
  for (int n = 0; n < 1000; ++n) {
    const Labels labels = {{"user", "deploy"}, {"app", "made-up-" + std::to_string(n)}};
    many.push_back({"pm2_app_given_up", labels, 1});
    ended.push_back({"pm2_app_given_up", labels, kEnd});
  }
  For(2 * kSecond, many);
  ASSERT_EQ(Edges(), std::string(1000, 'F'));
  For(2 * kSecond, ended);
  EXPECT_EQ(Edges(), std::string(1000, 'F') + std::string(1000, 'H'));
}

}  // namespace
}  // namespace quell::rules
