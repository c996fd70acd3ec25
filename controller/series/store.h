// SeriesStore: the recent window of one host's series, compressed, found by metric name and labels.
// Owned by a shard, used by its thread alone; no clock inside.
//
// Bounds: a number of series and of bytes. What is over them is dropped and counted in stats(): a new series
// is refused (kNoSeries), samples of a refused series too; over the bytes the oldest closed chunks go first.
// A sample older than its series' newest is refused and counted; one at the same millisecond replaces it.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/model/labels.h"
#include "common/model/sample.h"
#include "controller/series/chunk.h"
#include "controller/series/matcher.h"

namespace quell::series {

// Place in the low 24 bits, its generation above: an id whose place was given to another series is refused.
using SeriesId = uint32_t;
inline constexpr SeriesId kNoSeries = 0xffffffff;

// How long samples of a metric are kept: what the loaded rules need, and at least `least` for questions by
// hand.
class Retention {
 public:
  explicit Retention(Micros least = 10 * kMinute) : least_(least) {}
  void Need(std::string_view metric, Micros window);
  void NeedAll(Micros window);  // a selector without a metric name
  Micros For(std::string_view metric) const;

 private:
  Micros least_;
  Micros all_ = 0;
  absl::flat_hash_map<std::string, Micros> by_metric_;
};

struct StoreLimits {
  size_t series = 20'000;
  size_t bytes = 64u << 20;
};

struct StoreStats {
  uint64_t appended = 0;
  uint64_t out_of_order = 0;     // samples older than their series' newest
  uint64_t refused_series = 0;   // over the limit of series
  uint64_t refused_samples = 0;  // of a refused or unknown series
  uint64_t evicted_chunks = 0;   // dropped early, over the limit of bytes
  size_t series = 0;
  size_t bytes = 0;  // labels, index and windows
};

enum class Read {
  kNewest,  // at most one sample per series: the newest in the window (a stale marker counts)
  kAll,
};

using Visit = std::function<bool(const Labels&, std::span<const Sample>)>;  // false: stop

class SeriesStore {
 public:
  explicit SeriesStore(StoreLimits limits = {}) : limits_(limits) {}

  // Finds or makes; kNoSeries when that would be one too many.
  SeriesId SeriesFor(const Labels& labels);
  bool Append(SeriesId id, Sample sample);
  // A stale marker at `at` for every series that has not ended and that `which` chooses. A late sample from
  // before the marker still finds its place.
  void EndAll(Micros at, const std::function<bool(const Labels&)>& which);
  void End(SeriesId id, Micros at);
  // Samples with from < time <= to of the series that match; series without any are left out. False: `visit`
  // stopped it.
  bool Select(const Matchers& matchers, Micros from, Micros to, Read read, const Visit& visit) const;
  // Drops closed chunks older than the retention, and series that have nothing left.
  void Trim(Micros now, const Retention& retention);

  const Labels& labels(SeriesId id) const { return series_[Place(id)].labels; }
  bool Has(SeriesId id) const {
    return id != kNoSeries && Place(id) < series_.size() && series_[Place(id)].generation == id >> 24;
  }
  StoreStats stats() const;
  // Time of the oldest and newest sample kept; 0 when empty.
  Micros oldest() const;
  Micros newest() const { return newest_; }

 private:
  struct Series {
    Labels labels;
    std::vector<Chunk> closed;
    Chunk head;
    Sample last;            // newest sample, not yet in a chunk
    int64_t before_ms = 0;  // newest sample in chunks
    bool has_last = false;
    bool made_stale = false;  // `last` is a marker that the store itself wrote
    bool used = false;
    uint8_t generation = 0;
  };
  static size_t Place(SeriesId id) { return id & 0xffffff; }
  SeriesId IdOf(size_t place) const {
    return static_cast<SeriesId>(place | static_cast<size_t>(series_[place].generation) << 24);
  }
  bool Use(size_t place, uint64_t hash);
  void Settle(Series& series);
  void EvictOldest();
  void Forget(size_t place);
  size_t ChunkBytes(const Series& series) const;
  void ReadSeries(const Series& series, Micros from, Micros to, Read read, std::vector<Sample>& out) const;
  static Micros OldestOf(const Series& series);

  StoreLimits limits_;
  std::deque<Series> series_;  // by id; labels stay where they are
  std::deque<uint32_t>
      free_;  // places; a sample for the series that was there last revives it until it is given away
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> by_hash_;  // places
  absl::flat_hash_map<std::string, std::vector<uint32_t>> by_name_;
  StoreStats stats_;
  size_t label_bytes_ = 0;
  size_t chunk_bytes_ = 0;
  Micros newest_ = 0;
  mutable std::vector<Sample> scratch_;
};

}  // namespace quell::series
