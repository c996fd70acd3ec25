#include "agent/collectors/series_table.h"

#include <gmock/gmock.h>

#include "common/model/sample.h"

namespace quell::agent {
namespace {

Collection Round(SeriesTable& table, const std::vector<std::string>& names) {
  table.Begin();
  double value = 1;
  for (const std::string& name : names) table.Put("m", {{"device", name}}, value++);
  return table.Finish("job", 5);
}

TEST(SeriesTableTest, TheSameListIsSharedWhileNothingChanges) {
  SeriesTable table;
  const Collection a = Round(table, {"x", "y"});
  const Collection b = Round(table, {"x", "y"});
  EXPECT_EQ(a.series, b.series);
  EXPECT_EQ(b.values, (std::vector<double>{1, 2}));
  EXPECT_EQ((*a.series)[1].labels.Get("device"), "y");
  EXPECT_EQ(a.monotonic, 5);
  EXPECT_EQ(a.collector, "job");
}

TEST(SeriesTableTest, WhatHasEndedGetsTheStaleMarker) {
  SeriesTable table;
  Round(table, {"x", "y", "z"});
  const Collection gone = Round(table, {"x", "z"});
  ASSERT_EQ(gone.series->size(), 3u);
  EXPECT_EQ((*gone.series)[2].labels.Get("device"), "y");
  EXPECT_TRUE(IsStale(gone.values[2]));
  EXPECT_EQ(Round(table, {"x", "z"}).series, gone.series);
  // The next change forgets it; one that comes back is new.
  const Collection more = Round(table, {"x", "z", "y"});
  ASSERT_EQ(more.series->size(), 3u);
  EXPECT_EQ(more.values, (std::vector<double>{1, 2, 3}));
}

TEST(SeriesTableTest, FewerAtTheEndAndNone) {
  SeriesTable table;
  Round(table, {"x", "y"});
  const Collection shorter = Round(table, {"x"});
  ASSERT_EQ(shorter.values.size(), 2u);
  EXPECT_TRUE(IsStale(shorter.values[1]));
  const Collection none = Round(table, {});
  ASSERT_EQ(none.values.size(), 1u);
  EXPECT_TRUE(IsStale(none.values[0]));
}

TEST(SeriesTableTest, AnotherOrderIsAnotherListWithoutLoss) {
  SeriesTable table;
  Round(table, {"x", "y"});
  const Collection turned = Round(table, {"y", "x"});
  EXPECT_EQ(turned.values, (std::vector<double>{1, 2}));
  EXPECT_EQ((*turned.series)[0].labels.Get("device"), "y");
}

// A collector that fails halfway begins again.
TEST(SeriesTableTest, ARoundThatWasNotFinishedIsForgotten) {
  SeriesTable table;
  const Collection before = Round(table, {"x", "y"});
  table.Begin();
  table.Put("m", {{"device", "z"}}, 7);
  const Collection same = Round(table, {"x", "y"});
  EXPECT_EQ(same.series, before.series);
  EXPECT_EQ(same.values, before.values);
  table.Begin();
  table.Put("m", {{"device", "z"}}, 7);
  const Collection fewer = Round(table, {"x"});
  ASSERT_EQ(fewer.series->size(), fewer.values.size());
  ASSERT_EQ(fewer.values.size(), 2u);
  EXPECT_TRUE(IsStale(fewer.values[1]));
}

TEST(SeriesTableTest, IsBounded) {
  SeriesTable table;
  table.Begin();
  for (size_t i = 0; i < SeriesTable::kMaxSeries + 10; ++i) table.Put("m", {{"i", std::to_string(i)}}, 1);
  EXPECT_EQ(table.Finish("job", 1).values.size(), SeriesTable::kMaxSeries);
  EXPECT_EQ(table.dropped(), 10u);
}

}  // namespace
}  // namespace quell::agent
