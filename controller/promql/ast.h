// The parsed form of a PromQL expression. Immutable once parsed; any thread.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"
#include "controller/series/matcher.h"

namespace quell::promql {

struct Function;  // functions.h

enum class ValueType { kNone, kScalar, kVector, kMatrix, kString };
std::string_view ValueTypeName(ValueType type);  // "scalar", "instant vector", "range vector", "string"

enum class ExprKind {
  kNumber,
  kString,
  kSelector,
  kRange,
  kSubquery,
  kCall,
  kUnary,
  kBinary,
  kAggregate,
  kParen
};

enum class BinaryOp {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kAtan2,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAnd,
  kOr,
  kUnless,
};
std::string_view BinaryOpText(BinaryOp op);
inline bool IsComparison(BinaryOp op) { return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterEqual; }
inline bool IsSetOp(BinaryOp op) { return op >= BinaryOp::kAnd; }

enum class AggregateOp {
  kSum,
  kAvg,
  kMin,
  kMax,
  kCount,
  kGroup,
  kStddev,
  kStdvar,
  kTopk,
  kBottomk,
  kQuantile,
  kCountValues,
  kLimitk,
  kLimitRatio,
};
std::string_view AggregateOpText(AggregateOp op);

enum class Cardinality { kOneToOne, kManyToOne, kOneToMany, kManyToMany };

struct Matching {
  bool given = false;  // on() or ignoring() was written
  bool on = false;
  std::vector<std::string> labels;
  Cardinality cardinality = Cardinality::kOneToOne;
  std::vector<std::string> include;  // of group_left / group_right
};

enum class At { kNone, kTime, kStart, kEnd };

struct Expr;
using ExprPtr = std::shared_ptr<const Expr>;  // shared: rules, watches and queries hold parts of one tree

// One node; which fields count depends on `kind`.
struct Expr {
  ExprKind kind = ExprKind::kNumber;
  ValueType type = ValueType::kNone;
  size_t start = 0, end = 0;  // byte range in the text

  double number = 0;  // kNumber
  std::string text;   // kString: the value; kSelector: the metric name as written

  series::Matchers matchers;  // kSelector, the name included
  Micros range = 0;           // kRange, kSubquery: length of the window
  Micros step = 0;            // kSubquery; 0: the default
  Micros offset = 0;          // kSelector, kSubquery
  At at = At::kNone;
  Micros at_time = 0;

  BinaryOp op = BinaryOp::kAdd;  // kBinary; kUnary: kAdd or kSub
  bool return_bool = false;
  Matching matching;

  AggregateOp aggregate = AggregateOp::kSum;
  bool without = false;
  std::vector<std::string> grouping;

  const Function* function = nullptr;     // kCall; a row of a constant table
  std::shared_ptr<const re2::RE2> regex;  // kCall of label_replace: its pattern, compiled once

  // kRange: its selector; kSubquery, kUnary, kParen: one; kBinary: two; kCall: the arguments;
  // kAggregate: the vector, then the parameter if there is one.
  std::vector<ExprPtr> args;

  std::string ToString() const;
};

// Every selector of a tree, in order.
void Selectors(const Expr& expr, std::vector<const Expr*>& out);
std::string_view MetricNameOf(const Expr& selector);  // "" when it isn't one name
std::string QuoteString(std::string_view text);

}  // namespace quell::promql
