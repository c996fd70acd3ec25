#include "common/model/labels.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/model/identity.h"
#include "common/model/metric.h"
#include "common/model/sample.h"

namespace quell {
namespace {

TEST(LabelsTest, AreASortedSetWithoutEmptyValues) {
  const Labels labels({{"b", "1"}, {"a", "x"}, {"c", ""}, {"b", "2"}});
  EXPECT_EQ(labels.ToString(), R"({a="x", b="2"})");
  EXPECT_EQ(labels, Labels({{"b", "2"}, {"a", "x"}}));
  // The last of equal names counts, also when it is empty.
  EXPECT_TRUE(Labels({{"a", "1"}, {"a", ""}}).empty());
}

TEST(LabelsTest, SetGetRemove) {
  Labels labels;
  labels.Set("b", "2");
  labels.Set("a", "1");
  labels.Set("b", "3");
  EXPECT_EQ(labels.Get("b"), "3");
  EXPECT_EQ(labels.Get("none"), "");
  EXPECT_FALSE(labels.Has("none"));
  EXPECT_EQ(labels.Without("a"), Labels({{"b", "3"}}));
  labels.Set("b", "");
  EXPECT_EQ(labels.size(), 1u);
}

TEST(LabelsTest, TextIsPrometheusOwn) {
  EXPECT_EQ(Labels({{kMetricName, "up"}, {"job", "a\"b\\c\nd"}}).ToString(), "up{job=\"a\\\"b\\\\c\\nd\"}");
  EXPECT_EQ(Labels({{kMetricName, "up"}}).ToString(), "up");
  EXPECT_EQ(Labels().ToString(), "{}");
}

TEST(LabelsTest, HashesAreStableAndSeparated) {
  // Written down once: keys in logs depend on it.
  EXPECT_EQ(Labels().Hash(), 0xcbf29ce484222325u);
  EXPECT_EQ(Labels({{"a", "b"}}).Hash(), Labels({{"a", "b"}}).Hash());
  EXPECT_NE(Labels({{"a", "bc"}}).Hash(), Labels({{"ab", "c"}}).Hash());
  EXPECT_NE(Labels({{"a", "b"}, {"c", "d"}}).Hash(), Labels({{"a", "d"}, {"c", "b"}}).Hash());
  const std::string key = SignalKey("AppHung", Labels({{"alertname", "AppHung"}, {"app", "portal"}}));
  EXPECT_EQ(key.size(), std::string("AppHung/").size() + 16);
  EXPECT_EQ(key, SignalKey("AppHung", Labels({{"app", "portal"}, {"alertname", "AppHung"}})));
}

TEST(SampleTest, TheStaleMarkerIsOneBitPattern) {
  EXPECT_TRUE(std::isnan(StaleMarker()));
  EXPECT_TRUE(IsStale(StaleMarker()));
  EXPECT_FALSE(IsStale(OrdinaryNan()));
}

TEST(MetricTest, EveryProvenanceHasItsName) {
  EXPECT_EQ(ProvenanceName(Provenance::kKernel), "kernel");
  EXPECT_EQ(ProvenanceName(Provenance::kDaemon), "daemon");
  EXPECT_EQ(ProvenanceName(Provenance::kRemote), "remote");
  EXPECT_EQ(ProvenanceName(Provenance::kProbe), "probe");
  EXPECT_EQ(ProvenanceName(Provenance::kApp), "app");
  EXPECT_EQ(ProvenanceName(Provenance::kText), "text");
}

}  // namespace
}  // namespace quell
