// The state machine of alerts, one test per rule of it. Times in minutes, as the reference's examples have
// them.
#include "controller/rules/alert_state.h"

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

class AlertStateTest : public testing::Test {
 protected:
  const Rule& Load(const std::string& keys) {
    set = MustLoad(OneGroup("  - {alert: A, expr: m > 0" + (keys.empty() ? "" : ", " + keys) + "}\n"));
    return set->groups[0].rules[0];
  }
  absl::Status At(const Rule& rule, double minute, bool holds, EvaluationKind kind = EvaluationKind::kTick) {
    promql::Vector result;
    if (holds) result.push_back({Labels({{"__name__", "m"}, {"instance", "i"}}), minute, 0, 1, false});
    return state.Take(rule, result, 0, static_cast<Micros>(minute * kMinute), kind, edges);
  }
  std::string Edges() const {
    std::string out;
    for (const AlertEdge& edge : edges)
      out += edge.state == v1::FIRING ? "F" : edge.state == v1::CLEARED ? "C" : "H";
    return out;
  }
  const Active& Only() { return state.active().begin()->second; }

  std::shared_ptr<const RuleSet> set;
  AlertState state;
  std::vector<AlertEdge> edges;
};

TEST_F(AlertStateTest, WithoutForItFiresAtOnce) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  EXPECT_EQ(Edges(), "F");
  EXPECT_EQ(Only().fired, kMinute);
}

TEST_F(AlertStateTest, FiresInTheEvaluationInWhichForIsReached) {
  const Rule& rule = Load("for: 2m");
  for (int minute : {1, 2}) ASSERT_TRUE(At(rule, minute, true).ok());
  EXPECT_EQ(Edges(), "");
  ASSERT_TRUE(At(rule, 3, true).ok());
  EXPECT_EQ(Edges(), "F");
  EXPECT_EQ(Only().active_since, kMinute);
}

TEST_F(AlertStateTest, MissingWhilePendingIsForgotten) {
  const Rule& rule = Load("for: 2m");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_TRUE(At(rule, 2, false).ok());
  EXPECT_TRUE(state.empty());
  ASSERT_TRUE(At(rule, 3, true).ok());
  ASSERT_TRUE(At(rule, 4, true).ok());
  EXPECT_EQ(Edges(), "");
  ASSERT_TRUE(At(rule, 5, true).ok());
  EXPECT_EQ(Edges(), "F");
}

TEST_F(AlertStateTest, KeepFiringForHoldsIt) {
  const Rule& rule = Load("keep_firing_for: 3m");
  ASSERT_TRUE(At(rule, 4, true).ok());
  for (int minute : {5, 6, 7}) ASSERT_TRUE(At(rule, minute, false).ok());
  EXPECT_EQ(Edges(), "F");
  EXPECT_EQ(Only().value, 4) << "value and annotations stay as they were";
  ASSERT_TRUE(At(rule, 8, false).ok());
  EXPECT_EQ(Edges(), "FC");
}

TEST_F(AlertStateTest, ReappearingClearsTheKeepClock) {
  const Rule& rule = Load("keep_firing_for: 3m");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_TRUE(At(rule, 2, false).ok());
  ASSERT_TRUE(At(rule, 4, true).ok());
  for (int minute : {5, 6, 7}) ASSERT_TRUE(At(rule, minute, false).ok());
  EXPECT_EQ(Edges(), "F");
  ASSERT_TRUE(At(rule, 8, false).ok());
  EXPECT_EQ(Edges(), "FC");
}

TEST_F(AlertStateTest, AReturnIsANewAlert) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_TRUE(At(rule, 2, false).ok());
  ASSERT_TRUE(At(rule, 3, true).ok());
  EXPECT_EQ(Edges(), "FCF");
  EXPECT_EQ(Only().active_since, 3 * kMinute);
}

TEST_F(AlertStateTest, ValueFollowsWhileTrue) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_TRUE(At(rule, 2, true).ok());
  EXPECT_EQ(Only().value, 2);
  EXPECT_EQ(Edges(), "F");
}

