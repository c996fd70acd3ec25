#include "controller/rules/shard.h"

#include <gmock/gmock.h>

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

const char kHung[] =
    "  - alert: AppHung\n"
    "    expr: probe_success == 0\n"
    "    labels: {severity: critical, service: portal}\n"
    "    annotations: {summary: '{{ $labels.app }} hangs on {{ $labels.instance }} ({{ $value }})'}\n";
const Labels kPortal = {{"user", "deploy"}, {"app", "portal"}};

std::string LabelOf(const v1::Signal& signal, const std::string& name) {
  for (const v1::Label& label : signal.labels())
    if (label.name() == name) return label.value();
  return "";
}

using ShardTest = ShardFixture;

TEST_F(ShardTest, TickFiresWithTheWholeSignal) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Put("h1", "pm2_app_pid", {{"user", "deploy"}, {"app", "portal"}, {"pm_id", "3"}}, 4242);
  Put("h1", "pm2_app_pid", {{"user", "deploy"}, {"app", "other"}, {"pm_id", "4"}}, 4243);
  Put("h1", "pm2_app_started_seconds", {{"user", "deploy"}, {"app", "portal"}, {"pm_id", "3"}}, 1000);
  Put("h1", "probe_success", kPortal, 0);
  const Micros sampled = now;
  Run(2 * kSecond);
  ASSERT_EQ(Edges(), "F");
  const v1::Signal& signal = signals[0].signal();
  EXPECT_EQ(signal.alert(), "AppHung");
  EXPECT_EQ(signal.severity(), v1::P1);
  EXPECT_EQ(signal.host_id(), "h1");
  EXPECT_EQ(signal.sample_us(), sampled);
  EXPECT_EQ(LabelOf(signal, "instance"), "web-1");
  EXPECT_EQ(LabelOf(signal, "alertname"), "AppHung");
  EXPECT_EQ(LabelOf(signal, "service"), "portal");
  EXPECT_EQ(LabelOf(signal, "job"), "pm2");
  EXPECT_EQ(LabelOf(signal, "__name__"), "");
  EXPECT_EQ(signal.annotations(0).value(), "portal hangs on web-1 (0)");
  ASSERT_EQ(signal.facts_size(), 2);
  EXPECT_EQ(signal.facts(0).value(), 4242);
  EXPECT_EQ(signal.facts(1).series().name(), "pm2_app_started_seconds");
  EXPECT_FALSE(signals[0].pushed());
  EXPECT_EQ(signal.key().rfind("AppHung/", 0), 0u);
}

TEST_F(ShardTest, ClearsWhenItIsNotTrueAnyMore) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  Put("h1", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "FC");
  EXPECT_GT(signals[1].signal().cleared_us(), signals[0].signal().fired_us());
  ASSERT_FALSE(rows.empty());
  EXPECT_TRUE(rows.back().gone());
}

TEST_F(ShardTest, HostsDoNotSeeEachOther) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Up("h2", "web-2");
  Put("h1", "probe_success", kPortal, 0);
  Put("h2", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  ASSERT_EQ(Edges(), "F");
  EXPECT_EQ(signals[0].signal().host_id(), "h1");
}

TEST_F(ShardTest, PushedEventFiresAtOnceAndNeverClears) {
  Start(OneGroup(kHung, "4m"));
  Up("h1", "web-1");
  Push("h1", "probe_success", kPortal, 0);
  ASSERT_EQ(Edges(), "F");
  EXPECT_TRUE(signals[0].pushed());
  now += kSecond;
  Push("h1", "probe_success", kPortal, 1);
  EXPECT_EQ(Edges(), "F");
  Run(4 * kMinute);
  EXPECT_EQ(Edges(), "FC");
}

