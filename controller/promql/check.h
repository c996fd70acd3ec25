// What a node may be made of: types of operands and arguments. Internal to the parser.
#pragma once
#include <optional>
#include <string>

#include "controller/promql/ast.h"

namespace quell::promql {

struct Mistake {
  size_t at = 0;  // byte in the text
  std::string message;
};

// Sets the node's type; says what is wrong with it. Its parts have been checked.
std::optional<Mistake> Check(Expr& expr);

}  // namespace quell::promql
