#include "controller/series/chunk.h"

#include <algorithm>
#include <bit>

namespace quell::series {
namespace {

// Differences of differences are zigzag-coded into the smallest class that takes them.
struct TimeClass {
  int prefix_bits;
  uint64_t prefix;
  int bits;
};
constexpr TimeClass kClasses[] = {{2, 0b10, 6}, {3, 0b110, 13}, {4, 0b1110, 20}, {4, 0b1111, 64}};

uint64_t Zigzag(int64_t v) { return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63); }
int64_t Unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

class BitReader {
 public:
  explicit BitReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {}
  uint64_t Get(int count) {
    uint64_t out = 0;
    while (count > 0) {
      const int available = 8 - static_cast<int>(at_ & 7);
      const int take = std::min(available, count);
      const uint8_t byte = bytes_[at_ >> 3];
      out = (out << take) | ((byte >> (available - take)) & ((1u << take) - 1));
      at_ += static_cast<size_t>(take);
      count -= take;
    }
    return out;
  }

 private:
  const std::vector<uint8_t>& bytes_;
  size_t at_ = 0;
};

int64_t GetDelta(BitReader& in) {
  if (in.Get(1) == 0) return 0;
  size_t index = 0;
  while (index < 3 && in.Get(1) == 1) ++index;
  return Unzigzag(in.Get(kClasses[index].bits));
}

}  // namespace

void Chunk::Put(uint64_t bits, int count) {
  while (count > 0) {
    if (free_bits_ == 0) {
      bytes_.push_back(0);
      free_bits_ = 8;
    }
    const int take = std::min<int>(free_bits_, count);
    const auto part = static_cast<uint8_t>((bits >> (count - take)) & ((1u << take) - 1));
    bytes_.back() = static_cast<uint8_t>(bytes_.back() | part << (free_bits_ - take));
    free_bits_ = static_cast<uint8_t>(free_bits_ - take);
    count -= take;
  }
}

void Chunk::PutTime(int64_t ms) {
  const int64_t delta = ms - last_ms_;
  const int64_t change = delta - delta_;
  delta_ = delta;
  if (change == 0) return Put(0, 1);
  const uint64_t coded = Zigzag(change);
  for (const TimeClass& c : kClasses) {
    if (c.bits < 64 && coded >> c.bits != 0) continue;
    Put(c.prefix, c.prefix_bits);
    return Put(coded, c.bits);
  }
}

void Chunk::PutValue(uint64_t bits) {
  const uint64_t x = bits ^ last_bits_;
  if (x == 0) return Put(0, 1);
  const auto leading = static_cast<uint8_t>(std::min(std::countl_zero(x), 31));
  const auto trailing = static_cast<uint8_t>(std::countr_zero(x));
  if (leading_ != 0xff && leading >= leading_ && trailing >= trailing_) {
    Put(0b10, 2);
    return Put(x >> trailing_, 64 - leading_ - trailing_);
  }
  leading_ = leading;
  trailing_ = trailing;
  const int significant = 64 - leading - trailing;
  Put(0b11, 2);
  Put(leading, 5);
  Put(static_cast<uint64_t>(significant & 63), 6);  // 64 is written as 0
  Put(x >> trailing, significant);
}

void Chunk::Append(int64_t ms, double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  if (count_ == 0) {
    first_ms_ = ms;
    Put(bits, 64);
  } else {
    PutTime(ms);
    PutValue(bits);
  }
  last_ms_ = ms;
  last_bits_ = bits;
  ++count_;
}

void Chunk::Read(Micros from, Micros to, std::vector<Sample>& out) const {
  if (count_ == 0) return;
  BitReader in(bytes_);
  int64_t ms = first_ms_, delta = 0;
  uint64_t bits = in.Get(64);
  int leading = 0, significant = 64;
  for (uint16_t i = 0; i < count_; ++i) {
    if (i > 0) {
      delta += GetDelta(in);
      ms += delta;
      if (in.Get(1) == 1) {
        if (in.Get(1) == 1) {
          leading = static_cast<int>(in.Get(5));
          significant = static_cast<int>(in.Get(6));
          if (significant == 0) significant = 64;
        }
        bits ^= in.Get(significant) << (64 - leading - significant);
      }
    }
    const Micros at = ms * kMillisecond;
    if (at > to) return;
    if (at > from) out.push_back({at, std::bit_cast<double>(bits)});
  }
}

}  // namespace quell::series
