// Clock: the only way to the time of day. Implementations are owned by main (or a test) and outlive all
// users. Any thread may call.
#pragma once
#include "common/base/time.h"

namespace quell {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Micros Wall() = 0;       // CLOCK_REALTIME
  virtual Micros Monotonic() = 0;  // CLOCK_MONOTONIC: does not count suspend
  virtual Micros Boot() = 0;       // CLOCK_BOOTTIME: counts suspend; what nonces age by
};

// The machine's clocks.
Clock& RealClock();

// Set by hand. Not thread-safe beyond one writer and readers that tolerate either value.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Micros wall = 1'795'000'000 * kSecond) : wall_(wall) {}
  Micros Wall() override { return wall_; }
  Micros Monotonic() override { return monotonic_; }
  Micros Boot() override { return boot_; }
  void Advance(Micros d) { wall_ += d, monotonic_ += d, boot_ += d; }
  void JumpWall(Micros d) { wall_ += d; }
  void Suspend(Micros d) { wall_ += d, boot_ += d; }

 private:
  Micros wall_;
  Micros monotonic_ = kHour;
  Micros boot_ = kHour;
};

// Engine time: one int64 that never goes back. Starts at the last recorded time, is advanced by the boot-time
// clock and led towards wall time: by at most 500 ppm, or a twentieth while it is more than two seconds off.
// So whatever is done to the wall clock, a deadline of an hour lasts between 57 and 63 minutes; time that the
// machine was suspended counts. A step of the wall clock of more than two seconds is reported once. One
// thread.
class EngineClock {
 public:
  EngineClock(Clock& clock, Micros last_recorded);
  Micros Now();
  // How far the wall clock was stepped since this was last asked, µs; 0: not, or by little.
  Micros TakeJump();

 private:
  Clock& clock_;
  Micros now_;
  Micros last_boot_;
  Micros wall_over_boot_;
  Micros jump_ = 0;
};

}  // namespace quell
