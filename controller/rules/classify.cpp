#include "controller/rules/classify.h"

#include <algorithm>

#include "controller/promql/functions.h"

namespace quell::rules {
namespace {

using promql::Expr;
using promql::ExprKind;
using promql::ExprPtr;
using promql::ValueType;

constexpr std::string_view kInstance = "instance";

bool Names(const std::vector<std::string>& labels) {
  return std::find(labels.begin(), labels.end(), kInstance) != labels.end();
}

bool KeepsInstance(const Expr& e);

bool BinaryKeeps(const Expr& e) {
  const Expr &left = *e.args[0], &right = *e.args[1];
  if (!KeepsInstance(left) || !KeepsInstance(right)) return false;
  if (left.type != ValueType::kVector || right.type != ValueType::kVector) return true;
  return e.matching.on == Names(e.matching.labels);
}

bool CallKeeps(const Expr& e) {
  const std::string_view name = e.function->name;
  if (name == "absent" || name == "absent_over_time" || name == "vector" || name == "scalar") return false;
  // A date without an argument is a vector without labels.
  if (e.args.empty() && e.type == ValueType::kVector) return false;
  if (name == "label_replace" || name == "label_join") {
    const Expr* target = e.args[1].get();
    while (target->kind == ExprKind::kParen) target = target->args[0].get();
    if (target->text == kInstance) return false;
  }
  return std::all_of(e.args.begin(), e.args.end(), [](const ExprPtr& a) { return KeepsInstance(*a); });
}

// A scalar that comes from no series harms nothing; a vector must keep the label of each of its series.
bool KeepsInstance(const Expr& e) {
  switch (e.kind) {
    case ExprKind::kNumber:
    case ExprKind::kString:
    case ExprKind::kSelector:
    case ExprKind::kRange:
      return true;
    case ExprKind::kCall:
      return CallKeeps(e);
    case ExprKind::kBinary:
      return BinaryKeeps(e);
    case ExprKind::kAggregate:
      if (e.aggregate == promql::AggregateOp::kCountValues && e.args[1]->text == kInstance) return false;
      if (Names(e.grouping) == e.without) return false;
      return std::all_of(e.args.begin(), e.args.end(), [](const ExprPtr& a) { return KeepsInstance(*a); });
    default:
      return KeepsInstance(*e.args[0]);
  }
}

class Reader {
 public:
  Reader(Rule& rule, Micros lookback, series::Retention& retention)
      : rule_(rule), lookback_(lookback), retention_(retention) {}

  // `outer`: how far back the expressions around this one go.
  void Read(const Expr& e, Micros outer, bool subquery) {
    if (e.kind == ExprKind::kSelector) return Selector(e, outer + lookback_, !subquery);
    if (e.kind == ExprKind::kRange) return Selector(*e.args[0], outer + e.range + lookback_, false);
    if (e.kind == ExprKind::kSubquery) {
      outer += e.range + std::max<Micros>(e.offset, 0);
      subquery = true;
    }
    for (const ExprPtr& arg : e.args) Read(*arg, outer, subquery);
  }

 private:
  void Selector(const Expr& e, Micros window, bool instant) {
    window += std::max<Micros>(e.offset, 0);
    const std::string name(promql::MetricNameOf(e));
    rule_.metrics.insert(name);
    if (instant && e.offset == 0) rule_.instant.insert(name);
    rule_.window = std::max(rule_.window, window);
    if (name.empty()) {
      retention_.NeedAll(window);
    } else {
      retention_.Need(name, window);
    }
  }

  Rule& rule_;
  const Micros lookback_;
  series::Retention& retention_;
};

}  // namespace

bool IsHostLocal(const Expr& expr) {
  std::vector<const Expr*> selectors;
  promql::Selectors(expr, selectors);
  return !selectors.empty() && expr.type == ValueType::kVector && KeepsInstance(expr);
}

void Classify(Rule& rule, Micros lookback, series::Retention& retention) {
  Reader(rule, lookback, retention).Read(*rule.expr, 0, false);
  rule.host_local = IsHostLocal(*rule.expr);
}

}  // namespace quell::rules