TEST_F(AlertStateTest, ARaisedForTakesAYoungAlertBack) {
  ASSERT_TRUE(At(Load(""), 1, true).ok());
  const Rule& slower = Load("for: 10m");
  ASSERT_TRUE(At(slower, 2, true).ok());
  EXPECT_EQ(Edges(), "FC");
  EXPECT_EQ(Only().fired, 0);
  ASSERT_TRUE(At(slower, 11, true).ok());
  EXPECT_EQ(Edges(), "FCF");
}

TEST_F(AlertStateTest, TwoResultsWithOneIdentityLeaveTheState) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  promql::Vector twice = {{Labels({{"__name__", "a"}, {"instance", "i"}}), 1, 0, 1, false},
                          {Labels({{"__name__", "b"}, {"instance", "i"}}), 1, 0, 1, false}};
  const absl::Status status = state.Take(rule, twice, 0, 2 * kMinute, EvaluationKind::kTick, edges);
  EXPECT_EQ(status.message(), "vector contains metrics with the same labelset after applying alert labels");
  EXPECT_EQ(Edges(), "F");
  EXPECT_EQ(Only().last_true, kMinute);
}

TEST_F(AlertStateTest, OverTheLimitLeavesTheState) {
  const Rule& rule = Load("");
  promql::Vector two = {{Labels({{"instance", "i"}}), 1, 0, 1, false},
                        {Labels({{"instance", "j"}}), 1, 0, 1, false}};
  EXPECT_FALSE(state.Take(rule, two, 1, kMinute, EvaluationKind::kTick, edges).ok());
  EXPECT_TRUE(state.empty());
}

TEST_F(AlertStateTest, PushedNeverClearsOrForgets) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_TRUE(At(rule, 2, false, EvaluationKind::kPushed).ok());
  EXPECT_EQ(Edges(), "F");
  const Rule& slow = Load("for: 5m");
  AlertState pending;
  std::swap(state, pending);
  ASSERT_TRUE(At(slow, 1, true).ok());
  ASSERT_TRUE(At(slow, 2, false, EvaluationKind::kPushed).ok());
  EXPECT_FALSE(state.empty());
}

TEST_F(AlertStateTest, HeldIsConfirmedByAnEdge) {
  const Rule& rule = Load("");
  ASSERT_TRUE(At(rule, 1, true).ok());
  state.Hold(edges);
  state.Hold(edges);
  ASSERT_TRUE(At(rule, 2, true).ok());
  EXPECT_EQ(Edges(), "FHF");
  EXPECT_EQ(edges[2].active.active_since, kMinute);
}

TEST_F(AlertStateTest, RowsComeOnChangeAndCarryTheKeepClock) {
  const Rule& rule = Load("keep_firing_for: 3m");
  ASSERT_TRUE(At(rule, 1, true).ok());
  ASSERT_EQ(state.TakeRows(rule, "h").size(), 1u);
  ASSERT_TRUE(At(rule, 2, true).ok());
  EXPECT_TRUE(state.TakeRows(rule, "h").empty());
  ASSERT_TRUE(At(rule, 3, false).ok());
  const auto rows = state.TakeRows(rule, "h");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].keep_until_us(), 6 * kMinute);
  AlertState restored;
  edges.clear();
  restored.Restore(rule, rows[0], 4 * kMinute, edges);
  std::swap(state, restored);
  ASSERT_TRUE(At(rule, 5, false).ok());
  EXPECT_EQ(Edges(), "H");
  ASSERT_TRUE(At(rule, 6, false).ok());
  EXPECT_EQ(Edges(), "HC");
}

TEST_F(AlertStateTest, PendingRowsAreToldAgainEachMinute) {
  const Rule& rule = Load("for: 10m");
  ASSERT_TRUE(At(rule, 1, true).ok());
  EXPECT_EQ(state.TakeRows(rule, "h").size(), 1u);
  ASSERT_TRUE(At(rule, 1.5, true).ok());
  EXPECT_TRUE(state.TakeRows(rule, "h").empty());
  ASSERT_TRUE(At(rule, 2, true).ok());
  EXPECT_EQ(state.TakeRows(rule, "h").size(), 1u);
}

}  // namespace
}  // namespace quell::rules
