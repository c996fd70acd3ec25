// OffsetEstimator: where an agent's monotonic clock lies on engine time. Pure; owned by one session.
//
// A message can only be late, so of the differences (time received - monotonic time told) the least is
// nearest to the truth. The least of the newest kWindow heartbeats is taken, so that a drift of either clock
// is followed.
#pragma once
#include <cstddef>
#include <deque>

#include "common/base/time.h"

namespace quell::fleet {

class OffsetEstimator {
 public:
  static constexpr size_t kWindow = 12;  // a minute of heartbeats
  // `wall`: the agent's wall clock at `monotonic`; 0 when it was not told.
  void Observe(Micros monotonic, Micros wall, Micros received);
  bool known() const { return !offsets_.empty(); }
  // Engine time of an agent's monotonic time; only when known().
  Micros ToEngine(Micros monotonic) const { return monotonic + offset_; }
  // Agent's wall clock minus ours at the newest observation, µs; includes at most the message's delay over
  // the least.
  Micros skew() const { return skew_; }

 private:
  std::deque<Micros> offsets_;
  Micros offset_ = 0;
  Micros skew_ = 0;
};

}  // namespace quell::fleet
