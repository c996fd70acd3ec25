#include "controller/http/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/base/status.h"

namespace quell::http {
namespace {

bool IsName(std::string_view name, bool colon) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [colon](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colon && c == ':');
  });
}

// Escapes of the text format: backslash and newline, and in label values the quote too.
std::string Escape(std::string_view text, bool quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quote) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

std::string RenderLabels(const MetricLabels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    Require(IsName(name, false), "a metric's label has a name that Prometheus refuses");
    if (!out.empty()) out += ',';
    out += name + "=\"" + Escape(value, true) + "\"";
  }
  return out;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

void Line(const std::string& name, const std::string& labels, const std::string& value, std::string& out) {
  out += name;
  if (!labels.empty()) out += "{" + labels + "}";
  out += " " + value + "\n";
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(new std::atomic<uint64_t>[bounds_.size() + 1]()) {
  Require(std::is_sorted(bounds_.begin(), bounds_.end()), "a histogram's bounds do not ascend");
}

void Histogram::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  double sum = sum_.load(std::memory_order_relaxed);
  while (!sum_.compare_exchange_weak(sum, sum + value, std::memory_order_relaxed)) {
  }
}

Metrics::Metrics() {
  AddCounterCallback("quell_metrics_refused_total", "Series that were not added because there are too many.",
                     [this] { return static_cast<double>(refused_.value()); });
}

Metrics::Series& Metrics::Place(std::string_view name, std::string_view help, Type type,
                                const MetricLabels& labels) {
  Require(IsName(name, true), "a metric has a name that Prometheus refuses");
  auto family = families_.find(name);
  if (family == families_.end()) {
    family = families_.emplace(std::string(name), Family{type, std::string(help), {}}).first;
  }
  Require(family->second.type == type, "a metric was added with two types");
  const std::string key = RenderLabels(labels);
  const auto found = family->second.series.find(key);
  if (found != family->second.series.end()) return found->second;
  if (count_ >= kSeriesLimit) {
    refused_.Add();
    while (unseen_.size() <= static_cast<size_t>(type)) unseen_.push_back(std::make_unique<Series>());
    return *unseen_[static_cast<size_t>(type)];
  }
  ++count_;
  return family->second.series[key];
}

Counter& Metrics::AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  Series& series = Place(name, help, Type::kCounter, labels);
  if (!series.counter) series.counter = std::make_unique<Counter>();
  return *series.counter;
}

Gauge& Metrics::AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  Series& series = Place(name, help, Type::kGauge, labels);
  if (!series.gauge) series.gauge = std::make_unique<Gauge>();
  return *series.gauge;
}

Histogram& Metrics::AddHistogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                 const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  Series& series = Place(name, help, Type::kHistogram, labels);
  if (!series.histogram) series.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *series.histogram;
}

void Metrics::AddCounterCallback(std::string_view name, std::string_view help, std::function<double()> read,
                                 const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  Place(name, help, Type::kCounter, labels).read = std::move(read);
}

void Metrics::AddGaugeCallback(std::string_view name, std::string_view help, std::function<double()> read,
                               const MetricLabels& labels) {
  absl::MutexLock lock(&mutex_);
  Place(name, help, Type::kGauge, labels).read = std::move(read);
}

void Metrics::RenderSeries(const std::string& name, const std::string& labels, const Series& series,
                           std::string& out) {
  if (series.read) return Line(name, labels, Number(series.read()), out);
  if (series.counter) return Line(name, labels, std::to_string(series.counter->value()), out);
  if (series.gauge) return Line(name, labels, Number(series.gauge->value()), out);
  if (!series.histogram) return;
  const Histogram& histogram = *series.histogram;
  const std::string lead = labels.empty() ? "" : labels + ",";
  uint64_t count = 0;
  for (size_t i = 0; i <= histogram.bounds().size(); ++i) {
    count += histogram.in_bucket(i);
    const std::string bound = i < histogram.bounds().size() ? Number(histogram.bounds()[i]) : "+Inf";
    Line(name + "_bucket", lead + "le=\"" + bound + "\"", std::to_string(count), out);
  }
  Line(name + "_sum", labels, Number(histogram.sum()), out);
  Line(name + "_count", labels, std::to_string(count), out);
}

std::string Metrics::Render() const {
  static constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};
  absl::MutexLock lock(&mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    if (family.series.empty()) continue;
    out += "# HELP " + name + " " + Escape(family.help, false) + "\n";
    out += "# TYPE " + name + " " + kTypes[static_cast<int>(family.type)] + "\n";
    for (const auto& [labels, series] : family.series) RenderSeries(name, labels, series, out);
  }
  return out;
}

}  // namespace quell::http