TEST_F(ShardTest, TickBeforeAPushDoesNotTakeItBack) {
  Start(OneGroup(kHung, "10s"));
  Up("h1", "web-1");
  Run(10 * kSecond);
  const Micros due = shard->NextDue();
  now = due + 5 * kMillisecond;  // the tick is late
  Push("h1", "probe_success", kPortal, 0);
  shard->Tick(now);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, PushesOfOneHostAreTenMillisecondsApart) {
  Start(OneGroup(kHung, "1h"));
  Up("h1", "web-1");
  Push("h1", "probe_success", kPortal, 1);
  now += kMillisecond;
  Push("h1", "probe_success", kPortal, 0);
  EXPECT_EQ(shard->stats().pushed_evaluations, 1u);
  EXPECT_EQ(Edges(), "");
  EXPECT_EQ(shard->NextDue(), now + 9 * kMillisecond);
  Run(9 * kMillisecond);
  EXPECT_EQ(shard->stats().pushed_evaluations, 2u);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, PushOfAnotherMetricEvaluatesNothing) {
  Start(OneGroup(kHung, "1h"));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Push("h1", "pm2_up", {}, 1);
  EXPECT_EQ(Edges(), "");
  EXPECT_EQ(shard->stats().rule_evaluations, 0u);
}

TEST_F(ShardTest, PushedEventStartsTheForClockWhichIsLookedAtWhenDue) {
  Start(OneGroup("  - {alert: Gone, expr: pm2_app_online == 0, for: 10s}\n", "1h"));
  Up("h1", "web-1");
  Push("h1", "pm2_app_online", kPortal, 0);
  EXPECT_EQ(Edges(), "");
  EXPECT_EQ(shard->NextDue(), now + 10 * kSecond);
  const Micros pushed = now;
  Run(10 * kSecond);
  ASSERT_EQ(Edges(), "F");
  EXPECT_EQ(signals[0].signal().active_since_us(), pushed);
  EXPECT_EQ(signals[0].signal().fired_us(), pushed + 10 * kSecond);
}

TEST_F(ShardTest, HealedWithinForDoesNotFire) {
  Start(OneGroup("  - {alert: Gone, expr: pm2_app_online == 0, for: 10s}\n"));
  Up("h1", "web-1");
  Push("h1", "pm2_app_online", kPortal, 0);
  Run(3 * kSecond);
  Push("h1", "pm2_app_online", kPortal, 1);
  Run(20 * kSecond);
  EXPECT_EQ(Edges(), "");
}

TEST_F(ShardTest, UnknownAfterAStartUntilReplayed) {
  Start(OneGroup(kHung));
  Up("h1", "web-1", true);
  EXPECT_FALSE(shard->AllKnown(now));
  Put("h1", "probe_success", kPortal, 0);
  Run(10 * kSecond);
  EXPECT_EQ(Edges(), "");
  shard->HostReplayed("h1");
  EXPECT_TRUE(shard->AllKnown(now));
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, UnknownAfterAStartUntilTheWindowsAreFull) {
  Start(OneGroup("  - {alert: Low, expr: 'max_over_time(probe_success[1m]) == 0'}\n"));
  Up("h1", "web-1", true);
  for (int i = 0; i < 5; ++i) {
    Put("h1", "probe_success", kPortal, 0);
    Run(kMinute);
  }
  EXPECT_EQ(Edges(), "");
  Put("h1", "probe_success", kPortal, 0);
  Run(61 * kSecond);
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, LostHostHoldsItsSignalsAndUpFallsToZero) {
  Start(OneGroup(std::string(kHung) + "  - {alert: Down, expr: 'up{job=\"pm2\"} == 0'}\n"));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  ASSERT_EQ(Edges(), "F");
  shard->HostDown("h1", now);
  EXPECT_EQ(Edges(), "FH");
  EXPECT_EQ(shard->NewestLoss(), now);
  Run(10 * kMinute);
  ASSERT_EQ(Edges(), "FHF");
  EXPECT_EQ(signals[2].signal().alert(), "Down");
  Up("h1", "web-1", true);
  Put("h1", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "FHFC") << "the host is back, its windows are not known yet";
  EXPECT_EQ(signals[3].signal().alert(), "Down");
  shard->HostReplayed("h1");
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "FHFCC");
}

