#include "controller/promql/check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/promql/functions.h"

namespace quell::promql {
namespace {

std::string Name(ValueType type) { return std::string(ValueTypeName(type)); }

std::optional<Mistake> CheckSelector(Expr& e) {
  e.type = ValueType::kVector;
  for (const series::Matcher& m : e.matchers)
    if (!m.MatchesEmpty()) return std::nullopt;
  return Mistake{e.start, "vector selector must contain at least one non-empty matcher"};
}

std::optional<Mistake> CheckUnary(Expr& e) {
  e.type = e.args[0]->type;
  if (e.type == ValueType::kScalar || e.type == ValueType::kVector) return std::nullopt;
  return Mistake{
      e.start,
      absl::StrCat("unary expression only allowed on expressions of type scalar or instant vector, got \"",
                   Name(e.type), "\"")};
}

std::optional<Mistake> CheckBinary(Expr& e) {
  const ValueType left = e.args[0]->type, right = e.args[1]->type;
  for (const ExprPtr& arg : e.args)
    if (arg->type != ValueType::kScalar && arg->type != ValueType::kVector)
      return Mistake{arg->start, "binary expression must contain only scalar and instant vector types"};
  const bool scalars = left == ValueType::kScalar && right == ValueType::kScalar;
  e.type = scalars ? ValueType::kScalar : ValueType::kVector;
  if (IsComparison(e.op) && scalars && !e.return_bool)
    return Mistake{e.start, "comparisons between scalars must use BOOL modifier"};
  if (left == ValueType::kVector && right == ValueType::kVector) return std::nullopt;
  if (IsSetOp(e.op))
    return Mistake{e.start, absl::StrCat("set operator \"", std::string(BinaryOpText(e.op)),
                                         "\" not allowed in binary scalar expression")};
  if (e.matching.given && (!e.matching.labels.empty() || e.matching.cardinality != Cardinality::kOneToOne))
    return Mistake{e.start, "vector matching only allowed between instant vectors"};
  return std::nullopt;
}

std::optional<Mistake> CheckAggregate(Expr& e) {
  e.type = ValueType::kVector;
  if (e.args[0]->type != ValueType::kVector)
    return Mistake{
        e.args[0]->start,
        absl::StrCat("expected type instant vector in aggregation expression, got ", Name(e.args[0]->type))};
  if (e.args.size() == 1) return std::nullopt;
  const ValueType wanted = e.aggregate == AggregateOp::kCountValues ? ValueType::kString : ValueType::kScalar;
  if (e.args[1]->type == wanted) return std::nullopt;
  return Mistake{e.args[1]->start, absl::StrCat("expected type ", Name(wanted),
                                                " in aggregation parameter, got ", Name(e.args[1]->type))};
}

std::optional<Mistake> CheckCount(const Expr& e) {
  const Function& f = *e.function;
  const size_t most = f.arguments.size(), given = e.args.size();
  const size_t least = f.optional < 0 ? most - 1 : most - static_cast<size_t>(f.optional);
  if (given < least) {
    const char* what = f.optional == 0 ? "expected " : "expected at least ";
    return Mistake{e.start, absl::StrCat(what, least, " argument(s) in call to \"", std::string(f.name),
                                         "\", got ", given)};
  }
  if (given > most && f.optional >= 0) {
    const char* what = f.optional == 0 ? "expected " : "expected at most ";
    return Mistake{e.start, absl::StrCat(what, most, " argument(s) in call to \"", std::string(f.name),
                                         "\", got ", given)};
  }
  return std::nullopt;
}

std::optional<Mistake> CheckCall(Expr& e) {
  const Function& f = *e.function;
  e.type = f.result;
  if (std::optional<Mistake> mistake = CheckCount(e)) return mistake;
  for (size_t i = 0; i < e.args.size(); ++i) {
    const ValueType wanted = f.arguments[std::min(i, f.arguments.size() - 1)];
    if (e.args[i]->type != wanted)
      return Mistake{e.args[i]->start, absl::StrCat("expected type ", Name(wanted), " in call to function \"",
                                                    std::string(f.name), "\", got ", Name(e.args[i]->type))};
  }
  if (f.name != "label_replace") return std::nullopt;
  const Expr* pattern = e.args[4].get();
  while (pattern->kind == ExprKind::kParen) pattern = pattern->args[0].get();
  auto regex = series::CompileRegex(pattern->text);
  if (!regex.ok()) return Mistake{pattern->start, std::string(regex.status().message())};
  e.regex = *std::move(regex);
  return std::nullopt;
}

}  // namespace

std::optional<Mistake> Check(Expr& e) {
  switch (e.kind) {
    case ExprKind::kNumber:
      e.type = ValueType::kScalar;
      return std::nullopt;
    case ExprKind::kString:
      e.type = ValueType::kString;
      return std::nullopt;
    case ExprKind::kSelector:
      return CheckSelector(e);
    case ExprKind::kRange:
      e.type = ValueType::kMatrix;
      return std::nullopt;
    case ExprKind::kSubquery:
      e.type = ValueType::kMatrix;
      if (e.args[0]->type == ValueType::kVector) return std::nullopt;
      return Mistake{e.start,
                     absl::StrCat("subquery is only allowed on instant vector, got ", Name(e.args[0]->type))};
    case ExprKind::kCall:
      return CheckCall(e);
    case ExprKind::kUnary:
      return CheckUnary(e);
    case ExprKind::kBinary:
      return CheckBinary(e);
    case ExprKind::kAggregate:
      return CheckAggregate(e);
    case ExprKind::kParen:
      e.type = e.args[0]->type;
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace quell::promql
