// histogram_quantile and histogram_fraction over classic buckets (series with the label le).
#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "controller/promql/bodies.h"

namespace quell::promql {
namespace {

struct Bucket {
  double bound;
  double count;
};

struct Histogram {
  Element element;  // labels without le
  std::vector<Bucket> buckets;
};

// Groups by all labels but le; a missing or unreadable le leaves the series out.
std::vector<Histogram> GroupBuckets(const Vector& vector) {
  std::vector<Histogram> out;
  absl::flat_hash_map<Labels, size_t> places;
  for (const Element& e : vector) {
    const std::string le(e.labels.Get("le"));
    double bound = 0;
    if (le.empty() || !absl::SimpleAtod(le, &bound)) continue;
    Labels labels = e.labels.Without("le");
    auto [it, fresh] = places.emplace(labels, out.size());
    if (fresh) out.push_back({Element{std::move(labels), 0, 0, 0, e.drop_name}, {}});
    Histogram& histogram = out[it->second];
    histogram.buckets.push_back({bound, e.value});
    histogram.element.newest = std::max(histogram.element.newest, e.newest);
  }
  return out;
}

// Sorted, equal bounds added together, counts made monotonic.
void Tidy(std::vector<Bucket>& buckets) {
  std::sort(buckets.begin(), buckets.end(),
            [](const Bucket& a, const Bucket& b) { return a.bound < b.bound; });
  size_t last = 0;
  for (size_t i = 1; i < buckets.size(); ++i) {
    if (buckets[i].bound == buckets[last].bound) {
      buckets[last].count += buckets[i].count;
    } else {
      buckets[++last] = buckets[i];
    }
  }
  buckets.resize(last + 1);
  constexpr double kTolerance = 1e-12;  // relative; below it a difference is the rounding of an earlier sum
  double previous = buckets[0].count;
  for (Bucket& b : buckets) {
    const double difference = std::fabs(b.count - previous);
    const bool same = difference <= kTolerance * (std::fabs(b.count) + std::fabs(previous));
    if (same || b.count < previous) b.count = previous;
    previous = b.count;
  }
}

bool IsWhole(const std::vector<Bucket>& buckets) {
  return std::isinf(buckets.back().bound) && buckets.back().bound > 0;
}

double BucketQuantile(double q, std::vector<Bucket> buckets) {
  if (std::isnan(q)) return OrdinaryNan();
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  Tidy(buckets);
  if (buckets.size() < 2 || !IsWhole(buckets)) return OrdinaryNan();
  const double total = buckets.back().count;
  if (total == 0 || std::isnan(total)) return OrdinaryNan();
  double rank = q * total;
  size_t b = 0;
  while (b < buckets.size() - 1 && buckets[b].count < rank) ++b;
  if (b == buckets.size() - 1) return buckets[b - 1].bound;
  if (b == 0 && buckets[0].bound <= 0) return buckets[0].bound;
  double start = 0, count = buckets[b].count;
  if (b > 0) {
    start = buckets[b - 1].bound;
    count -= buckets[b - 1].count;
    rank -= buckets[b - 1].count;
  }
  return start + (buckets[b].bound - start) * (rank / count);
}

// Observations up to `bound`, linear within its bucket.
double CountUpTo(const std::vector<Bucket>& buckets, double bound) {
  double previous_bound = buckets[0].bound <= 0 ? -std::numeric_limits<double>::infinity() : 0,
         previous_count = 0;
  for (const Bucket& b : buckets) {
    if (bound >= b.bound) {
      previous_bound = b.bound;
      previous_count = b.count;
      continue;
    }
    if (bound <= previous_bound || std::isinf(b.bound)) return previous_count;
    if (std::isinf(previous_bound)) return b.count;  // nothing to interpolate over in an endless bucket
    return previous_count +
           (b.count - previous_count) * (bound - previous_bound) / (b.bound - previous_bound);
  }
  return previous_count;
}

double BucketFraction(double lower, double upper, std::vector<Bucket> buckets) {
  Tidy(buckets);
  if (!IsWhole(buckets) || std::isnan(lower) || std::isnan(upper)) return OrdinaryNan();
  const double total = buckets.back().count;
  if (total == 0 || std::isnan(total)) return OrdinaryNan();
  if (lower >= upper) return 0;
  return (CountUpTo(buckets, upper) - CountUpTo(buckets, lower)) / total;
}

template <typename F>
absl::StatusOr<Value> PerHistogram(Evaluator& ev, const Expr& vector, Micros at, F f) {
  QUELL_ASSIGN_OR_RETURN(Value input, ev.Eval(vector, at));
  Value out;
  out.type = ValueType::kVector;
  for (Histogram& histogram : GroupBuckets(input.vector)) {
    histogram.element.value = f(std::move(histogram.buckets));
    histogram.element.at = at;
    ev.DropName(histogram.element);
    out.vector.push_back(std::move(histogram.element));
  }
  if (!ev.options().delayed_name_removal) QUELL_RETURN_IF_ERROR(ev.CheckUnique(out.vector));
  return out;
}

}  // namespace

absl::StatusOr<Value> HistogramQuantile(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double q, ev.EvalScalar(*call.args[0], at));
  return PerHistogram(ev, *call.args[1], at,
                      [q](std::vector<Bucket> b) { return BucketQuantile(q, std::move(b)); });
}

absl::StatusOr<Value> HistogramFraction(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double lower, ev.EvalScalar(*call.args[0], at));
  QUELL_ASSIGN_OR_RETURN(const double upper, ev.EvalScalar(*call.args[1], at));
  return PerHistogram(ev, *call.args[2], at, [lower, upper](std::vector<Bucket> b) {
    return BucketFraction(lower, upper, std::move(b));
  });
}

}  // namespace quell::promql
