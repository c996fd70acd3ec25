#include "agent/reader/exit_join.h"

#include <gtest/gtest.h>

namespace quell::reader {
namespace {

v1::Pm2Event Exit(int64_t id, std::string status = "stopped") {
  v1::Pm2Event event;
  event.set_event("exit");
  event.set_pm_id(id);
  event.set_status(std::move(status));
  return event;
}
v1::Pm2Event Online(int64_t id) {
  v1::Pm2Event event;
  event.set_event("online");
  event.set_pm_id(id);
  return event;
}

constexpr Micros kNow = kHour;

TEST(ExitJoinTest, LineBeforeTheEvent) {
  ExitJoin join;
  join.Add(pm2::ExitLine{3, 0, "SIGKILL"}, kNow);
  join.Add(Exit(3), kNow + 1);
  const auto events = join.Take(kNow + 1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].signal(), "SIGKILL");
}

TEST(ExitJoinTest, LineAfterTheEventHoldsThoseBehind) {
  ExitJoin join;
  join.Add(Exit(3), kNow);
  join.Add(Online(3), kNow + 10);
  EXPECT_TRUE(join.Take(kNow + 20).empty());
  EXPECT_EQ(join.next(), kNow + ExitJoin::kWait);
  join.Add(pm2::ExitLine{3, 1, "SIGSEGV"}, kNow + 30);
  const auto events = join.Take(kNow + 30);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].signal(), "SIGSEGV");
  EXPECT_EQ(events[1].event(), "online");
}

TEST(ExitJoinTest, NoLineWaitsNoLongerThanItMay) {
  ExitJoin join;
  join.Add(Exit(3), kNow);
  EXPECT_TRUE(join.Take(kNow + ExitJoin::kWait - 1).empty());
  const auto events = join.Take(kNow + ExitJoin::kWait);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].signal(), "");
}

TEST(ExitJoinTest, AStopsSecondExitHasNoLine) {
  ExitJoin join;
  join.Add(pm2::ExitLine{3, 0, "SIGINT"}, kNow);
  join.Add(Exit(3, "stopping"), kNow);
  join.Add(Exit(3, "stopped"), kNow + 100);
  EXPECT_EQ(join.Take(kNow + 100).size(), 2u);
}

TEST(ExitJoinTest, AnOldLineIsAnotherExits) {
  ExitJoin join;
  join.Add(pm2::ExitLine{3, 0, "SIGKILL"}, kNow);
  join.Add(Exit(3), kNow + 2 * kSecond);
  EXPECT_EQ(join.Take(kNow + 3 * kSecond).at(0).signal(), "");
}

TEST(ExitJoinTest, IsBounded) {
  ExitJoin join;
  for (int i = 0; i < 3000; ++i) join.Add(Exit(i), kNow);
  EXPECT_GE(join.Take(kNow).size(), 3000 - ExitJoin::kMost);
}

}  // namespace
}  // namespace quell::reader
