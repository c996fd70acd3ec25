// Evaluator: one query under way. Reads each selector once, for all the times that the query will ask of it.
// Internal to the room; lives for one call of Evaluate or EvaluateRange, on one thread.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "controller/promql/evaluate.h"

namespace quell::promql {

// A range argument at one time: series with their samples in (start, end], stale markers left out.
struct RangeView {
  const Labels* labels = nullptr;
  std::span<const Sample> samples;
  bool drop_name = false;
};
struct RangeArgument {
  Micros start = 0;
  Micros end = 0;
  std::vector<RangeView> views;
  std::vector<RangeSeries> owned;  // what the views of a subquery point into
};

class Evaluator {
 public:
  Evaluator(const SeriesSource& source, const EvalOptions& options, Micros start, Micros end, Micros step)
      : source_(source), options_(options), start_(start), end_(end), step_(step) {}

  // Works out what every selector will be asked for between two times, then reads it.
  absl::Status Prepare(const Expr& expr, Micros from, Micros to);
  absl::StatusOr<Value> Eval(const Expr& expr, Micros at);
  absl::StatusOr<RangeArgument> EvalRange(const Expr& expr, Micros at);
  absl::StatusOr<double> EvalScalar(const Expr& expr, Micros at);
  // Names that are to go, go; equal label sets are an error.
  absl::Status Finish(Vector& vector) const;

  // Marks the name for removal, or removes it.
  void DropName(Element& element) const;
  absl::Status CheckUnique(const Vector& vector) const;
  absl::Status Touch(uint64_t samples);
  Micros start() const { return start_; }
  Micros end() const { return end_; }
  Micros step() const { return step_; }  // 0 of an instant query
  const EvalOptions& options() const { return options_; }
  const EvalStats& stats() const { return stats_; }

 private:
  struct Loaded {
    Labels labels;
    std::vector<Sample> samples;
  };
  struct SelectorData {
    Micros from = 0, to = 0;
    bool range = false;
    series::Read read = series::Read::kAll;
    std::vector<Loaded> series;
  };
  Micros Place(const Expr& selector, Micros at) const;  // after @ and offset
  void Plan(const Expr& expr, Micros from, Micros to);
  void PlanSelector(const Expr& selector, Micros from, Micros to, Micros window, bool range);
  absl::Status Load(const Expr& selector, SelectorData& data);
  absl::StatusOr<Value> EvalSelector(const Expr& expr, Micros at);
  absl::StatusOr<Value> EvalUnary(const Expr& expr, Micros at);
  absl::StatusOr<Value> EvalCall(const Expr& expr, Micros at);
  absl::StatusOr<Value> EvalMath(const Expr& expr, Micros at);
  absl::StatusOr<Value> EvalWindow(const Expr& expr, Micros at);
  absl::StatusOr<RangeArgument> EvalSubquery(const Expr& expr, Micros at);

  const SeriesSource& source_;
  const EvalOptions& options_;
  const Micros start_, end_, step_;
  absl::flat_hash_map<const Expr*, SelectorData> data_;
  EvalStats stats_;
};

// binary.cpp, aggregate.cpp
absl::StatusOr<Value> EvalBinary(Evaluator& evaluator, const Expr& expr, Micros at);
absl::StatusOr<Value> EvalAggregate(Evaluator& evaluator, const Expr& expr, Micros at);

// The node behind any parentheses.
const Expr& Unwrap(const Expr& expr);

// Compensated summation (Kahan, as improved by Neumaier: ZAMM 54, 1974).
struct CompensatedSum {
  double sum = 0;
  double correction = 0;
  void Add(double value);
  double Total() const { return sum + correction; }
};

// A mean that is a sum until the sum would overflow, and incremental from there.
struct CompensatedMean {
  double count = 0;
  CompensatedSum sum;
  bool incremental = false;
  void Add(double value);
  double Total() const;
};

// The q-quantile of values by linear interpolation between closest ranks; sorts them. NaN when empty.
double QuantileOf(double q, std::vector<double>& values);

}  // namespace quell::promql
