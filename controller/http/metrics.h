// The controller's own numbers, as Prometheus scrapes them (text format 0.0.4). Owned by main; outlives all
// who hold a Counter, Gauge or Histogram of it. Updating is lock-free and any thread may; adding and
// rendering take a lock.
//
// Bound: 4,096 series. What is added beyond is counted in quell_metrics_refused_total and updated unseen.
// A name or label name that Prometheus would refuse, or a name added with two types, ends the process: names
// are ours. Label values may be anything.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace quell::http {

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Counts per bucket; `bounds` are upper limits, inclusive, ascending; +Inf is added.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void Observe(double value);
  const std::vector<double>& bounds() const { return bounds_; }
  uint64_t in_bucket(size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class Metrics {
 public:
  Metrics();
  // The same name and labels give the same object again.
  Counter& AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& AddHistogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                          const MetricLabels& labels = {});
  // Asked at each scrape, on the thread that serves it; quick, and does not touch this object.
  void AddCounterCallback(std::string_view name, std::string_view help, std::function<double()> read,
                          const MetricLabels& labels = {});
  void AddGaugeCallback(std::string_view name, std::string_view help, std::function<double()> read,
                        const MetricLabels& labels = {});

  std::string Render() const;
  static constexpr size_t kSeriesLimit = 4096;

 private:
  enum class Type { kCounter, kGauge, kHistogram };
  struct Series {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> read;
  };
  struct Family {
    Type type;
    std::string help;
    std::map<std::string, Series> series;  // by rendered labels: a="b",c="d"
  };

  Series& Place(std::string_view name, std::string_view help, Type type, const MetricLabels& labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void RenderSeries(const std::string& name, const std::string& labels, const Series& series,
                           std::string& out);

  mutable absl::Mutex mutex_;
  std::map<std::string, Family, std::less<>> families_ ABSL_GUARDED_BY(mutex_);
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Series>> unseen_ ABSL_GUARDED_BY(mutex_);  // beyond the limit: one per type
  Counter refused_;
};

}  // namespace quell::http
