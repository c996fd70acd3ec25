// StreamDecoder: layouts and batches of one stream -> values. Owned by one stream's session; one thread.
// Remembers at most kMaxLayouts layouts (the least recently used one goes) and so at most kMaxLayouts *
// kMaxSeriesPerLayout values; sessions bound the sum of series further (controller/ingest).
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/time.h"
#include "quell/v1/telemetry.pb.h"

namespace quell::wire {

struct DecodedBatch {
  uint32_t layout = 0;
  Micros offset = 0;  // µs since the stream began
  // One per series of the layout; unchanged ones repeat. Valid until the next call of the decoder.
  std::span<const double> values;
  bool ignored = false;  // the layout was defined as ignored; values is empty then
};

class StreamDecoder {
 public:
  // A layout that passed Validate. `ignored`: its batches are read over (it is over its agent's budget). The
  // layout that had to go for it, or 0, is put into *forgotten. InvalidArgument: the id is taken.
  absl::Status Define(const v1::Layout& layout, bool ignored, uint32_t* forgotten);
  // InvalidArgument: unknown layout, the first batch of a layout is not full, sizes or numbers do not fit.
  absl::Status Decode(const v1::Batch& batch, DecodedBatch* out);
  size_t layouts() const { return layouts_.size(); }

 private:
  struct State {
    std::vector<double> last;
    size_t series = 0;
    bool ignored = false;
    bool started = false;
    uint64_t used = 0;
  };
  absl::Status Apply(const v1::Batch& batch, State& state);

  std::map<uint32_t, State> layouts_;
  std::vector<uint32_t> changed_;  // indices, of the batch in work
  std::vector<double> fresh_;      // values, of the batch in work
  uint64_t number_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace quell::wire
