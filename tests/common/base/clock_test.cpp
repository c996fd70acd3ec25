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

TEST(EngineClockTest, FollowsAJumpForwardAtOnceAndReportsItOnce) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.JumpWall(kHour);
  EXPECT_EQ(engine.Now(), kStart + kHour);
  EXPECT_EQ(engine.TakeJump(), kHour);
  EXPECT_EQ(engine.TakeJump(), 0);
  clock.Advance(kSecond);
  engine.Now();
  EXPECT_EQ(engine.TakeJump(), 0);
}

TEST(EngineClockTest, StandsAtHalfSpeedUntilWallTimeHasCaughtUp) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.JumpWall(-10 * kSecond);
  Micros last = engine.Now();
  EXPECT_EQ(engine.TakeJump(), -10 * kSecond);
  for (int i = 0; i < 19; ++i) {
    clock.Advance(kSecond);
    const Micros now = engine.Now();
    EXPECT_EQ(now - last, kSecond / 2);
    EXPECT_EQ(engine.TakeJump(), 0);
    last = now;
  }
  clock.Advance(3 * kSecond);
  engine.Now();
  clock.Advance(kSecond);
  EXPECT_NEAR(static_cast<double>(engine.Now()), static_cast<double>(clock.Wall()), kSecond);
}

TEST(EngineClockTest, ASuspendedMachineIsAJumpForward) {
  FakeClock clock(kStart);
  EngineClock engine(clock, kStart);
  clock.Suspend(5 * kMinute);
  EXPECT_EQ(engine.Now(), kStart + 5 * kMinute);
  EXPECT_EQ(engine.TakeJump(), 5 * kMinute);
}

}  // namespace
}  // namespace quell
