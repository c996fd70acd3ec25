// Evaluation as rules use it: names are dropped at once, windows come from a store.
#include "controller/promql/evaluate.h"

#include <gmock/gmock.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/promql/parser.h"

namespace quell::promql {
namespace {

class EvaluateTest : public testing::Test {
 protected:
  void Put(const std::string& metric, std::initializer_list<double> values, Micros step = kMinute) {
    const series::SeriesId id = store.SeriesFor(*ParseMetric(metric));
    Micros at = 0;
    for (double v : values) {
      store.Append(id, {at, v});
      at += step;
    }
  }
  absl::StatusOr<Value> Eval(const std::string& text, Micros at) {
    auto expr = Parse(text);
    if (!expr.ok()) return expr.status();
    return Evaluate(**expr, at, StoreSource(store), options, &stats);
  }
  // "{a="b"} 1; {} 2" sorted, or the error.
  std::string Show(const std::string& text, Micros at) {
    auto value = Eval(text, at);
    if (!value.ok()) return std::string(value.status().message());
    if (value->type == ValueType::kScalar) return absl::StrCat(value->scalar);
    std::vector<std::string> lines;
    for (const Element& e : value->vector) lines.push_back(absl::StrCat(e.labels.ToString(), " ", e.value));
    std::sort(lines.begin(), lines.end());
    return absl::StrJoin(lines, "; ");
  }
  series::SeriesStore store;
  EvalOptions options;
  EvalStats stats;
};

TEST_F(EvaluateTest, NewestWithinTheLookbackUntilItIsStale) {
  Put("m", {1, 2});
  EXPECT_EQ(Show("m", kMinute), "m 2");
  EXPECT_EQ(Show("m", 6 * kMinute - 1), "m 2");
  EXPECT_EQ(Show("m", 6 * kMinute), "") << "the window is open on the left";
  Put("n", {1, StaleMarker()});
  EXPECT_EQ(Show("n", kMinute), "") << "never look behind the marker";
  EXPECT_EQ(Show("n", kMinute - 1), "n 1");
}

TEST_F(EvaluateTest, IncreaseIsExtrapolatedToTheBordersAndToZero) {
  Put("a", {0, 10, 20, 30});
  Put("b", {1000, 1010, 1020, 1030});
  EXPECT_EQ(Show("increase(a[5m])", 3 * kMinute), "{} 30");
  EXPECT_EQ(Show("increase(b[5m])", 3 * kMinute), "{} 35");
  EXPECT_EQ(Show("rate(a[1m])", 3 * kMinute), "") << "one sample is not enough";
}

TEST_F(EvaluateTest, CounterResets) {
  Put("c", {10, 20, 5, 15});
  EXPECT_EQ(Show("resets(c[5m])", 3 * kMinute), "{} 1");
  EXPECT_EQ(Show("changes(c[5m])", 3 * kMinute), "{} 3");
  EXPECT_EQ(Show("irate(c[5m])", 2 * kMinute), "{} 0.0833333");
}

TEST_F(EvaluateTest, EqualLabelSetsAreAnErrorNotAMerge) {
  Put("a{x=\"1\"}", {1});
  Put("b{x=\"1\"}", {2});
  EXPECT_THAT(Show("{x=\"1\"} * 2", 0),
              testing::HasSubstr("vector cannot contain metrics with the same labelset"));
  EXPECT_THAT(Show("rate({x=\"1\"}[5m])", 0), "");
  EXPECT_THAT(Show("last_over_time({x=\"1\"}[5m])", 0), "a{x=\"1\"} 1; b{x=\"1\"} 2");
}

TEST_F(EvaluateTest, Matching) {
  Put("a{i=\"1\",x=\"p\"}", {1});
  Put("a{i=\"1\",x=\"q\"}", {2});
  Put("b{i=\"1\",y=\"z\"}", {10});
  EXPECT_EQ(Show("a + on (i) group_left (y) b", 0),
            "{i=\"1\", x=\"p\", y=\"z\"} 11; {i=\"1\", x=\"q\", y=\"z\"} 12");
  EXPECT_THAT(Show("a > on (i) b", 0), testing::HasSubstr("many-to-one matching must be explicit"));
  EXPECT_THAT(Show("b > on (i) a", 0),
              testing::HasSubstr("found duplicate series for the match group {i=\"1\"} on the right"));
  EXPECT_EQ(Show("a > on (i) nothing", 0), "");
  EXPECT_EQ(Show("b > on (i) topk(1, a)", 0), "{i=\"1\"} 10") << "on() keeps its labels alone";
  EXPECT_EQ(Show("a and on (i) b", 0), "a{i=\"1\", x=\"p\"} 1; a{i=\"1\", x=\"q\"} 2");
  EXPECT_EQ(Show("a unless on (i) b", 0), "");
  EXPECT_EQ(Show("nothing or vector(0)", 0), "{} 0");
  EXPECT_EQ(Show("2 > a", 0), "a{i=\"1\", x=\"p\"} 1") << "the vector's value";
}

TEST_F(EvaluateTest, AbsentTakesItsLabelsFromEquality) {
  EXPECT_EQ(Show("absent(m{a=\"b\",c=~\"d\"})", 0), "{a=\"b\"} 1");
  EXPECT_EQ(Show("absent(m{a=\"b\",a=\"c\"})", 0), "{} 1");
  EXPECT_EQ(Show("absent(sum(m))", 0), "{} 1");
  Put("m{a=\"b\"}", {1});
  EXPECT_EQ(Show("absent(m)", 0), "");
  EXPECT_EQ(Show("absent_over_time(m[5m] offset 1h)", 0), "{} 1");
}

TEST_F(EvaluateTest, NanIsNotEqualToAnything) {
  Put("m", {OrdinaryNan()});
  EXPECT_EQ(Show("m == 1", 0), "");
  EXPECT_EQ(Show("m != 1", 0), "m nan");
}

TEST_F(EvaluateTest, OffsetAndAt) {
  Put("m", {1, 2, 3, 4});
  EXPECT_EQ(Show("m offset 2m", 3 * kMinute), "m 2");
  EXPECT_EQ(Show("m @ 60", 3 * kMinute), "m 2");
  EXPECT_EQ(Show("m @ 60 offset 1m", 3 * kMinute), "m 1");
  EXPECT_EQ(Show("sum_over_time(m[2m])", 3 * kMinute), "{} 7");
  EXPECT_EQ(Show("max_over_time(rate(m[2m])[2m:1m]) > 0", 3 * kMinute), "{} 0.0166667");
}

TEST_F(EvaluateTest, TellsTheNewestSampleThatItRead) {
  Put("a", {1, 2});
  Put("b", {1, 2, 3});
  auto value = Eval("a + on () b", 2 * kMinute);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->vector[0].newest, 2 * kMinute);
  EXPECT_EQ(stats.newest, 2 * kMinute);
  EXPECT_EQ(stats.series, 2u);
}

TEST_F(EvaluateTest, BoundsEndTheEvaluation) {
  for (int i = 0; i < 20; ++i) Put("m{i=\"" + std::to_string(i) + "\"}", {1, 2, 3, 4});
  options.max_samples = 50;
  EXPECT_THAT(Show("sum_over_time(m[5m])", 3 * kMinute), testing::HasSubstr("too many samples"));
  options = {};
  options.max_series = 10;
  EXPECT_THAT(Show("m", kMinute), testing::HasSubstr("too many series"));
  options = {};
  options.max_steps = 10;
  EXPECT_THAT(Show("max_over_time(m[1h:1s])", kMinute), testing::HasSubstr("more than 10 steps"));
  EXPECT_FALSE(EvaluateRange(**Parse("m"), 0, kHour, kSecond, StoreSource(store), options).ok());
}

TEST_F(EvaluateTest, RangeQueriesStepThroughTime) {
  Put("m{a=\"b\"}", {1, 2, 3, 4});
  auto value = EvaluateRange(**Parse("m * 10"), 0, 3 * kMinute, kMinute, StoreSource(store), options);
  ASSERT_TRUE(value.ok());
  ASSERT_EQ(value->matrix.size(), 1u);
  ASSERT_EQ(value->matrix[0].samples.size(), 4u);
  EXPECT_EQ(value->matrix[0].samples[3].value, 40);
  EXPECT_FALSE(EvaluateRange(**Parse("m[5m]"), 0, kMinute, kSecond, StoreSource(store), options).ok());
  EXPECT_FALSE(EvaluateRange(**Parse("m"), 0, kMinute, 0, StoreSource(store), options).ok());
}

TEST_F(EvaluateTest, SourcesAreJoinedAndNarrowed) {
  series::SeriesStore other;
  other.Append(other.SeriesFor(*ParseMetric("m{a=\"c\"}")), {0, 5});
  Put("m{a=\"b\"}", {1});
  const StoreSource first(store), second(other);
  const JoinedSource both({&first, &second});
  auto sum = Evaluate(**Parse("sum(m)"), 0, both);
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(sum->vector[0].value, 6);
  const Labels wanted = {{"a", "c"}, {"other", "x"}};
  const CompatibleSource narrowed(both, wanted);
  sum = Evaluate(**Parse("sum(m)"), 0, narrowed);
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(sum->vector[0].value, 5);
}

}  // namespace
}  // namespace quell::promql
