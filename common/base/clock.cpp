#include "common/base/clock.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace quell {
namespace {

constexpr Micros kJump = 2 * kSecond;   // a larger difference to wall time is a jump, not drift
constexpr Micros kPartsPerLead = 2000;  // 500 ppm: one microsecond of correction in 2,000

class MachineClock final : public Clock {
 public:
  Micros Wall() override { return Read(CLOCK_REALTIME); }
  Micros Monotonic() override { return Read(CLOCK_MONOTONIC); }
  Micros Boot() override { return Read(CLOCK_BOOTTIME); }

 private:
  static Micros Read(clockid_t id) {
    timespec t{};
    clock_gettime(id, &t);
    return t.tv_sec * kSecond + t.tv_nsec / 1000;
  }
};

}  // namespace

Clock& RealClock() {
  static auto& clock = *new MachineClock;
  return clock;
}

EngineClock::EngineClock(Clock& clock, Micros last_recorded)
    : clock_(clock), now_(last_recorded), last_monotonic_(clock.Monotonic()) {
  const Micros ahead = clock.Wall() - last_recorded;
  // Time that passed while nobody ran is not a jump of the clock.
  if (ahead > 0) now_ = clock.Wall();
}

Micros EngineClock::Now() {
  const Micros monotonic = clock_.Monotonic();
  const Micros passed = std::max<Micros>(0, monotonic - last_monotonic_);
  last_monotonic_ = monotonic;
  const Micros ahead = clock_.Wall() - (now_ + passed);  // how far wall time is ahead of us
  if (ahead > kJump) {
    jump_ = ahead;
    behind_reported_ = false;
    now_ += passed + ahead;
  } else if (ahead < -kJump || (behind_reported_ && ahead < 0)) {
    if (!behind_reported_) jump_ = ahead;
    behind_reported_ = true;
    now_ += passed / 2;
  } else {
    behind_reported_ = false;
    const Micros most = passed / kPartsPerLead;
    now_ += passed + std::clamp(ahead, -most, most);
  }
  return now_;
}

Micros EngineClock::TakeJump() { return std::exchange(jump_, 0); }

}  // namespace quell
