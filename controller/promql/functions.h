// The functions of PromQL: one table, one row each. Adding one is a row (and its body) and a scenario.
// Constant data, any thread.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/promql/evaluate.h"

namespace quell::promql {

class Evaluator;

// What a function over a window gets: samples without stale markers (at least one), and the window (start,
// end].
struct Window {
  std::span<const Sample> samples;
  Micros start = 0;
  Micros end = 0;
  Micros now = 0;                 // the evaluation's time
  double parameters[2] = {0, 0};  // the scalar arguments, in order
};

using MathBody = double (*)(double);
using WindowBody = std::optional<double> (*)(const Window&);
using CallBody = absl::StatusOr<Value> (*)(Evaluator&, const Expr& call, Micros at);

struct Function {
  std::string_view name;
  std::vector<ValueType> arguments;
  int optional = 0;  // how many of the last may be left out; -1: the last may be repeated or left out
  ValueType result = ValueType::kVector;
  std::string_view sentence;
  MathBody math = nullptr;      // value by value; drops the name
  WindowBody window = nullptr;  // series by series over a range; drops the name unless keeps_name
  CallBody body = nullptr;      // anything else; with none of the three the function is known but refused
  bool keeps_name = false;

  bool supported() const { return math != nullptr || window != nullptr || body != nullptr; }
};

const std::vector<Function>& Functions();
const Function* FindFunction(std::string_view name);  // null when there is no such function

}  // namespace quell::promql
