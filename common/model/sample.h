// Sample, and the stale marker. Values; no I/O.
#pragma once
#include <bit>
#include <cstdint>
#include <limits>

#include "common/base/time.h"

namespace quell {

struct Sample {
  Micros at = 0;
  double value = 0;
};

// Prometheus' stale marker is one NaN bit pattern (model/value of prometheus): compare bits, not isnan.
inline constexpr uint64_t kStaleBits = 0x7ff0000000000002;
inline constexpr uint64_t kNanBits = 0x7ff8000000000001;
inline double StaleMarker() { return std::bit_cast<double>(kStaleBits); }
inline double OrdinaryNan() { return std::bit_cast<double>(kNanBits); }
inline bool IsStale(double v) { return std::bit_cast<uint64_t>(v) == kStaleBits; }

}  // namespace quell
