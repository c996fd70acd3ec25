// SeriesTable: turns a collector's values, put in the same order each time, into Collections that share one
// SeriesList. As long as the same series come in the same order nothing but doubles is touched. When they
// change, a new list is made; series that are gone stay in it once more, with the stale marker, until the
// next change. Bound: kMaxSeries; more are dropped and counted. Owned by one collector, used by one thread.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/collectors/collector.h"

namespace quell::agent {

class SeriesTable {
 public:
  static constexpr size_t kMaxSeries = 20'000;
  using Label = std::pair<std::string_view, std::string_view>;

  // Begins a round; one that was begun and not finished is forgotten.
  void Begin();
  // Labels sorted by name; an empty value is left out of the series.
  void Put(std::string_view metric, std::initializer_list<Label> labels, double value);
  // `job` becomes the collection's collector.
  Collection Finish(std::string job, Micros monotonic);
  uint64_t dropped() const { return dropped_; }

 private:
  struct Entry {
    std::string metric;
    std::vector<std::pair<std::string, std::string>> labels;
  };
  static bool Same(const Entry& entry, std::string_view metric, std::initializer_list<Label> labels);
  void Rebuild();

  std::vector<Entry> entries_;  // in the order they are put
  std::vector<Entry> before_;   // what the list held, when this round differs from it
  bool changed_ = false;
  size_t cursor_ = 0;
  std::vector<double> values_;
  size_t retired_ = 0;  // at the list's end
  SeriesList list_;
  uint64_t dropped_ = 0;
};

}  // namespace quell::agent
