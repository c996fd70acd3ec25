// BatchEncoder: values of one layout -> batches. Owned by one stream's session; one thread.
//
// Only values that changed since the last batch are written, with a bitmap that says which; each
// kFullEvery-th batch and the first are full and refer to nothing before them. Per batch the smallest of
// three encodings is taken: doubles (8 bytes, little-endian); or, when every written value and the value
// before it are whole numbers, or whole numbers of thousandths, zigzag varints of the differences (in a full
// batch: of the values). The stale marker, other NaNs, infinities and -0 force doubles.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "quell/v1/telemetry.pb.h"

namespace quell::wire {

class BatchEncoder {
 public:
  BatchEncoder(uint32_t layout, size_t series) : layout_(layout), last_(series) {}
  // values: one per series of the layout. offset: µs since the stream began. number: of the batch in its
  // stream.
  void Encode(std::span<const double> values, Micros offset, uint64_t number, v1::Batch* out);
  uint32_t layout() const { return layout_; }

 private:
  bool EncodeDeltas(std::span<const double> values, double scale, bool full, std::string* out) const;
  void EncodeDoubles(std::span<const double> values, std::string* out) const;

  uint32_t layout_;
  std::vector<double> last_;
  std::vector<uint32_t> changed_;  // indices, of the batch in work
  int since_full_ = -1;            // -1: none was sent
};

inline constexpr double kMilli = 1000;
// Whether v is a whole number divided by `scale` (1 or kMilli), bit by bit, and which: |n| <= 2^53; -0 is
// none.
bool IsScaled(double v, double scale, int64_t* n);

}  // namespace quell::wire
