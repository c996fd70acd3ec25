// SeriesSource: where an evaluation reads its series. Implemented by shards (one host, all hosts), by a join
// of shards, and by tests. Called by the thread that evaluates.
#pragma once
#include <vector>

#include "controller/series/store.h"

namespace quell::promql {

class SeriesSource {
 public:
  virtual ~SeriesSource() = default;
  // Samples with from < time <= to of every series that matches, in order of time. False: `visit` stopped it.
  virtual bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
                      const series::Visit& visit) const = 0;
};

class StoreSource final : public SeriesSource {
 public:
  explicit StoreSource(const series::SeriesStore& store) : store_(store) {}
  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    return store_.Select(matchers, from, to, read, visit);
  }

 private:
  const series::SeriesStore& store_;
};

// Several sources as one, in their order. The parts outlive it.
class JoinedSource final : public SeriesSource {
 public:
  explicit JoinedSource(std::vector<const SeriesSource*> parts) : parts_(std::move(parts)) {}
  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    for (const SeriesSource* part : parts_)
      if (!part->Select(matchers, from, to, read, visit)) return false;
    return true;
  }

 private:
  std::vector<const SeriesSource*> parts_;
};

}  // namespace quell::promql
