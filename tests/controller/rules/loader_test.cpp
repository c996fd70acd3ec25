#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "controller/promql/parser.h"
#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

std::string Mistakes(const std::string& text) {
  config::Problems problems;
  auto set = LoadRules({{"r.yml", text}}, ProvenanceForTests, problems);
  EXPECT_EQ(set == nullptr, !problems.ok());
  return problems.ToString();
}

TEST(Loader, ReadsEverything) {
  const auto set = MustLoad(R"(groups:
- name: apps
  interval: 5s
  query_offset: 1s
  limit: 20
  labels: {team: web, severity: info}
  rules:
  - record: app:errors:rate5m
    expr: sum by (instance, app) (rate(errors_total[5m]))
  - alert: AppHung
    expr: probe_success{probe="health"} == 0 unless pm2_app_stopped == 1
    for: 1m30s
    keep_firing_for: 2m
    labels: {severity: critical, service: portal, category: application}
    annotations: {summary: '{{ $labels.app }}: {{ $value }}'}
  - alert: AppHung
    expr: absent(node_load1)
)");
  ASSERT_NE(set, nullptr);
  const Group& group = set->groups[0];
  EXPECT_EQ(group.interval, 5 * kSecond);
  EXPECT_EQ(group.query_offset, kSecond);
  EXPECT_EQ(group.limit, 20);
  ASSERT_EQ(group.rules.size(), 3u);
  EXPECT_FALSE(group.rules[0].alert);
  const Rule& rule = group.rules[1];
  EXPECT_EQ(rule.identity, "rules.yml/apps/AppHung");
  EXPECT_EQ(group.rules[2].identity, "rules.yml/apps/AppHung#2");
  EXPECT_EQ(rule.hold, 90 * kSecond);
  EXPECT_EQ(rule.keep_firing, 2 * kMinute);
  EXPECT_EQ(rule.labels.size(), 4u) << "the group's and its own, its own over the group's";
  EXPECT_THAT(rule.metrics, testing::ElementsAre("pm2_app_stopped", "probe_success"));
  EXPECT_TRUE(rule.host_local);
  EXPECT_FALSE(group.rules[2].host_local);
  ASSERT_EQ(set->alerts.size(), 2u);
  const v1::AlertRule& alert = set->alerts[0];
  EXPECT_EQ(alert.severity(), v1::P1);
  EXPECT_EQ(alert.service(), "portal");
  EXPECT_EQ(alert.category(), "application");
  EXPECT_THAT(alert.provenance(), testing::ElementsAre("daemon", "probe"));
  EXPECT_EQ(set->alerts[1].severity(), v1::P3);
  EXPECT_EQ(set->retention.For("errors_total"), 10 * kMinute);
  EXPECT_EQ(set->retention.For("never_heard_of"), 10 * kMinute);
}

TEST(Loader, RetentionIsWhatTheRulesNeed) {
  const auto set =
      MustLoad(OneGroup("  - {alert: A, expr: 'min_over_time(a[1w]) < 1'}\n"
                        "  - {alert: B, expr: 'rate(b[1h] offset 1h) > max_over_time(b[5m])'}\n"
                        "  - {alert: C, expr: 'max_over_time(rate(c[5m])[1h:1m]) > 1'}\n"));
  EXPECT_EQ(set->retention.For("a"), 7 * kDay + 5 * kMinute);
  EXPECT_EQ(set->retention.For("b"), 2 * kHour + 5 * kMinute);
  EXPECT_EQ(set->retention.For("c"), kHour + 10 * kMinute);
  EXPECT_EQ(set->longest_window, 7 * kDay + 5 * kMinute);
}

TEST(Loader, RecordedSeriesAreAsTrustworthyAsWhatTheyAreMadeOf) {
  const auto set =
      MustLoad(OneGroup("  - {record: 'a:b', expr: node_load1 + my_own_metric}\n"
                        "  - {record: 'a:c', expr: 'a:b + pm2_up'}\n"
                        "  - {alert: X, expr: 'a:c > 1'}\n"));
  EXPECT_THAT(set->alerts[0].provenance(), testing::ElementsAre("app", "daemon", "kernel"));
}

TEST(Loader, Severities) {
  EXPECT_EQ(SeverityOf("P0"), v1::P0);
  EXPECT_EQ(SeverityOf("P2"), v1::P2);
  EXPECT_EQ(SeverityOf("critical"), v1::P1);
  EXPECT_EQ(SeverityOf("warning"), v1::P2);
  EXPECT_EQ(SeverityOf("info"), v1::P3);
  EXPECT_EQ(SeverityOf("none"), v1::P3);
  EXPECT_EQ(SeverityOf(""), v1::P3);
}

