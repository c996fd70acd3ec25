#include "common/base/clock.h"

#include <gtest/gtest.h>

namespace quell {
namespace {

constexpr Micros kStart = 1'795'000'000 * kSecond;

TEST(EngineClockTest, FollowsAGoodClockExactly) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart - kHour);
  EXPECT_EQ(engine.Now(), kStart);
  clock.Advance(7 * kSecond);
  EXPECT_EQ(engine.Now(), kStart + 7 * kSecond);
  EXPECT_EQ(engine.TakeJump(), 0);
}

TEST(EngineClockTest, NeverStartsBeforeTheLastRecordedTime) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart + kHour);
  EXPECT_GE(engine.Now(), kStart + kHour);
}

TEST(EngineClockTest, LeadsTowardsWallTimeByAtMost500PartsPerMillion) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.JumpWall(kSecond);
  clock.Advance(10 * kSecond);
  EXPECT_EQ(engine.Now(), kStart + 10 * kSecond + 5 * kMillisecond);
  EXPECT_EQ(engine.TakeJump(), 0);
}

// A step of any size, either way: what is due in an hour is due in 57 to 63 minutes.
TEST(EngineClockTest, F19_AStepOfTheWallClockMovesNoDeadline) {
  for (const Micros step : {kDay, kHour, -10 * kSecond, -kHour, -kDay}) {
    FakeClock clock(kStart);
    EngineClock engine(clock, kStart);
    const Micros before = engine.Now();
    clock.JumpWall(step);
    EXPECT_EQ(engine.Now(), before) << step;
    for (int i = 0; i < 3600; ++i) {
      clock.Advance(kSecond);
      engine.Now();
    }
    const Micros passed = engine.Now() - before;
    EXPECT_GE(passed, 57 * kMinute) << step;
    EXPECT_LE(passed, 63 * kMinute) << step;
    EXPECT_GT(step > 0 ? passed - kHour : kHour - passed, 9 * kSecond) << step << ": led towards wall time";
  }
}

TEST(EngineClockTest, ComesToWallTimeInTheEnd) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.JumpWall(-10 * kSecond);
  for (int i = 0; i < 3 * 3600; ++i) {
    clock.Advance(kSecond);
    engine.Now();
  }
  EXPECT_NEAR(static_cast<double>(engine.Now()), static_cast<double>(clock.Wall()), kSecond);
}

TEST(EngineClockTest, ReportsAStepOnce) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.JumpWall(kHour);
  engine.Now();
  EXPECT_EQ(engine.TakeJump(), kHour);
  EXPECT_EQ(engine.TakeJump(), 0);
  clock.Advance(kSecond);
  engine.Now();
  EXPECT_EQ(engine.TakeJump(), 0) << "still an hour behind, but nothing happened";
  clock.JumpWall(-kHour - 5 * kSecond);
  engine.Now();
  EXPECT_EQ(engine.TakeJump(), -kHour - 5 * kSecond);
  clock.JumpWall(kSecond);
  engine.Now();
  EXPECT_EQ(engine.TakeJump(), 0) << "drift";
}

TEST(EngineClockTest, F20_TheTimeOfASuspendedMachineCountsAndIsNoStep) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.Suspend(5 * kMinute);
  EXPECT_EQ(engine.Now(), kStart + 5 * kMinute);
  EXPECT_EQ(engine.TakeJump(), 0);
}

}  // namespace
}  // namespace quell
