#include "common/wire/decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "common/base/status.h"
#include "common/wire/encoder.h"
#include "common/wire/limits.h"

namespace quell::wire {
namespace {

absl::Status BadBatch(const v1::Batch& batch, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("batch ", batch.number(), " of layout ", batch.layout(), " ",
                                                 absl::string_view(why.data(), why.size())));
}

// One zigzag varint at *p; false when it is cut off or longer than ten bytes.
bool ReadZigzag(const char** p, const char* end, int64_t* out) {
  uint64_t u = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (*p == end) return false;
    const auto byte = static_cast<unsigned char>(*(*p)++);
    u |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *out = static_cast<int64_t>(u >> 1) ^ -static_cast<int64_t>(u & 1);
      return true;
    }
  }
  return false;
}

absl::Status ReadBitmap(const v1::Batch& batch, size_t series, std::vector<uint32_t>* changed) {
  changed->clear();
  if (batch.changed().empty()) {
    changed->resize(series);
    std::iota(changed->begin(), changed->end(), 0u);
    return absl::OkStatus();
  }
  if (batch.changed().size() != (series + 7) / 8)
    return BadBatch(batch, "has a bitmap of another length than its layout");
  for (size_t byte = 0; byte < batch.changed().size(); ++byte) {
    auto bits = static_cast<unsigned char>(batch.changed()[byte]);
    for (; bits != 0; bits &= bits - 1)
      changed->push_back(static_cast<uint32_t>(byte * 8 + std::countr_zero(bits)));
  }
  if (!changed->empty() && changed->back() >= series)
    return BadBatch(batch, "marks a series that its layout does not have");
  return absl::OkStatus();
}

absl::Status ReadDoubles(const v1::Batch& batch, size_t count, std::vector<double>* fresh) {
  if (batch.values().size() != count * 8)
    return BadBatch(batch, "has another number of values than it marks");
  fresh->resize(count);
  if (count > 0) std::memcpy(fresh->data(), batch.values().data(), count * 8);
  return absl::OkStatus();
}

absl::Status ReadDeltas(const v1::Batch& batch, const std::vector<uint32_t>& changed, double scale,
                        const std::vector<double>& last, std::vector<double>* fresh) {
  constexpr int64_t kExact = int64_t{1} << 53;
  const bool full = batch.changed().empty();
  const char* p = batch.values().data();
  const char* end = p + batch.values().size();
  fresh->clear();
  for (uint32_t i : changed) {
    int64_t delta = 0, before = 0;
    if (!ReadZigzag(&p, end, &delta)) return BadBatch(batch, "has fewer values than it marks");
    if (!full && !IsScaled(last[i], scale, &before))
      return BadBatch(batch, "gives a difference to a value that has none in its encoding");
    if (delta < -2 * kExact || delta > 2 * kExact)
      return BadBatch(batch, "has a value that a double does not hold");
    const int64_t n = before + delta;
    if (n < -kExact || n > kExact) return BadBatch(batch, "has a value that a double does not hold");
    fresh->push_back(static_cast<double>(n) / scale);
  }
  if (p != end) return BadBatch(batch, "has more values than it marks");
  return absl::OkStatus();
}

}  // namespace

absl::Status StreamDecoder::Define(const v1::Layout& layout, bool ignored, uint32_t* forgotten) {
  *forgotten = 0;
  if (layouts_.count(layout.id()) != 0)
    return absl::InvalidArgumentError(
        absl::StrCat("layout ", layout.id(), " is defined a second time in one stream"));
  if (layouts_.size() >= kMaxLayouts) {
    auto oldest = std::min_element(layouts_.begin(), layouts_.end(), [](const auto& a, const auto& b) {
      return a.second.used < b.second.used;
    });
    *forgotten = oldest->first;
    layouts_.erase(oldest);
  }
  State& state = layouts_[layout.id()];
  state.series = static_cast<size_t>(layout.series_size());
  state.ignored = ignored;
  state.used = ++uses_;
  if (!ignored) state.last.resize(state.series);
  return absl::OkStatus();
}

absl::Status StreamDecoder::Apply(const v1::Batch& batch, State& state) {
  if (!state.started && !batch.changed().empty())
    return BadBatch(batch, "is the first of its layout and not full");
  QUELL_RETURN_IF_ERROR(ReadBitmap(batch, state.series, &changed_));
  if (batch.encoding() == v1::ENCODING_DOUBLES) {
    QUELL_RETURN_IF_ERROR(ReadDoubles(batch, changed_.size(), &fresh_));
  } else {
    const double scale = batch.encoding() == v1::ENCODING_INT_DELTAS ? 1 : kMilli;
    QUELL_RETURN_IF_ERROR(ReadDeltas(batch, changed_, scale, state.last, &fresh_));
  }
  for (size_t k = 0; k < changed_.size(); ++k) state.last[changed_[k]] = fresh_[k];
  state.started = true;
  return absl::OkStatus();
}

absl::Status StreamDecoder::Decode(const v1::Batch& batch, DecodedBatch* out) {
  auto found = layouts_.find(batch.layout());
  if (found == layouts_.end()) return BadBatch(batch, "has an unknown layout");
  if (batch.number() != number_ + 1)
    return BadBatch(batch, absl::StrCat("should have the number ", number_ + 1));
  State& state = found->second;
  number_ = batch.number();
  state.used = ++uses_;
  out->layout = batch.layout();
  out->offset = batch.offset_us();
  out->ignored = state.ignored;
  out->values = {};
  if (state.ignored) return absl::OkStatus();
  QUELL_RETURN_IF_ERROR(Apply(batch, state));
  out->values = state.last;
  return absl::OkStatus();
}

}  // namespace quell::wire
