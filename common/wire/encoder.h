// BatchEncoder: values of one layout -> batches. Owned by one stream's session; one thread.
//
// Only values that changed since the last batch are written, with a bitmap that says which; each
// kFullEvery-th batch and the first are full and refer to nothing before them. Per batch the smaller of two
// encodings is taken: doubles (8 bytes, little-endian), or, when every written value and the value before it
// are whole numbers, zigzag varints of the differences (in a full batch: of the values). The stale marker,
// other NaNs, infinities and -0 force doubles.
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
  bool EncodeIntegers(std::span<const double> values, bool full, std::string* out) const;
  void EncodeDoubles(std::span<const double> values, std::string* out) const;

  uint32_t layout_;
  std::vector<double> last_;
  std::vector<uint32_t> changed_;  // indices, of the batch in work
  int since_full_ = -1;            // -1: none was sent
};

// Whole numbers that a double holds exactly: |v| <= 2^53, and not -0.
bool IsWhole(double v);

}  // namespace quell::wire
