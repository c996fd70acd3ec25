// Loads rules from text and drives a shard by hand.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "controller/rules/global.h"
#include "controller/rules/rule_set.h"
#include "controller/rules/shard.h"

namespace quell::rules {

inline std::string ProvenanceForTests(std::string_view metric) {
  if (metric.starts_with("node_")) return "kernel";
  if (metric.starts_with("pm2_") || metric.starts_with("pg_")) return "daemon";
  if (metric.starts_with("probe_")) return "probe";
  return "";
}

inline std::shared_ptr<const RuleSet> MustLoad(const std::string& text) {
  config::Problems problems;
  auto set = LoadRules({{"rules.yml", text}}, ProvenanceForTests, problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  return set;
}

// One group with this interval; `rules` is indented by two.
inline std::string OneGroup(const std::string& rules, const std::string& interval = "1s") {
  return "groups:\n- name: g\n  interval: " + interval + "\n  rules:\n" + rules;
}

// A shard with hosts h1 and h2 (web-1, web-2); time is told, and Run ticks whenever something is due.
class ShardFixture : public testing::Test {
 protected:
  void Start(const std::string& rules, ShardOptions options = {}) {
    shard = std::make_unique<Shard>(MustLoad(rules), options);
    now = 1'000'000 * kSecond;
    shard->Tick(now);
  }
  void Up(const std::string& id, const std::string& name, bool expected = false) {
    shard->HostUp({id, name, Labels()}, expected, now);
  }
  uint32_t Series(const std::string& id, const std::string& name, const Labels& labels = {}) {
    return shard->SeriesFor(id, name, labels, "pm2");
  }
  void Put(const std::string& id, const std::string& name, const Labels& labels, double value) {
    shard->Append(id, Series(id, name, labels), {now, value});
  }
  void Push(const std::string& id, const std::string& name, const Labels& labels, double value) {
    shard->Push(id, Series(id, name, labels), {now, value});
    shard->EvaluatePushed(id, now);
  }
  void Run(Micros d) {
    const Micros end = now + d;
    while (shard->NextDue() != 0 && shard->NextDue() <= end) {
      now = std::max(now, shard->NextDue());
      shard->Tick(now);
    }
    now = end;
    shard->Tick(now);
    Collect();
  }
  void Collect() {
    for (v1::Payload& payload : shard->TakeEdges()) {
      if (payload.has_signal_edge()) signals.push_back(payload.signal_edge());
      if (payload.has_watch_edge()) watches.push_back(payload.watch_edge());
    }
    for (v1::RuleState& row : shard->TakeRuleStates()) rows.push_back(row);
  }
  // States of the signal edges so far, as "F", "C" and "H".
  std::string Edges() {
    Collect();
    std::string out;
    for (const v1::SignalEdge& edge : signals)
      out += edge.signal().state() == v1::FIRING ? "F" : edge.signal().state() == v1::CLEARED ? "C" : "H";
    return out;
  }
  std::string WatchValues() {
    Collect();
    std::string out;
    for (const v1::WatchEdge& edge : watches)
      out += edge.value() == v1::WatchEdge::TRUE ? "T" : edge.value() == v1::WatchEdge::FALSE ? "F" : "N";
    return out;
  }

  std::unique_ptr<Shard> shard;
  Micros now = 0;
  std::vector<v1::SignalEdge> signals;
  std::vector<v1::WatchEdge> watches;
  std::vector<v1::RuleState> rows;
};

}  // namespace quell::rules
