// SeriesSource: where an evaluation reads its series. Implemented by shards (one host, all hosts), by a join
// of shards, and by tests. Called by the thread that evaluates.
#pragma once
#include <algorithm>
#include <vector>

#include "controller/series/store.h"

namespace quell::promql {

class SeriesSource {
 public:
  virtual ~SeriesSource() = default;
  // Samples with from < time <= to of every series that matches, in order of time. False: `visit` stopped it.
  virtual bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
                      const series::Visit& visit) const = 0;
  // False when a part did not answer a Select: what was read then is a part of the truth, and decides
  // nothing.
  virtual bool complete() const { return true; }
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
  bool complete() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const SeriesSource* part) { return part->complete(); });
  }

 private:
  std::vector<const SeriesSource*> parts_;
};

// Leaves out series that have one of these labels with another value. Series without the label stay.
class CompatibleSource final : public SeriesSource {
 public:
  CompatibleSource(const SeriesSource& source, const Labels& wanted) : source_(source), wanted_(wanted) {}
  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    return source_.Select(matchers, from, to, read,
                          [&](const Labels& labels, std::span<const Sample> samples) {
                            for (const auto& [name, value] : wanted_)
                              if (const std::string_view has = labels.Get(name); !has.empty() && has != value)
                                return true;
                            return visit(labels, samples);
                          });
  }
  bool complete() const override { return source_.complete(); }

 private:
  const SeriesSource& source_;
  const Labels& wanted_;
};

}  // namespace quell::promql
