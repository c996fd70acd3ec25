#include "agent/collectors/series_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/model/sample.h"

namespace quell::agent {

void SeriesTable::Begin() {
  if (std::exchange(changed_, false))
    entries_ = std::exchange(before_, {});  // of a round that was not finished
  cursor_ = 0;
  values_.clear();
}

bool SeriesTable::Same(const Entry& entry, std::string_view metric, std::initializer_list<Label> labels) {
  if (entry.metric != metric || entry.labels.size() != labels.size()) return false;
  auto theirs = labels.begin();
  for (const auto& [name, value] : entry.labels) {
    if (value != theirs->second || name != theirs->first) return false;
    ++theirs;
  }
  return true;
}

void SeriesTable::Put(std::string_view metric, std::initializer_list<Label> labels, double value) {
  if (!changed_ && cursor_ < entries_.size() && Same(entries_[cursor_], metric, labels)) {
    ++cursor_;
    values_.push_back(value);
    return;
  }
  if (!changed_) {
    changed_ = true;
    before_ = entries_;
    entries_.resize(cursor_);
  }
  if (entries_.size() >= kMaxSeries) {
    ++dropped_;
    return;
  }
  Entry entry{std::string(metric), {}};
  for (const auto& [name, text] : labels) entry.labels.emplace_back(name, text);
  entries_.push_back(std::move(entry));
  ++cursor_;
  values_.push_back(value);
}

void SeriesTable::Rebuild() {
  auto list = std::make_shared<std::vector<Series>>();
  const auto make = [](const Entry& entry) { return Series{entry.metric, Labels(entry.labels)}; };
  std::set<std::pair<std::string, Labels>> live;
  for (const Entry& entry : entries_) {
    list->push_back(make(entry));
    live.emplace(list->back().name, list->back().labels);
  }
  retired_ = 0;
  for (const Entry& entry : before_) {
    Series series = make(entry);
    if (live.count({series.name, series.labels}) != 0) continue;
    list->push_back(std::move(series));
    ++retired_;
  }
  before_.clear();
  list_ = std::move(list);
}

Collection SeriesTable::Finish(std::string job, Micros monotonic) {
  if (!changed_ && cursor_ < entries_.size()) {  // fewer than last time, the same in front
    changed_ = true;
    before_ = entries_;
    entries_.resize(cursor_);
  }
  if (std::exchange(changed_, false) || list_ == nullptr) Rebuild();
  Collection result{std::move(job), list_, values_, monotonic};
  result.values.insert(result.values.end(), retired_, StaleMarker());
  return result;
}

}  // namespace quell::agent
