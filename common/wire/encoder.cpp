#include "common/wire/encoder.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "common/base/status.h"
#include "common/wire/limits.h"

namespace quell::wire {
namespace {

bool SameBits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

// Protocol Buffers' encoding of sint64.
void AppendZigzag(int64_t v, std::string* out) {
  uint64_t u = (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
  while (u >= 0x80) {
    out->push_back(static_cast<char>(u | 0x80));
    u >>= 7;
  }
  out->push_back(static_cast<char>(u));
}

}  // namespace

bool IsScaled(double v, double scale, int64_t* n) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const double scaled = std::round(v * scale);
  if (!(scaled >= -kExact && scaled <= kExact)) return false;
  *n = static_cast<int64_t>(scaled);
  return SameBits(static_cast<double>(*n) / scale, v);
}

bool BatchEncoder::EncodeDeltas(std::span<const double> values, double scale, bool full,
                                std::string* out) const {
  const size_t limit = changed_.size() * 8;
  for (uint32_t i : changed_) {
    int64_t now = 0, before = 0;
    if (!IsScaled(values[i], scale, &now) || (!full && !IsScaled(last_[i], scale, &before))) return false;
    AppendZigzag(now - before, out);
    if (out->size() >= limit) return false;
  }
  return true;
}

void BatchEncoder::EncodeDoubles(std::span<const double> values, std::string* out) const {
  static_assert(std::endian::native == std::endian::little);
  out->resize(changed_.size() * 8);
  char* p = out->data();
  for (uint32_t i : changed_) {
    std::memcpy(p, &values[i], 8);
    p += 8;
  }
}

void BatchEncoder::Encode(std::span<const double> values, Micros offset, uint64_t number, v1::Batch* out) {
  Require(values.size() == last_.size(), "a batch has as many values as its layout has series");
  const bool full = since_full_ < 0 || since_full_ + 1 >= kFullEvery;
  out->set_layout(layout_);
  out->set_offset_us(offset);
  out->set_number(number);
  changed_.clear();
  std::string* bitmap = out->mutable_changed();
  bitmap->assign(full ? 0 : (values.size() + 7) / 8, '\0');
  for (uint32_t i = 0; i < values.size(); ++i) {
    if (!full && SameBits(values[i], last_[i])) continue;
    changed_.push_back(i);
    if (!full) (*bitmap)[i / 8] = static_cast<char>((*bitmap)[i / 8] | (1 << (i % 8)));
  }
  std::string* bytes = out->mutable_values();
  auto deltas = [&](double scale) {
    bytes->clear();
    return !changed_.empty() && EncodeDeltas(values, scale, full, bytes);
  };
  if (deltas(1)) {
    out->set_encoding(v1::ENCODING_INT_DELTAS);
  } else if (deltas(kMilli)) {
    out->set_encoding(v1::ENCODING_MILLI_DELTAS);
  } else {
    EncodeDoubles(values, bytes);
    out->set_encoding(v1::ENCODING_DOUBLES);
  }
  last_.assign(values.begin(), values.end());
  since_full_ = full ? 0 : since_full_ + 1;
}

}  // namespace quell::wire
