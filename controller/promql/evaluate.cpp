#include "controller/promql/evaluate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "controller/promql/evaluator.h"
#include "controller/promql/functions.h"

namespace quell::promql {
namespace {

// The samples with from < time <= to.
std::span<const Sample> Between(std::span<const Sample> samples, Micros from, Micros to) {
  auto later = [](Micros t, const Sample& s) { return t < s.at; };
  auto first = std::upper_bound(samples.begin(), samples.end(), from, later);
  auto last = std::upper_bound(first, samples.end(), to, later);
  return {first, last};
}

Value VectorValue(Vector vector) {
  Value out;
  out.type = ValueType::kVector;
  out.vector = std::move(vector);
  return out;
}

Value ScalarValue(double v) {
  Value out;
  out.type = ValueType::kScalar;
  out.scalar = v;
  return out;
}

}  // namespace

const Expr& Unwrap(const Expr& expr) { return expr.kind == ExprKind::kParen ? Unwrap(*expr.args[0]) : expr; }

void CompensatedSum::Add(double value) {
  const double t = sum + value;
  if (std::isinf(t)) {
    correction = 0;
  } else if (std::fabs(sum) >= std::fabs(value)) {
    correction += (sum - t) + value;
  } else {
    correction += (value - t) + sum;
  }
  sum = t;
}

void CompensatedMean::Add(double value) {
  ++count;
  if (!incremental) {
    CompensatedSum next = sum;
    next.Add(value);
    if (count == 1 || !std::isinf(next.sum)) {
      sum = next;
      return;
    }
    incremental = true;
    sum.sum /= count - 1;
    sum.correction /= count - 1;
  }
  const double share = (count - 1) / count;
  sum.sum *= share;
  sum.correction *= share;
  sum.Add(value / count);
}

double CompensatedMean::Total() const {
  return incremental ? sum.Total() : sum.sum / count + sum.correction / count;
}

double QuantileOf(double q, std::vector<double>& values) {
  if (values.empty() || std::isnan(q)) return std::numeric_limits<double>::quiet_NaN();
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
  const double rank = q * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<size_t>(std::max(0.0, std::floor(rank)));
  const size_t upper = std::min(values.size() - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  return values[lower] * (1 - weight) + values[upper] * weight;
}

Micros Evaluator::Place(const Expr& selector, Micros at) const {
  if (selector.at == At::kTime) at = selector.at_time;
  if (selector.at == At::kStart) at = start_;
  if (selector.at == At::kEnd) at = end_;
  return at - selector.offset;
}

void Evaluator::PlanSelector(const Expr& selector, Micros from, Micros to, Micros window, bool range) {
  SelectorData data;
  data.from = Place(selector, from) - window;
  data.to = Place(selector, to);
  data.range = range;
  if (!range && data.to - data.from == window) data.read = series::Read::kNewest;
  data_.emplace(&selector, std::move(data));
}

void Evaluator::Plan(const Expr& expr, Micros from, Micros to) {
  switch (expr.kind) {
    case ExprKind::kSelector:
      return PlanSelector(expr, from, to, options_.lookback, false);
    case ExprKind::kRange:
      return PlanSelector(*expr.args[0], from, to, expr.range, true);
    case ExprKind::kSubquery:
      return Plan(*expr.args[0], Place(expr, from) - expr.range, Place(expr, to));
    default:
      for (const ExprPtr& arg : expr.args) Plan(*arg, from, to);
  }
}

absl::Status Evaluator::Prepare(const Expr& expr, Micros from, Micros to) {
  Plan(expr, from, to);
  for (auto& [selector, data] : data_) QUELL_RETURN_IF_ERROR(Load(*selector, data));
  return absl::OkStatus();
}

absl::Status Evaluator::Touch(uint64_t samples) {
  stats_.samples += samples;
  if (stats_.samples <= options_.max_samples) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "query processing would load too many samples into memory (bound: ", options_.max_samples, ")"));
}

absl::Status Evaluator::Load(const Expr& selector, SelectorData& data) {
  absl::Status status;
  auto visit = [&](const Labels& labels, std::span<const Sample> samples) {
    Loaded loaded;
    for (const Sample& s : samples)
      if (!data.range || !IsStale(s.value)) loaded.samples.push_back(s);
    stats_.newest = std::max(stats_.newest, samples.back().at);
    status = Touch(samples.size());
    if (++stats_.series > options_.max_series)
      status = absl::ResourceExhaustedError(
          absl::StrCat("query reads too many series (bound: ", options_.max_series, ")"));
    if (loaded.samples.empty()) return status.ok();
    loaded.labels = labels;
    data.series.push_back(std::move(loaded));
    return status.ok();
  };
  source_.Select(selector.matchers, data.from, data.to, data.read, visit);
  return status;
}

void Evaluator::DropName(Element& element) const {
  if (options_.delayed_name_removal) {
    element.drop_name = true;
  } else {
    element.labels.Remove(kMetricName);
  }
}

