#include "controller/series/store.h"

#include <algorithm>

namespace quell::series {
namespace {

int64_t ToMs(Micros at) { return at >= 0 ? at / kMillisecond : -((-at + kMillisecond - 1) / kMillisecond); }

size_t LabelBytes(const Labels& labels) {
  size_t bytes = sizeof(Labels) + 64;  // the index entries
  for (const auto& [name, value] : labels) {
    bytes += sizeof(Labels::Pair);
    if (name.size() > 15) bytes += name.size() + 1;
    if (value.size() > 15) bytes += value.size() + 1;
  }
  return bytes;
}

}  // namespace

void Retention::Need(std::string_view metric, Micros window) {
  Micros& known = by_metric_[std::string(metric)];
  known = std::max(known, window);
}

void Retention::NeedAll(Micros window) { all_ = std::max(all_, window); }

Micros Retention::For(std::string_view metric) const {
  auto it = by_metric_.find(absl::string_view(metric.data(), metric.size()));
  return std::max({least_, all_, it == by_metric_.end() ? Micros{0} : it->second});
}

// Puts the place's series into the index; false when that would be one too many.
bool SeriesStore::Use(size_t place, uint64_t hash) {
  if (stats_.series >= limits_.series || label_bytes_ + chunk_bytes_ >= limits_.bytes) {
    ++stats_.refused_series;
    return false;
  }
  Series& series = series_[place];
  series.used = true;
  by_hash_[hash].push_back(static_cast<uint32_t>(place));
  by_name_[std::string(series.labels.Get(kMetricName))].push_back(static_cast<uint32_t>(place));
  label_bytes_ += sizeof(Series) + LabelBytes(series.labels);
  ++stats_.series;
  return true;
}

SeriesId SeriesStore::SeriesFor(const Labels& labels) {
  const uint64_t hash = labels.Hash();
  if (auto it = by_hash_.find(hash); it != by_hash_.end())
    for (uint32_t place : it->second)
      if (series_[place].labels == labels) return IdOf(place);
  constexpr size_t kRest = 1024;  // freed places wait for their old series, until there are many
  size_t place = series_.size();
  if (place >= 0xffffff) {
    ++stats_.refused_series;
    return kNoSeries;
  }
  if (free_.size() < kRest) {
    series_.emplace_back();
  } else {
    place = free_.front();
    free_.pop_front();
    const auto generation = static_cast<uint8_t>(series_[place].generation + 1);
    series_[place] = Series();
    series_[place].generation = generation;
  }
  series_[place].labels = labels;
  if (Use(place, hash)) return IdOf(place);
  series_[place].labels = Labels();
  free_.push_back(static_cast<uint32_t>(place));
  return kNoSeries;
}

size_t SeriesStore::ChunkBytes(const Series& series) const {
  size_t bytes = series.head.MemoryBytes();
  for (const Chunk& chunk : series.closed) bytes += chunk.MemoryBytes();
  return bytes;
}

// Moves `last` into the chunks.
void SeriesStore::Settle(Series& series) {
  const size_t before = series.head.MemoryBytes();
  size_t added = 0;
  if (series.head.full()) {
    series.head.Shrink();
    added = series.head.MemoryBytes();
    series.closed.push_back(std::move(series.head));
    series.head = Chunk();
  }
  const int64_t ms = ToMs(series.last.at);
  series.head.Append(ms, series.last.value);
  series.before_ms = ms;
  chunk_bytes_ += series.head.MemoryBytes() + added - before;
  if (label_bytes_ + chunk_bytes_ > limits_.bytes) EvictOldest();
}

bool SeriesStore::Append(SeriesId id, Sample sample) {
  if (!Has(id)) {
    ++stats_.refused_samples;
    return false;
  }
  Series& series = series_[Place(id)];
  if (!series.used) {
    auto place = static_cast<uint32_t>(Place(id));
    // It was forgotten; meanwhile another place may have its labels.
    if (auto it = by_hash_.find(series.labels.Hash()); it != by_hash_.end())
      for (uint32_t other : it->second)
        if (series_[other].labels == series.labels) return Append(IdOf(other), sample);
    if (!Use(place, series.labels.Hash())) return ++stats_.refused_samples, false;
    free_.erase(std::find(free_.begin(), free_.end(), place));
  }
  const int64_t ms = ToMs(sample.at);
  if (series.has_last) {
    const int64_t last = ToMs(series.last.at);
    const bool settled = !series.head.empty() || !series.closed.empty();
    const bool replaces =
        ms == last || (series.made_stale && ms < last && (!settled || ms > series.before_ms));
    if (!replaces && ms < last) {
      ++stats_.out_of_order;
      return false;
    }
    if (!replaces) Settle(series);
  }
  series.last = sample;
  series.has_last = true;
  series.made_stale = false;
  newest_ = std::max(newest_, sample.at);
  ++stats_.appended;
  return true;
}

void SeriesStore::End(SeriesId id, Micros at) {
  if (!Has(id)) return;
  Series& series = series_[Place(id)];
  if (!series.has_last || IsStale(series.last.value)) return;
  Append(id, {std::max(at, series.last.at + kMillisecond), StaleMarker()});
  series.made_stale = true;
}

void SeriesStore::EndAll(Micros at, const std::function<bool(const Labels&)>& which) {
  for (size_t place = 0; place < series_.size(); ++place)
    if (series_[place].used && which(series_[place].labels)) End(IdOf(place), at);
}

void SeriesStore::ReadSeries(const Series& series, Micros from, Micros to, Read read,
                             std::vector<Sample>& out) const {
  out.clear();
  if (!series.has_last) return;
  if (read == Read::kNewest && series.last.at <= to) {
    if (series.last.at > from) out.push_back(series.last);
    return;
  }
  const int64_t from_ms = ToMs(from);
  for (const Chunk& chunk : series.closed)
    if (chunk.last_ms() >= from_ms && chunk.first_ms() * kMillisecond <= to) chunk.Read(from, to, out);
  series.head.Read(from, to, out);
  if (series.last.at > from && series.last.at <= to) out.push_back(series.last);
  if (read == Read::kNewest && out.size() > 1) out.erase(out.begin(), out.end() - 1);
}

bool SeriesStore::Select(const Matchers& matchers, Micros from, Micros to, Read read,
                         const Visit& visit) const {
  std::vector<Sample> samples;
  samples.swap(scratch_);
  auto look = [&](size_t place) {
    const Series& series = series_[place];
    if (!series.used || !MatchesAll(matchers, series.labels)) return true;
    ReadSeries(series, from, to, read, samples);
    return samples.empty() || visit(series.labels, samples);
  };
  bool go_on = true;
  if (std::string_view name = EqualValue(matchers, kMetricName); !name.empty()) {
    if (auto it = by_name_.find(absl::string_view(name.data(), name.size())); it != by_name_.end())
      for (size_t i = 0; go_on && i < it->second.size(); ++i) go_on = look(it->second[i]);
  } else {
    for (size_t place = 0; go_on && place < series_.size(); ++place) go_on = look(place);
  }
  samples.swap(scratch_);
  return go_on;
}

void SeriesStore::Forget(size_t place) {
  Series& series = series_[place];
  auto drop = [place](std::vector<uint32_t>& ids) { ids.erase(std::find(ids.begin(), ids.end(), place)); };
  const uint64_t hash = series.labels.Hash();
  drop(by_hash_[hash]);
  if (by_hash_[hash].empty()) by_hash_.erase(hash);
  const std::string name(series.labels.Get(kMetricName));
  drop(by_name_[name]);
  if (by_name_[name].empty()) by_name_.erase(name);
  label_bytes_ -= sizeof(Series) + LabelBytes(series.labels);
  chunk_bytes_ -= ChunkBytes(series) - sizeof(Chunk);
  Series empty;
  empty.labels = std::move(series.labels);
  empty.generation = series.generation;
  series = std::move(empty);
  free_.push_back(static_cast<uint32_t>(place));
  --stats_.series;
}

void SeriesStore::Trim(Micros now, const Retention& retention) {
  for (size_t place = 0; place < series_.size(); ++place) {
    Series& series = series_[place];
    if (!series.used) continue;
    const Micros keep = now - retention.For(series.labels.Get(kMetricName));
    if (series.has_last && series.last.at < keep) Forget(place);
    if (!series.has_last) continue;
    auto old = [keep](const Chunk& chunk) { return chunk.last_ms() * kMillisecond < keep; };
    auto end = std::find_if_not(series.closed.begin(), series.closed.end(), old);
    for (auto it = series.closed.begin(); it != end; ++it) chunk_bytes_ -= it->MemoryBytes();
    series.closed.erase(series.closed.begin(), end);
  }
}

// One pass drops the oldest closed chunk of every series that has one: the window shrinks evenly.
void SeriesStore::EvictOldest() {
  for (Series& series : series_) {
    if (series.closed.empty()) continue;
    chunk_bytes_ -= series.closed.front().MemoryBytes();
    series.closed.erase(series.closed.begin());
    ++stats_.evicted_chunks;
  }
}

StoreStats SeriesStore::stats() const {
  StoreStats stats = stats_;
  stats.bytes = label_bytes_ + chunk_bytes_;
  return stats;
}

Micros SeriesStore::OldestOf(const Series& series) {
  if (!series.closed.empty()) return series.closed.front().first_ms() * kMillisecond;
  if (!series.head.empty()) return series.head.first_ms() * kMillisecond;
  return series.has_last ? series.last.at : 0;
}

Micros SeriesStore::oldest() const {
  Micros oldest = 0;
  for (const Series& series : series_) {
    if (!series.used || !series.has_last) continue;
    const Micros first = OldestOf(series);
    if (oldest == 0 || first < oldest) oldest = first;
  }
  return oldest;
}

}  // namespace quell::series