TEST(Loader, HostLocalMeansThatInstanceIsKept) {
  const std::pair<const char*, bool> cases[] = {
      {"up == 0", true},
      {"rate(x[5m]) > on (instance, app) y", true},
      {"x > on (app) y", false},
      {"x > ignoring (app) y", true},
      {"x > ignoring (instance) y", false},
      {"x and on () y", false},
      {"sum by (instance) (x) > 1", true},
      {"sum without (cpu) (x) > 1", true},
      {"sum without (instance) (x) > 1", false},
      {"sum(x) > 1", false},
      {"count by (app) (x) > 1", false},
      {"topk by (instance) (1, x) > 1", true},
      {"topk(1, x) > 1", false},
      {"count_values by (instance) (\"v\", x) > 1", true},
      {"count_values without (v) (\"instance\", x) > 1", false},
      {"absent(x)", false},
      {"absent_over_time(x[5m])", false},
      {"x or vector(0)", false},
      {"x > scalar(y)", false},
      {"x > time() - 60", true},
      {"x > hour()", false},
      {"hour(x) > 3", true},
      {"label_replace(x, \"instance\", \"a\", \"b\", \".*\") > 1", false},
      {"label_replace(x, \"to\", \"$1\", \"from\", \"(.*)\") > 1", true},
      {"vector(1)", false},
      {"1 > bool 2", false},
      {"histogram_quantile(0.9, rate(x_bucket[5m])) > 1", true},
      {"x * on (instance) group_left (a) sum by (instance, a) (y) > 1", true},
      {"max_over_time(sum by (instance) (x)[5m:1m]) > 1", true},
  };
  for (const auto& [text, local] : cases) {
    auto expr = promql::Parse(text);
    ASSERT_TRUE(expr.ok()) << text << ": " << expr.status();
    EXPECT_EQ(IsHostLocal(**expr), local) << text;
  }
}

TEST(Loader, WhatReadsAGlobalRecordIsGlobalToo) {
  const auto set =
      MustLoad(OneGroup("  - {alert: A, expr: 'b:b > 1'}\n"
                        "  - {record: 'b:b', expr: 'a:a * 2'}\n"
                        "  - {record: 'a:a', expr: sum(x)}\n"
                        "  - {alert: B, expr: x > 1}\n"));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(set->groups[0].rules[static_cast<size_t>(i)].host_local, i == 3) << i;
}

std::string Alert(const std::string& keys) { return "groups:\n- name: g\n  rules:\n  - alert: A\n" + keys; }

TEST(Loader, EveryMistakeHasItsSentenceAndPlace) {
  const std::pair<std::string, std::string> cases[] = {
      {Alert("    expr: up ==\n"), "r.yml:5:16: unexpected end of input"},
      {Alert("    expr: \"up == ) 1\"\n"), "r.yml:5:18: unexpected \")\""},
      {Alert("    expr: |\n      up == 1\n        and foo{a=b}\n"),
       "r.yml:7:19: unexpected \"b\" in label matching, expected string"},
      {Alert("    expr: nope(up)\n"), "r.yml:5:11: unknown function with name \"nope\""},
      {Alert("    expr: histogram_avg(up)\n"), "r.yml:5:11: function histogram_avg is not supported"},
      {Alert("    expr: limitk(3, up)\n"), "r.yml:5:11: aggregation limitk is not supported"},
      {Alert("    expr: rate(up[5m] smoothed)\n"), "r.yml:5:23: modifier smoothed is not supported"},
      {Alert("    expr: up{a=~\"(\"}\n"), "r.yml:5:17: invalid regular expression: missing ): ("},
      {Alert("    expr: up[5m]\n"),
       "r.yml:5:11: a rule's expression gives an instant vector or a scalar, this one a range vector"},
      {Alert("    expr: '\"text\"'\n"),
       "a rule's expression gives an instant vector or a scalar, this one a string"},
      {Alert("    expr: 'x{v=\"\\.\"}'\n"), "unknown escape sequence '\\.'"},
      {Alert("    for: 5m\n"), "r.yml:4:5: "},
      {Alert("    expr: up\n    fro: 5m\n"), "fro"},
      {Alert("    expr: up\n    expr: up\n"), "expr"},
      {Alert("    expr: up\n    for: five\n"), "r.yml:6:10: "},
      {Alert("    expr: up\n    labels: {severity: '{{ $value | humanize }}'}\n"),
       "r.yml:6:25: template of label \"severity\": {{ $value | humanize }} is not supported"},
      {Alert("    expr: up\n    annotations:\n      text: 'all of {{ $labels }}'\n"),
       "r.yml:7:21: template of annotation \"text\": {{ $labels }} is not supported"},
      {Alert("    expr: up\n    annotations: {a: '{{ $labels.x'}\n"), "{{ without }}"},
      {Alert("    expr: up\n    labels: {a-b: c}\n"), "r.yml:6:14: \"a-b\" is not a label name"},
      {Alert("    expr: up\n    labels: {__name__: c}\n"), "\"__name__\" is not a label name"},
      {Alert("    expr: up\n    labels: {a: [b]}\n"), "label \"a\" must be a single value"},
      {Alert("    expr: up\n    record: a\n"), "a rule has either alert or record, not both"},
      {"groups:\n- name: g\n  rules:\n  - expr: up\n", "r.yml:4:5: a rule needs alert or record"},
      {"groups:\n- name: g\n  rules:\n  - {record: 'a b', expr: up}\n", "\"a b\" is not a metric name"},
      {"groups:\n- name: g\n  rules:\n  - {record: a, expr: up, for: 1m}\n", "a recording rule has no for"},
      {"groups:\n- name: g\n  rules:\n  - {record: a, expr: up, annotations: {x: y}}\n",
       "a recording rule has no annotations"},
      {"groups:\n- name: g\n  rules:\n  - {record: a, expr: up, labels: {x: '{{ $value }}'}}\n",
       "labels of a recording rule have no templates"},
      {"groups:\n- name: g\n- name: g\n", "r.yml:3:3: group \"g\" is in this file twice"},
      {"groups:\n- rules: []\n", "name"},
      {"groups:\n- name: g\n  interval: 0s\n", "interval must be above 0"},
      {"groups:\n- name: g\n  limit: -1\n", "r.yml:3:10: "},
      {"group:\n- name: g\n", "groups"},
      {"groups:\n- name: g\n  rules: &a []\n", "r.yml:3:"},
      {"groups: {\n", "r.yml:"},
  };
  for (const auto& [text, says] : cases) EXPECT_THAT(Mistakes(text), testing::HasSubstr(says)) << text;
}

