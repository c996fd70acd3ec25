// The parser for the whole language of Prometheus 3.x. Pure; any thread.
// What is read but not evaluated here (native histograms, experimental functions) is refused with its place.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "controller/promql/ast.h"

namespace quell::promql {

inline constexpr size_t kExpressionBytes = 64u << 10;
inline constexpr int kExpressionDepth = 200;

struct ParseError {
  int line = 1;    // 1-based, within the expression
  int column = 1;  // 1-based, in bytes
  std::string message;
  std::string ToString() const;  // line:column: message
};

struct Parsed {
  ExprPtr expr;  // null when `error` says why
  ParseError error;
};

Parsed ParseExpression(std::string_view text);
// The same as a status: InvalidArgument with error.ToString().
absl::StatusOr<ExprPtr> Parse(std::string_view text);
// `metric{a="b"}` as labels, for test files and series lines.
absl::StatusOr<Labels> ParseMetric(std::string_view text);

}  // namespace quell::promql