absl::Status Evaluator::CheckUnique(const Vector& vector) const {
  if (vector.size() < 2) return absl::OkStatus();
  absl::flat_hash_map<uint64_t, std::vector<const Labels*>> seen;
  for (const Element& e : vector) {
    std::vector<const Labels*>& same = seen[e.labels.Hash()];
    for (const Labels* other : same)
      if (*other == e.labels)
        return absl::InvalidArgumentError(
            absl::StrCat("vector cannot contain metrics with the same labelset: ", e.labels.ToString()));
    same.push_back(&e.labels);
  }
  return absl::OkStatus();
}

absl::Status Evaluator::Finish(Vector& vector) const {
  for (Element& e : vector)
    if (e.drop_name) e.labels.Remove(kMetricName), e.drop_name = false;
  return CheckUnique(vector);
}

absl::StatusOr<Value> Evaluator::Eval(const Expr& expr, Micros at) {
  switch (expr.kind) {
    case ExprKind::kNumber:
      return ScalarValue(expr.number);
    case ExprKind::kString: {
      Value out;
      out.type = ValueType::kString;
      out.text = expr.text;
      return out;
    }
    case ExprKind::kSelector:
      return EvalSelector(expr, at);
    case ExprKind::kRange:
    case ExprKind::kSubquery: {
      QUELL_ASSIGN_OR_RETURN(RangeArgument argument, EvalRange(expr, at));
      Value out;
      out.type = ValueType::kMatrix;
      for (const RangeView& view : argument.views)
        out.matrix.push_back({*view.labels, {view.samples.begin(), view.samples.end()}, view.drop_name});
      return out;
    }
    case ExprKind::kParen:
      return Eval(*expr.args[0], at);
    case ExprKind::kUnary:
      return EvalUnary(expr, at);
    case ExprKind::kCall:
      return EvalCall(expr, at);
    case ExprKind::kBinary:
      return EvalBinary(*this, expr, at);
    case ExprKind::kAggregate:
      return EvalAggregate(*this, expr, at);
  }
  return absl::InternalError("unknown kind of expression");
}

absl::StatusOr<double> Evaluator::EvalScalar(const Expr& expr, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value value, Eval(expr, at));
  return value.scalar;
}

absl::StatusOr<Value> Evaluator::EvalSelector(const Expr& expr, Micros at) {
  const Micros place = Place(expr, at);
  Vector out;
  for (const Loaded& loaded : data_[&expr].series) {
    const std::span<const Sample> window = Between(loaded.samples, place - options_.lookback, place);
    if (window.empty() || IsStale(window.back().value)) continue;
    const Sample& s = window.back();
    out.push_back({loaded.labels, s.value, s.at, s.at, false});
  }
  QUELL_RETURN_IF_ERROR(Touch(out.size()));
  return VectorValue(std::move(out));
}

absl::StatusOr<RangeArgument> Evaluator::EvalRange(const Expr& wrapped, Micros at) {
  const Expr& expr = Unwrap(wrapped);
  if (expr.kind == ExprKind::kSubquery) return EvalSubquery(expr, at);
  RangeArgument out;
  out.end = Place(*expr.args[0], at);
  out.start = out.end - expr.range;
  uint64_t touched = 0;
  for (const Loaded& loaded : data_[expr.args[0].get()].series) {
    const std::span<const Sample> window = Between(loaded.samples, out.start, out.end);
    if (window.empty()) continue;
    touched += window.size();
    out.views.push_back({&loaded.labels, window, false});
  }
  QUELL_RETURN_IF_ERROR(Touch(touched));
  return out;
}

absl::StatusOr<RangeArgument> Evaluator::EvalSubquery(const Expr& expr, Micros at) {
  RangeArgument out;
  out.end = Place(expr, at);
  out.start = out.end - expr.range;
  const Micros step = expr.step != 0 ? expr.step : options_.subquery_step;
  // Absolute multiples of the step, left-open.
  Micros t = out.start - ((out.start % step) + step) % step + step;
  if (static_cast<uint64_t>((out.end - out.start) / step) > options_.max_steps)
    return absl::ResourceExhaustedError(
        absl::StrCat("subquery has more than ", options_.max_steps, " steps"));
  absl::flat_hash_map<Labels, size_t> places;
  for (; t <= out.end; t += step) {
    QUELL_ASSIGN_OR_RETURN(Value value, Eval(*expr.args[0], t));
    QUELL_RETURN_IF_ERROR(Touch(value.vector.size()));
    for (Element& e : value.vector) {
      auto [it, fresh] = places.emplace(e.labels, out.owned.size());
      if (fresh) out.owned.push_back({std::move(e.labels), {}, false});
      out.owned[it->second].samples.push_back({t, e.value});
      out.owned[it->second].drop_name |= e.drop_name;
    }
  }
  for (const RangeSeries& s : out.owned) out.views.push_back({&s.labels, s.samples, s.drop_name});
  return out;
}

