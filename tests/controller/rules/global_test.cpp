#include "controller/rules/global.h"

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

class GlobalTest : public ShardFixture {
 protected:
  void StartGlobal(const std::string& rules) {
    Start(rules);
    global = std::make_unique<GlobalRules>(
        MustLoad(rules), promql::EvalOptions{},
        [](std::string_view instance) { return instance == "web-1" ? std::string("h1") : std::string(); });
    global->Tick(now, shard->source(), true, 0);
    Up("h1", "web-1");
    Up("h2", "web-2");
  }
  void TickAll(Micros d) {
    Run(d);
    global->Tick(now, shard->source(), complete && shard->AllKnown(now), shard->NewestLoss());
    for (v1::Payload& payload : global->TakeEdges()) {
      if (payload.has_signal_edge()) edges.push_back(payload.signal_edge());
      if (payload.has_watch_edge()) watch_edges.push_back(payload.watch_edge());
    }
  }
  std::string GlobalEdges() const {
    std::string out;
    for (const v1::SignalEdge& edge : edges)
      out += edge.signal().state() == v1::FIRING ? "F" : edge.signal().state() == v1::CLEARED ? "C" : "H";
    return out;
  }
  std::unique_ptr<GlobalRules> global;
  bool complete = true;
  std::vector<v1::SignalEdge> edges;
  std::vector<v1::WatchEdge> watch_edges;
};

const char kErrors[] = "  - {alert: Errors, expr: 'sum by (app) (errors) > 10'}\n";

TEST_F(GlobalTest, SumsOverHosts) {
  StartGlobal(OneGroup(kErrors));
  Put("h1", "errors", {{"app", "portal"}}, 6);
  Put("h2", "errors", {{"app", "portal"}}, 6);
  TickAll(2 * kSecond);
  ASSERT_EQ(GlobalEdges(), "F");
  EXPECT_EQ(edges[0].signal().host_id(), "");
  EXPECT_EQ(edges[0].signal().value(), 12);
  EXPECT_NE(edges[0].signal().sample_us(), 0);
  Put("h2", "errors", {{"app", "portal"}}, 0);
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "FC");
}

TEST_F(GlobalTest, WhatNoDaemonTellsOfIsHeld) {
  StartGlobal(OneGroup("  - {alert: GivenUp, expr: 'sum by (app) (pm2_app_given_up) > 0'}\n"));
  const auto tell = [&](double up, double given_up) {
    for (int i = 0; i < 20; ++i) {
      Put("h1", "pm2_up", {{"user", "deploy"}}, up);
      Put("h1", "pm2_app_given_up", {{"user", "deploy"}, {"app", "portal"}}, given_up);
      Put("h1", "quell_collector_up", {{"collector", "pm2"}}, 1);
      TickAll(kSecond);
    }
  };
  tell(1, 1);
  ASSERT_EQ(GlobalEdges(), "F");
  tell(0, StaleMarker());
  EXPECT_EQ(GlobalEdges(), "FH");
  tell(1, 0);
  EXPECT_EQ(GlobalEdges(), "FHC");
}

TEST_F(GlobalTest, APartIsNotTheWhole) {
  StartGlobal(OneGroup("  - {alert: NoLoad, expr: absent(node_load1)}\n"));
  complete = false;
  TickAll(5 * kSecond);
  EXPECT_EQ(GlobalEdges(), "");
  complete = true;
  TickAll(5 * kSecond);
  EXPECT_EQ(GlobalEdges(), "F");
}

TEST_F(GlobalTest, AHostThatWasLostMeanwhileIsNoHealth) {
  StartGlobal(OneGroup(kErrors));
  Put("h1", "errors", {{"app", "portal"}}, 11);
  TickAll(2 * kSecond);
  ASSERT_EQ(GlobalEdges(), "F");
  shard->HostDown("h1", now);
  TickAll(10 * kMinute);
  EXPECT_EQ(GlobalEdges(), "F");
  Up("h1", "web-1");
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "FC");
}

TEST_F(GlobalTest, LostHostsThemselvesAreCounted) {
  StartGlobal(OneGroup("  - {alert: Fleet, expr: 'count(up{job=\"quell-agent\"} == 0) > 0'}\n"));
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "");
  shard->HostDown("h1", now);
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "F");
  Up("h1", "web-1");
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "FC");
}

TEST_F(GlobalTest, AnInstanceLabelNamesTheHost) {
  StartGlobal(OneGroup("  - {alert: Top, expr: 'topk(1, errors) > 1'}\n"));
  Put("h1", "errors", {}, 5);
  Put("h2", "errors", {}, 4);
  TickAll(2 * kSecond);
  ASSERT_EQ(GlobalEdges(), "F");
  EXPECT_EQ(edges[0].signal().host_id(), "h1");
}

TEST_F(GlobalTest, RecordsForTheNextRule) {
  StartGlobal(OneGroup(
      "  - {record: 'fleet:errors', expr: sum(errors)}\n  - {alert: E, expr: 'fleet:errors > 3'}\n"));
  Put("h1", "errors", {}, 2);
  Put("h2", "errors", {}, 2);
  TickAll(2 * kSecond);
  EXPECT_EQ(GlobalEdges(), "F");
}

TEST_F(GlobalTest, RestoredIsHeldUntilItIsLookedAt) {
  StartGlobal(OneGroup(kErrors));
  Put("h1", "errors", {{"app", "portal"}}, 11);
  TickAll(2 * kSecond);
  const auto rows = global->TakeRuleStates();
  ASSERT_EQ(rows.size(), 1u);
  edges.clear();
  global = std::make_unique<GlobalRules>(MustLoad(OneGroup(kErrors)), promql::EvalOptions{},
                                         [](std::string_view) { return std::string(); });
  global->Restore(rows, now);
  TickAll(kSecond);
  TickAll(kSecond);
  EXPECT_EQ(GlobalEdges(), "HF");
}

TEST_F(GlobalTest, WatchesOverTheFleet) {
  StartGlobal(OneGroup(kErrors));
  v1::Watch watch;
  watch.set_id("w");
  watch.set_expr("sum(errors) < 3");
  global->SetWatch(watch, now);
  Put("h1", "errors", {}, 1);
  Put("h2", "errors", {}, 1);
  TickAll(kSecond);
  complete = false;
  TickAll(2 * kSecond);
  ASSERT_EQ(watch_edges.size(), 2u);
  EXPECT_EQ(watch_edges[0].value(), v1::WatchEdge::TRUE);
  EXPECT_EQ(watch_edges[1].value(), v1::WatchEdge::NO_DATA);
}

}  // namespace
}  // namespace quell::rules
