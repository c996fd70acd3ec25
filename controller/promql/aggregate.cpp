// Aggregations: by and without, topk and its kin, count_values.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "controller/promql/evaluator.h"

namespace quell::promql {
namespace {

Labels GroupLabels(const Expr& e, const Labels& labels) {
  std::vector<Labels::Pair> kept;
  for (const Labels::Pair& pair : labels) {
    const bool named = std::find(e.grouping.begin(), e.grouping.end(), pair.first) != e.grouping.end();
    if (e.without ? !named && pair.first != kMetricName : named) kept.push_back(pair);
  }
  return Labels(std::move(kept));
}

// Digits without an exponent, the shortest that read back as the same value.
std::string FixedText(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char buffer[400];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed);
  return error == std::errc() ? std::string(buffer, end) : "";
}

struct Members {
  Labels labels;
  std::vector<const Element*> elements;
};

// Welford's running variance.
double Variance(const Members& group) {
  double mean = 0, sum = 0, count = 0;
  for (const Element* e : group.elements) {
    ++count;
    if (!std::isfinite(e->value)) return std::numeric_limits<double>::quiet_NaN();
    const double delta = e->value - mean;
    mean += delta / count;
    sum += delta * (e->value - mean);
  }
  return sum / count;
}

double Extreme(const Members& group, bool largest) {
  double best = group.elements[0]->value;
  for (const Element* e : group.elements)
    if (std::isnan(best) || (largest ? best < e->value : best > e->value)) best = e->value;
  return best;
}

double Reduce(AggregateOp op, const Members& group, double parameter) {
  switch (op) {
    case AggregateOp::kSum: {
      CompensatedSum sum;
      for (const Element* e : group.elements) sum.Add(e->value);
      return sum.Total();
    }
    case AggregateOp::kAvg: {
      CompensatedMean mean;
      for (const Element* e : group.elements) mean.Add(e->value);
      return mean.Total();
    }
    case AggregateOp::kMin:
      return Extreme(group, false);
    case AggregateOp::kMax:
      return Extreme(group, true);
    case AggregateOp::kCount:
      return static_cast<double>(group.elements.size());
    case AggregateOp::kGroup:
      return 1;
    case AggregateOp::kStdvar:
      return Variance(group);
    case AggregateOp::kStddev:
      return std::sqrt(Variance(group));
    case AggregateOp::kQuantile: {
      std::vector<double> values;
      for (const Element* e : group.elements) values.push_back(e->value);
      return QuantileOf(parameter, values);
    }
    default:
      return 0;
  }
}

// The k largest or smallest; numbers before NaN.
void TakeK(const Members& group, bool largest, size_t k, Vector& out) {
  std::vector<const Element*> order = group.elements;
  auto before = [largest](const Element* a, const Element* b) {
    if (std::isnan(a->value) || std::isnan(b->value)) return !std::isnan(a->value) && std::isnan(b->value);
    return largest ? a->value > b->value : a->value < b->value;
  };
  std::stable_sort(order.begin(), order.end(), before);
  for (size_t i = 0; i < std::min(k, order.size()); ++i) out.push_back(*order[i]);
}

std::vector<Members> GroupBy(const Expr& e, const Vector& input) {
  std::vector<Members> groups;
  absl::flat_hash_map<Labels, size_t> places;
  for (const Element& element : input) {
    Labels labels = GroupLabels(e, element.labels);
    auto [it, fresh] = places.emplace(labels, groups.size());
    if (fresh) groups.push_back({std::move(labels), {}});
    groups[it->second].elements.push_back(&element);
  }
  return groups;
}

Element Joined(const Members& group, Micros at) {
  Element out{group.labels, 0, at, 0, false};
  for (const Element* e : group.elements) {
    out.newest = std::max(out.newest, e->newest);
    out.drop_name |= e->drop_name;
  }
  return out;
}

void CountValues(const Expr& e, const std::string& label, const Vector& input, Micros at, Vector& out) {
  Vector labelled = input;
  Expr by = e;
  if (!e.without) by.grouping.push_back(label);
  for (Element& element : labelled) element.labels.Set(label, FixedText(element.value));
  if (e.without) std::erase(by.grouping, label);
  for (const Members& group : GroupBy(by, labelled)) {
    out.push_back(Joined(group, at));
    out.back().value = static_cast<double>(group.elements.size());
  }
}

absl::StatusOr<size_t> CountOf(double k) {
  if (std::isnan(k)) return absl::InvalidArgumentError("Parameter value is NaN");
  if (k >= 9.2e18 || k <= -9.2e18) return absl::InvalidArgumentError("Scalar value overflows int64");
  return k < 1 ? 0 : static_cast<size_t>(k);
}

}  // namespace

absl::StatusOr<Value> EvalAggregate(Evaluator& evaluator, const Expr& e, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value input, evaluator.Eval(*e.args[0], at));
  Value parameter;
  if (e.args.size() > 1) {
    QUELL_ASSIGN_OR_RETURN(parameter, evaluator.Eval(*e.args[1], at));
  }
  Value out;
  out.type = ValueType::kVector;
  const bool takes_k = e.aggregate == AggregateOp::kTopk || e.aggregate == AggregateOp::kBottomk;
  if (e.aggregate == AggregateOp::kCountValues) {
    if (parameter.text.empty()) return absl::InvalidArgumentError("invalid label name \"\" in count_values");
    CountValues(e, parameter.text, input.vector, at, out.vector);
  } else if (takes_k) {
    QUELL_ASSIGN_OR_RETURN(const size_t k, CountOf(parameter.scalar));
    for (const Members& group : GroupBy(e, input.vector))
      TakeK(group, e.aggregate == AggregateOp::kTopk, k, out.vector);
  } else {
    for (const Members& group : GroupBy(e, input.vector)) {
      out.vector.push_back(Joined(group, at));
      out.vector.back().value = Reduce(e.aggregate, group, parameter.scalar);
    }
  }
  return out;
}

}  // namespace quell::promql