absl::StatusOr<Value> Evaluator::EvalUnary(const Expr& expr, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value value, Eval(*expr.args[0], at));
  if (expr.op == BinaryOp::kAdd) return value;
  value.scalar = -value.scalar;
  for (Element& e : value.vector) {
    e.value = -e.value;
    e.at = at;
    DropName(e);
  }
  if (!options_.delayed_name_removal) QUELL_RETURN_IF_ERROR(CheckUnique(value.vector));
  return value;
}

absl::StatusOr<Value> Evaluator::EvalCall(const Expr& expr, Micros at) {
  if (expr.function->math != nullptr) return EvalMath(expr, at);
  if (expr.function->window != nullptr) return EvalWindow(expr, at);
  return expr.function->body(*this, expr, at);
}

absl::StatusOr<Value> Evaluator::EvalMath(const Expr& expr, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value value, Eval(*expr.args[0], at));
  for (Element& e : value.vector) {
    e.value = expr.function->math(e.value);
    e.at = at;
    DropName(e);
  }
  if (!options_.delayed_name_removal) QUELL_RETURN_IF_ERROR(CheckUnique(value.vector));
  return value;
}

absl::StatusOr<Value> Evaluator::EvalWindow(const Expr& expr, Micros at) {
  Window window;
  const Expr* range = nullptr;
  size_t parameters = 0;
  for (const ExprPtr& arg : expr.args) {
    if (arg->type == ValueType::kMatrix) {
      range = arg.get();
      continue;
    }
    QUELL_ASSIGN_OR_RETURN(window.parameters[parameters++], EvalScalar(*arg, at));
  }
  QUELL_ASSIGN_OR_RETURN(RangeArgument argument, EvalRange(*range, at));
  window.start = argument.start;
  window.end = argument.end;
  window.now = at;
  Vector out;
  for (const RangeView& view : argument.views) {
    window.samples = view.samples;
    const std::optional<double> result = expr.function->window(window);
    if (!result) continue;
    out.push_back({*view.labels, *result, at, view.samples.back().at, view.drop_name});
    if (!expr.function->keeps_name) DropName(out.back());
  }
  if (!options_.delayed_name_removal) QUELL_RETURN_IF_ERROR(CheckUnique(out));
  return VectorValue(std::move(out));
}

namespace {

absl::Status FinishMatrix(const Evaluator& evaluator, std::vector<RangeSeries>& matrix) {
  Vector names;
  for (RangeSeries& s : matrix) {
    if (s.drop_name) s.labels.Remove(kMetricName);
    names.push_back({s.labels, 0, 0, 0, false});
  }
  return evaluator.CheckUnique(names);
}

}  // namespace

absl::StatusOr<Value> Evaluate(const Expr& expr, Micros at, const SeriesSource& source,
                               const EvalOptions& options, EvalStats* stats) {
  Evaluator evaluator(source, options, at, at, 0);
  QUELL_RETURN_IF_ERROR(evaluator.Prepare(expr, at, at));
  QUELL_ASSIGN_OR_RETURN(Value value, evaluator.Eval(expr, at));
  if (stats != nullptr) *stats = evaluator.stats();
  QUELL_RETURN_IF_ERROR(evaluator.Finish(value.vector));
  QUELL_RETURN_IF_ERROR(FinishMatrix(evaluator, value.matrix));
  return value;
}

absl::StatusOr<Value> EvaluateRange(const Expr& expr, Micros start, Micros end, Micros step,
                                    const SeriesSource& source, const EvalOptions& options,
                                    EvalStats* stats) {
  if (expr.type != ValueType::kScalar && expr.type != ValueType::kVector)
    return absl::InvalidArgumentError(absl::StrCat("invalid expression type \"",
                                                   std::string(ValueTypeName(expr.type)),
                                                   "\" for range query, must be scalar or instant vector"));
  if (step <= 0 || end < start)
    return absl::InvalidArgumentError("a range needs a step above 0 and an end after its start");
  if (static_cast<uint64_t>((end - start) / step) >= options.max_steps)
    return absl::ResourceExhaustedError(
        absl::StrCat("range query has more than ", options.max_steps, " steps"));
  Evaluator evaluator(source, options, start, end, step);
  QUELL_RETURN_IF_ERROR(evaluator.Prepare(expr, start, end));
  Value out;
  out.type = ValueType::kMatrix;
  absl::flat_hash_map<Labels, size_t> places;
  for (Micros t = start; t <= end; t += step) {
    QUELL_ASSIGN_OR_RETURN(Value value, evaluator.Eval(expr, t));
    if (expr.type == ValueType::kScalar) value.vector = {Element{Labels(), value.scalar, t, 0, false}};
    QUELL_RETURN_IF_ERROR(evaluator.Finish(value.vector));
    for (Element& e : value.vector) {
      auto [it, fresh] = places.emplace(e.labels, out.matrix.size());
      if (fresh) out.matrix.push_back({std::move(e.labels), {}, false});
      out.matrix[it->second].samples.push_back({t, e.value});
    }
  }
  if (stats != nullptr) *stats = evaluator.stats();
  return out;
}

}  // namespace quell::promql
