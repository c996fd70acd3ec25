// Functions over the window of one series. Extrapolation, summation and regression follow the documented
// behaviour of Prometheus 3.x.
#include <algorithm>
#include <cmath>

#include "controller/promql/bodies.h"

namespace quell::promql {
namespace {

double Seconds(Micros d) { return static_cast<double>(d) / kSecond; }

// The change over the window, extrapolated to its borders: to a border that is nearer than 1.1 average
// distances of samples, else by half a distance; a counter not beyond the point where it would have been
// zero.
std::optional<double> Extrapolated(const Window& w, bool counter, bool per_second) {
  if (w.samples.size() < 2) return std::nullopt;
  const Sample &first = w.samples.front(), &last = w.samples.back();
  double change = last.value - first.value;
  if (counter)
    for (size_t i = 1; i < w.samples.size(); ++i)
      if (w.samples[i].value < w.samples[i - 1].value) change += w.samples[i - 1].value;
  const double sampled = Seconds(last.at - first.at);
  const double average = sampled / static_cast<double>(w.samples.size() - 1);
  double to_start = Seconds(first.at - w.start), to_end = Seconds(w.end - last.at);
  const double threshold = average * 1.1;
  if (to_start >= threshold) to_start = average / 2;
  if (counter && change > 0 && first.value >= 0)
    to_start = std::min(to_start, sampled * (first.value / change));
  if (to_end >= threshold) to_end = average / 2;
  double factor = (sampled + to_start + to_end) / sampled;
  if (per_second) factor /= Seconds(w.end - w.start);
  return change * factor;
}

std::optional<double> LastTwo(const Window& w, bool rate) {
  if (w.samples.size() < 2) return std::nullopt;
  const Sample &before = w.samples[w.samples.size() - 2], &last = w.samples.back();
  double change = rate && last.value < before.value ? last.value : last.value - before.value;
  if (rate) change /= Seconds(last.at - before.at);
  return change;
}

struct Line {
  double slope, intercept;
};

// Least squares with the intercept at `origin`; compensated sums. A constant gives slope 0 exactly.
Line Regression(std::span<const Sample> samples, Micros origin) {
  CompensatedSum x, y, xy, xx;
  bool constant = true;
  for (const Sample& s : samples) {
    if (s.value != samples[0].value) constant = false;
    const double t = Seconds(s.at - origin);
    x.Add(t);
    y.Add(s.value);
    xy.Add(t * s.value);
    xx.Add(t * t);
  }
  if (constant) {
    if (std::isinf(samples[0].value)) return {OrdinaryNan(), OrdinaryNan()};
    return {0, samples[0].value};
  }
  const auto n = static_cast<double>(samples.size());
  const double covariance = xy.Total() - x.Total() * y.Total() / n;
  const double variance = xx.Total() - x.Total() * x.Total() / n;
  const double slope = covariance / variance;
  return {slope, y.Total() / n - slope * x.Total() / n};
}

double ExtremeOf(const Window& w, bool largest) {
  double best = w.samples[0].value;
  for (const Sample& s : w.samples)
    if (std::isnan(best) || (largest ? s.value > best : s.value < best)) best = s.value;
  return best;
}

}  // namespace

std::optional<double> Rate(const Window& w) { return Extrapolated(w, true, true); }
std::optional<double> Increase(const Window& w) { return Extrapolated(w, true, false); }
std::optional<double> Delta(const Window& w) { return Extrapolated(w, false, false); }
std::optional<double> Irate(const Window& w) { return LastTwo(w, true); }
std::optional<double> Idelta(const Window& w) { return LastTwo(w, false); }

std::optional<double> AvgOverTime(const Window& w) {
  CompensatedMean mean;
  for (const Sample& s : w.samples) mean.Add(s.value);
  return mean.Total();
}

std::optional<double> MinOverTime(const Window& w) { return ExtremeOf(w, false); }
std::optional<double> MaxOverTime(const Window& w) { return ExtremeOf(w, true); }

std::optional<double> SumOverTime(const Window& w) {
  CompensatedSum sum;
  for (const Sample& s : w.samples) sum.Add(s.value);
  return sum.Total();
}

std::optional<double> CountOverTime(const Window& w) { return static_cast<double>(w.samples.size()); }
std::optional<double> LastOverTime(const Window& w) { return w.samples.back().value; }
std::optional<double> PresentOverTime(const Window&) { return 1; }

std::optional<double> StdvarOverTime(const Window& w) {
  CompensatedSum mean, sum;
  double count = 0;
  for (const Sample& s : w.samples) {
    ++count;
    const double delta = s.value - mean.Total();
    mean.Add(delta / count);
    sum.Add(delta * (s.value - mean.Total()));
  }
  return sum.Total() / count;
}

std::optional<double> StddevOverTime(const Window& w) { return std::sqrt(*StdvarOverTime(w)); }

std::optional<double> QuantileOverTime(const Window& w) {
  std::vector<double> values;
  for (const Sample& s : w.samples) values.push_back(s.value);
  return QuantileOf(w.parameters[0], values);
}

std::optional<double> Changes(const Window& w) {
  double changes = 0;
  for (size_t i = 1; i < w.samples.size(); ++i) {
    const double a = w.samples[i - 1].value, b = w.samples[i].value;
    if (a != b && !(std::isnan(a) && std::isnan(b))) ++changes;
  }
  return changes;
}

std::optional<double> Resets(const Window& w) {
  double resets = 0;
  for (size_t i = 1; i < w.samples.size(); ++i)
    if (w.samples[i].value < w.samples[i - 1].value) ++resets;
  return resets;
}

std::optional<double> Deriv(const Window& w) {
  if (w.samples.size() < 2) return std::nullopt;
  // From the first sample on: small numbers keep their digits.
  return Regression(w.samples, w.samples[0].at).slope;
}

std::optional<double> PredictLinear(const Window& w) {
  if (w.samples.size() < 2) return std::nullopt;
  const Line line = Regression(w.samples, w.now);
  return line.slope * w.parameters[0] + line.intercept;
}

}  // namespace quell::promql
