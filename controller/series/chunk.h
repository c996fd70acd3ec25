// Chunk: up to 120 samples, compressed: times as differences of differences in ms, values XORed with the one
// before (the scheme of Facebook's Gorilla paper, VLDB 2015, section 4.1, with time classes of 1, 8, 16, 24
// and 68 bits). Owned by one series; one thread.
#pragma once
#include <cstdint>
#include <vector>

#include "common/model/sample.h"

namespace quell::series {

inline constexpr uint16_t kChunkSamples = 120;

class Chunk {
 public:
  bool full() const { return count_ >= kChunkSamples; }
  bool empty() const { return count_ == 0; }
  uint16_t count() const { return count_; }
  int64_t first_ms() const { return first_ms_; }
  int64_t last_ms() const { return last_ms_; }
  // `ms` must be larger than last_ms(), and the chunk not full.
  void Append(int64_t ms, double value);
  // Adds the samples with from < time <= to, in order of time, as Micros.
  void Read(Micros from, Micros to, std::vector<Sample>& out) const;
  void Shrink() { bytes_.shrink_to_fit(); }
  size_t MemoryBytes() const { return sizeof(*this) + bytes_.capacity(); }
  size_t data_bytes() const { return bytes_.size(); }

 private:
  void Put(uint64_t bits, int count);
  void PutTime(int64_t ms);
  void PutValue(uint64_t bits);

  std::vector<uint8_t> bytes_;
  int64_t first_ms_ = 0;
  int64_t last_ms_ = 0;
  int64_t delta_ = 0;
  uint64_t last_bits_ = 0;
  uint16_t count_ = 0;
  uint8_t free_bits_ = 0;  // in the last byte
  uint8_t leading_ = 0xff;
  uint8_t trailing_ = 0;
};

}  // namespace quell::series