TEST(Loader, AllMistakesAtOnceAndNothingHalfLoaded) {
  config::Problems problems;
  const std::string good = OneGroup("  - {alert: A, expr: up}\n");
  const std::string bad = Alert("    expr: up ==\n") + "  - {alert: B, expr: nope(x)}\n  - {alert: C}\n";
  EXPECT_EQ(LoadRules({{"good.yml", good}, {"bad.yml", bad}}, ProvenanceForTests, problems), nullptr);
  EXPECT_EQ(problems.mistakes().size(), 3u) << problems.ToString();
}

TEST(Loader, AnEmptyFileHasNoRules) {
  config::Problems problems;
  const auto set = LoadRules({{"r.yml", "groups: []\n"}}, ProvenanceForTests, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_TRUE(set->groups.empty());
}

TEST(Loader, GroupsAreDueOnAlignedTimes) {
  const auto set = MustLoad(OneGroup("  - {alert: A, expr: up}\n", "15s"));
  const Group& group = set->groups[0];
  const Micros now = 1'700'000'000 * kSecond + 123'456;
  const Micros due = DueAtOrBefore(group, now);
  EXPECT_LE(due, now);
  EXPECT_GT(due + group.interval, now);
  EXPECT_EQ((due - group.phase) % group.interval, 0);
  EXPECT_EQ(DueAtOrBefore(group, due), due);
  EXPECT_EQ(DueAtOrBefore(group, due - 1), due - group.interval);
}

// Rule files of others, where they lie beside the project: each loads, or every mistake names what is not
// supported.
TEST(Loader, PublishedRuleFiles) {
  const std::filesystem::path folder =
      std::filesystem::path(QUELL_SOURCE_DIR) / "../shared/conformance/rules";
  if (!std::filesystem::exists(folder)) {
    std::cout << "SKIPPED: no rule files in " << folder << "\n";
    GTEST_SKIP() << "no rule files in " << folder;
  }
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    config::Problems problems;
    const auto set = LoadRules({{file.path().filename().string(), text.str()}}, ProvenanceForTests, problems);
    size_t rules = 0;
    if (set != nullptr)
      for (const Group& group : set->groups) rules += group.rules.size();
    std::cout << file.path().filename().string() << ": " << (set != nullptr ? "loaded" : "refused") << ", "
              << rules << " rules, " << problems.mistakes().size() << " mistakes\n";
    for (const config::Mistake& mistake : problems.mistakes())
      EXPECT_THAT(mistake.message, testing::HasSubstr("is not supported")) << mistake.ToString();
  }
}

}  // namespace
}  // namespace quell::rules