TEST_F(ShardTest, SamplesFromBeforeTheLossStillFindTheirPlace) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  const uint32_t series = Series("h1", "probe_success", kPortal);
  shard->Append("h1", series, {now, 1});
  shard->HostDown("h1", now + 15 * kSecond);
  Up("h1", "web-1", true);
  shard->Append("h1", series, {now + 5 * kSecond, 0});
  EXPECT_EQ(shard->stats().series.out_of_order, 0u);
}

TEST_F(ShardTest, RestoredFiringIsHeldAndThenConfirmedOrCleared) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  Collect();
  const std::vector<v1::RuleState> table = rows;
  const std::string key = signals[0].signal().key();
  for (const double value : {0.0, 1.0}) {
    signals.clear();
    Start(OneGroup(kHung));
    shard->Restore(table, now);
    shard->HostAbsent({"h1", "web-1", Labels()}, now);
    EXPECT_FALSE(shard->AllKnown(now));
    ASSERT_EQ(Edges(), "H");
    EXPECT_EQ(signals[0].signal().key(), key);
    Run(10 * kSecond);
    EXPECT_EQ(Edges(), "H") << "nothing is known, nothing clears";
    Up("h1", "web-1", true);
    Put("h1", "probe_success", kPortal, value);
    shard->HostReplayed("h1");
    Run(2 * kSecond);
    EXPECT_EQ(Edges(), value == 0 ? "HF" : "HC");
    EXPECT_EQ(signals[1].signal().key(), key);
  }
}

TEST_F(ShardTest, RestoredPendingDoesNotCountTheTimeWhenNobodyLooked) {
  const std::string rules = OneGroup("  - {alert: Gone, expr: pm2_app_online == 0, for: 1m}\n");
  Start(rules);
  Up("h1", "web-1");
  Put("h1", "pm2_app_online", kPortal, 0);
  Run(10 * kSecond);
  Collect();
  ASSERT_FALSE(rows.empty());
  const std::vector<v1::RuleState> table = rows;
  const Micros then = now;
  Start(rules);
  now = then + kHour;
  shard->Restore(table, now);
  Up("h1", "web-1", true);
  shard->HostReplayed("h1");
  Put("h1", "pm2_app_online", kPortal, 0);
  Run(30 * kSecond);
  EXPECT_EQ(Edges(), "");
  Run(31 * kSecond);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, RemovedHostClears) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  shard->HostRemoved("h1", now);
  EXPECT_EQ(Edges(), "FC");
  EXPECT_EQ(shard->stats().hosts, 0u);
}

TEST_F(ShardTest, LoadKeepsStatesAndClearsRulesThatAreGone) {
  Start(OneGroup(std::string(kHung) + "  - {alert: Other, expr: probe_success < 1}\n"));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  ASSERT_EQ(Edges(), "FF");
  shard->Load(MustLoad(OneGroup(kHung)), now);
  Run(3 * kSecond);
  ASSERT_EQ(Edges(), "FFC");
  EXPECT_EQ(signals[2].signal().alert(), "Other");
}

TEST_F(ShardTest, RecordedSeriesAreSeenByTheNextRuleOfTheSameTick) {
  Start(
      OneGroup("  - {record: 'app:down', expr: 'sum by (instance, app) (probe_success == bool 0)', labels: "
               "{kind: x}}\n"
               "  - {alert: Hung, expr: 'app:down{kind=\"x\"} > 0'}\n"));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(kSecond);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(ShardTest, AFailingRuleLeavesTheStateAndIsCounted) {
  Start(OneGroup("  - {alert: A, expr: 'probe_success == on (instance) group_left () limits'}\n"));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Put("h1", "limits", {{"l", "a"}}, 0);
  Run(2 * kSecond);
  ASSERT_EQ(Edges(), "F");
  Put("h1", "limits", {{"l", "b"}}, 0);  // two on the one side
  Put("h1", "probe_success", kPortal, 1);
  Run(2 * kSecond);
  EXPECT_EQ(Edges(), "F");
  EXPECT_GT(shard->stats().rule_failures, 0u);
  EXPECT_THAT(shard->stats().last_failure, testing::HasSubstr("found duplicate series"));
}

TEST_F(ShardTest, AlertsAreSeriesToo) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  Put("h1", "probe_success", kPortal, 0);
  Run(2 * kSecond);
  int seen = 0;
  shard->source().Select(
      {series::Matcher::Equal("__name__", "ALERTS"), series::Matcher::Equal("alertstate", "firing")}, 0, now,
      series::Read::kNewest, [&](const Labels&, std::span<const Sample>) { return ++seen; });
  EXPECT_EQ(seen, 1);
}

