#include "common/base/clock.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "common/base/monotonic_waits.h"

namespace quell {
namespace {

constexpr Micros kJump = 2 * kSecond;   // a larger difference to wall time is a step, not drift
constexpr Micros kPartsPerLead = 2000;  // 500 ppm: one microsecond of correction in 2,000
constexpr Micros kPartsPerCatchUp = 20;

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
  WaitByMonotonicClock();
  static auto& clock = *new MachineClock;
  return clock;
}

EngineClock::EngineClock(Clock& clock, Micros last_recorded)
    : clock_(clock),
      // Time that passed while nobody ran has passed.
      now_(std::max(last_recorded, clock.Wall())),
      last_boot_(clock.Boot()),
      wall_over_boot_(clock.Wall() - last_boot_) {}

Micros EngineClock::Now() {
  const Micros boot = clock_.Boot();
  const Micros wall = clock_.Wall();
  const Micros passed = std::max<Micros>(0, boot - last_boot_);
  last_boot_ = boot;
  const Micros step = wall - boot - wall_over_boot_;
  if (std::abs(step) > kJump) {
    jump_ += step;
    wall_over_boot_ = wall - boot;
  }
  const Micros ahead = wall - (now_ + passed);  // how far wall time is ahead of us
  const Micros most = passed / (std::abs(ahead) > kJump ? kPartsPerCatchUp : kPartsPerLead);
  now_ += passed + std::clamp(ahead, -most, most);
  return now_;
}

Micros EngineClock::TakeJump() { return std::exchange(jump_, 0); }

}  // namespace quell
