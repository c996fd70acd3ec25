// The bodies of functions that are more than a line. Internal to the room; the table is in functions.cpp.
#pragma once
#include "controller/promql/evaluator.h"
#include "controller/promql/functions.h"

namespace quell::promql {

// windows.cpp: over the samples of one series
std::optional<double> Rate(const Window& w);
std::optional<double> Increase(const Window& w);
std::optional<double> Delta(const Window& w);
std::optional<double> Irate(const Window& w);
std::optional<double> Idelta(const Window& w);
std::optional<double> AvgOverTime(const Window& w);
std::optional<double> MinOverTime(const Window& w);
std::optional<double> MaxOverTime(const Window& w);
std::optional<double> SumOverTime(const Window& w);
std::optional<double> CountOverTime(const Window& w);
std::optional<double> LastOverTime(const Window& w);
std::optional<double> PresentOverTime(const Window& w);
std::optional<double> StdvarOverTime(const Window& w);
std::optional<double> StddevOverTime(const Window& w);
std::optional<double> QuantileOverTime(const Window& w);
std::optional<double> Changes(const Window& w);
std::optional<double> Resets(const Window& w);
std::optional<double> Deriv(const Window& w);
std::optional<double> PredictLinear(const Window& w);

// calls.cpp: over whole vectors
absl::StatusOr<Value> Time(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> QueryStart(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> QueryEnd(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> QueryStep(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> QueryRange(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Pi(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Timestamp(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> ToVector(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> ToScalar(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Absent(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> AbsentOverTime(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Round(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Clamp(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> ClampMin(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> ClampMax(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> Sort(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> SortDesc(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> DatePart(Evaluator& ev, const Expr& call, Micros at);

// labels.cpp
absl::StatusOr<Value> LabelReplace(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> LabelJoin(Evaluator& ev, const Expr& call, Micros at);

// histogram.cpp
absl::StatusOr<Value> HistogramQuantile(Evaluator& ev, const Expr& call, Micros at);
absl::StatusOr<Value> HistogramFraction(Evaluator& ev, const Expr& call, Micros at);

}  // namespace quell::promql
