// Evaluation of an expression at an explicit time over a SeriesSource. Pure: no clock, no state between
// calls. Called by any thread that may read the source.
//
// Semantics are those of Prometheus 3.x: windows are open on the left, the newest sample within `lookback`
// counts, a stale marker ends a series, equal label sets in one result are an error.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/labels.h"
#include "common/model/sample.h"
#include "controller/promql/ast.h"
#include "controller/promql/source.h"

namespace quell::promql {

struct EvalOptions {
  Micros lookback = 5 * kMinute;
  Micros subquery_step = kMinute;  // the default step: the global evaluation interval
  bool delayed_name_removal = false;
  // Bounds; over one of them the evaluation ends with ResourceExhausted.
  uint64_t max_samples = 5'000'000;
  uint64_t max_series = 200'000;
  uint64_t max_steps = 11'000;
};

struct Element {
  Labels labels;
  double value = 0;
  Micros at = 0;      // time of the sample it was read from, or of the evaluation
  Micros newest = 0;  // newest sample that went into it; 0: none did
  bool drop_name = false;
};
using Vector = std::vector<Element>;

struct RangeSeries {
  Labels labels;
  std::vector<Sample> samples;
  bool drop_name = false;
};

struct Value {
  ValueType type = ValueType::kNone;
  double scalar = 0;
  std::string text;
  Vector vector;
  std::vector<RangeSeries> matrix;
};

struct EvalStats {
  uint64_t samples = 0;
  uint64_t series = 0;
  Micros newest = 0;  // newest sample read; 0: none
};

absl::StatusOr<Value> Evaluate(const Expr& expr, Micros at, const SeriesSource& source,
                               const EvalOptions& options = {}, EvalStats* stats = nullptr);
// One vector per step, joined by labels: always a matrix (a scalar is a series without labels).
absl::StatusOr<Value> EvaluateRange(const Expr& expr, Micros start, Micros end, Micros step,
                                    const SeriesSource& source, const EvalOptions& options = {},
                                    EvalStats* stats = nullptr);

}  // namespace quell::promql
