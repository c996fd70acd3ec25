#include "controller/fleet/offset.h"

#include <algorithm>

namespace quell::fleet {

void OffsetEstimator::Observe(Micros monotonic, Micros wall, Micros received) {
  offsets_.push_back(received - monotonic);
  if (offsets_.size() > kWindow) offsets_.pop_front();
  offset_ = *std::min_element(offsets_.begin(), offsets_.end());
  if (wall != 0) skew_ = wall - ToEngine(monotonic);
}

}  // namespace quell::fleet