TEST_F(ShardTest, LabelsOfTheWireDoNotReplaceOurs) {
  Start(OneGroup(kHung));
  shard->HostUp({"h1", "web-1", Labels({{"site", "eu"}})}, false, now);
  Put("h1", "m", {{"instance", "forged"}, {"site", "us"}, {"job", "x"}}, 1);
  int seen = 0;
  shard->source().Select({series::Matcher::Equal("__name__", "m")}, 0, now, series::Read::kNewest,
                         [&](const Labels& labels, std::span<const Sample>) {
                           ++seen;
                           EXPECT_EQ(labels.Get("instance"), "web-1");
                           EXPECT_EQ(labels.Get("site"), "eu");
                           EXPECT_EQ(labels.Get("job"), "pm2");
                           EXPECT_EQ(labels.Get("exported_instance"), "forged");
                           return true;
                         });
  EXPECT_EQ(seen, 1);
}

TEST_F(ShardTest, UpFollowsTheJobsSamples) {
  Start(OneGroup("  - {alert: Down, expr: 'up == 0'}\n"));
  Up("h1", "web-1");
  Put("h1", "m", {}, 1);
  Run(2 * kSecond);
  auto up = [&] {
    double value = -1;
    shard->source().Select({series::Matcher::Equal("__name__", "up"), series::Matcher::Equal("job", "pm2")},
                           0, now, series::Read::kNewest,
                           [&](const Labels&, std::span<const Sample> samples) {
                             if (!IsStale(samples.back().value)) value = samples.back().value;
                             return true;
                           });
    return value;
  };
  EXPECT_EQ(up(), 1);
  Run(5 * kMinute);
  EXPECT_EQ(up(), -1) << "a quiet job says nothing";
  EXPECT_EQ(Edges(), "");
}

TEST_F(ShardTest, BudgetsAreKeptAndCounted) {
  ShardOptions options;
  options.per_host.series = 3;
  Start(OneGroup(kHung), options);
  Up("h1", "web-1");
  for (int i = 0; i < 5; ++i) Put("h1", "m", {{"i", std::to_string(i)}}, 1);
  EXPECT_EQ(shard->stats().series.refused_series, 2u);
  EXPECT_EQ(shard->stats().series.refused_samples, 2u);
  EXPECT_EQ(Series("nobody", "m"), series::kNoSeries);
}

TEST_F(ShardTest, X07_ARuleRaisesNoMoreThanAThousandAlertsOfOneHost) {
  Start(OneGroup(kHung));
  Up("h1", "web-1");
  for (int n = 0; n <= 1000; ++n) {
    Put("h1", "probe_success", {{"user", "deploy"}, {"app", "made-up-" + std::to_string(n)}},
        n < 1000 ? 0 : 1);
  }
  Run(2 * kSecond);
  EXPECT_EQ(Edges().size(), 1000u);
  EXPECT_EQ(shard->stats().rule_failures, 0u);
  Put("h1", "probe_success", {{"user", "deploy"}, {"app", "made-up-1000"}}, 0);
  Run(2 * kSecond);
  EXPECT_EQ(Edges().size(), 1000u) << "the whole evaluation fails, as it does in Prometheus";
  EXPECT_GT(shard->stats().rule_failures, 0u);
}

}  // namespace
}  // namespace quell::rules
