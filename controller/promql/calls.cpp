// Functions over whole vectors.
#include <algorithm>
#include <cmath>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "controller/promql/bodies.h"

namespace quell::promql {
namespace {

Value Scalar(double v) {
  Value out;
  out.type = ValueType::kScalar;
  out.scalar = v;
  return out;
}

Value Vectors(Vector vector) {
  Value out;
  out.type = ValueType::kVector;
  out.vector = std::move(vector);
  return out;
}

// Applies `f` to each value; the name goes.
template <typename F>
absl::StatusOr<Value> Map(Evaluator& ev, const Expr& argument, Micros at, F f) {
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(argument, at));
  for (Element& e : value.vector) {
    e.value = f(e);
    e.at = at;
    ev.DropName(e);
  }
  if (!ev.options().delayed_name_removal) QUELL_RETURN_IF_ERROR(ev.CheckUnique(value.vector));
  return value;
}

// Labels that an absent series would have: from = matchers of a plain selector; a name that is matched twice
// or otherwise does not count.
Labels AbsentLabels(const Expr& argument) {
  const Expr& expr = Unwrap(argument);
  const Expr* selector = expr.kind == ExprKind::kSelector ? &expr
                         : expr.kind == ExprKind::kRange  ? expr.args[0].get()
                                                          : nullptr;
  Labels out;
  if (selector == nullptr) return out;
  for (const series::Matcher& m : selector->matchers) {
    if (m.name() == kMetricName) continue;
    const auto same = std::count_if(selector->matchers.begin(), selector->matchers.end(),
                                    [&m](const series::Matcher& other) { return other.name() == m.name(); });
    if (m.op() == series::MatchOp::kEqual && same == 1) out.Set(m.name(), m.value());
  }
  return out;
}

Value AbsentValue(const Expr& call, bool absent, Micros at) {
  if (!absent) return Vectors({});
  return Vectors({Element{AbsentLabels(*call.args[0]), 1, at, 0, false}});
}

absl::StatusOr<Value> SortBy(Evaluator& ev, const Expr& call, Micros at, bool ascending) {
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(*call.args[0], at));
  std::stable_sort(value.vector.begin(), value.vector.end(), [ascending](const Element& a, const Element& b) {
    if (std::isnan(a.value) || std::isnan(b.value)) return !std::isnan(a.value) && std::isnan(b.value);
    return ascending ? a.value < b.value : a.value > b.value;
  });
  return value;
}

double PartOf(std::string_view part, double seconds) {
  if (!std::isfinite(seconds) || std::fabs(seconds) > 1e17) return OrdinaryNan();
  const absl::Time time = absl::FromUnixSeconds(static_cast<int64_t>(std::floor(seconds)));
  const absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  if (part == "year") return static_cast<double>(civil.year());
  if (part == "month") return civil.month();
  if (part == "hour") return civil.hour();
  if (part == "minute") return civil.minute();
  if (part == "day_of_month") return civil.day();
  if (part == "day_of_year") return absl::GetYearDay(absl::CivilDay(civil));
  if (part == "day_of_week") return (static_cast<int>(absl::GetWeekday(absl::CivilDay(civil))) + 1) % 7;
  const absl::CivilMonth month(civil);
  return static_cast<double>(absl::CivilDay(month + 1) - absl::CivilDay(month));
}

}  // namespace

absl::StatusOr<Value> Time(Evaluator&, const Expr&, Micros at) {
  return Scalar(static_cast<double>(at) / kSecond);
}
absl::StatusOr<Value> QueryStart(Evaluator& ev, const Expr&, Micros) {
  return Scalar(static_cast<double>(ev.start()) / kSecond);
}
absl::StatusOr<Value> QueryEnd(Evaluator& ev, const Expr&, Micros) {
  return Scalar(static_cast<double>(ev.end()) / kSecond);
}
absl::StatusOr<Value> QueryStep(Evaluator& ev, const Expr&, Micros) {
  return Scalar(static_cast<double>(ev.step()) / kSecond);
}
absl::StatusOr<Value> QueryRange(Evaluator& ev, const Expr&, Micros) {
  return Scalar(static_cast<double>(ev.end() - ev.start()) / kSecond);
}
absl::StatusOr<Value> Pi(Evaluator&, const Expr&, Micros) { return Scalar(M_PI); }

absl::StatusOr<Value> Timestamp(Evaluator& ev, const Expr& call, Micros at) {
  const bool plain = Unwrap(*call.args[0]).kind == ExprKind::kSelector;
  return Map(ev, *call.args[0], at,
             [plain, at](const Element& e) { return static_cast<double>(plain ? e.at : at) / kSecond; });
}

absl::StatusOr<Value> ToVector(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double v, ev.EvalScalar(*call.args[0], at));
  return Vectors({Element{Labels(), v, at, 0, false}});
}

absl::StatusOr<Value> ToScalar(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(*call.args[0], at));
  return Scalar(value.vector.size() == 1 ? value.vector[0].value : OrdinaryNan());
}

absl::StatusOr<Value> Absent(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(*call.args[0], at));
  return AbsentValue(call, value.vector.empty(), at);
}

absl::StatusOr<Value> AbsentOverTime(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(RangeArgument argument, ev.EvalRange(*call.args[0], at));
  return AbsentValue(call, argument.views.empty(), at);
}

absl::StatusOr<Value> Round(Evaluator& ev, const Expr& call, Micros at) {
  double nearest = 1;
  if (call.args.size() > 1) {
    QUELL_ASSIGN_OR_RETURN(nearest, ev.EvalScalar(*call.args[1], at));
  }
  // Multiplication by the inverse gives the same digits as the original.
  const double inverse = 1 / nearest;
  return Map(ev, *call.args[0], at,
             [inverse](const Element& e) { return std::floor(e.value * inverse + 0.5) / inverse; });
}

namespace {

double Least(double v, double least) {
  return std::isnan(v) || std::isnan(least) ? OrdinaryNan() : std::max(v, least);
}
double Most(double v, double most) {
  return std::isnan(v) || std::isnan(most) ? OrdinaryNan() : std::min(v, most);
}

}  // namespace

absl::StatusOr<Value> Clamp(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double least, ev.EvalScalar(*call.args[1], at));
  QUELL_ASSIGN_OR_RETURN(const double most, ev.EvalScalar(*call.args[2], at));
  if (most < least) return Vectors({});
  return Map(ev, *call.args[0], at,
             [least, most](const Element& e) { return Least(Most(e.value, most), least); });
}

absl::StatusOr<Value> ClampMin(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double least, ev.EvalScalar(*call.args[1], at));
  return Map(ev, *call.args[0], at, [least](const Element& e) { return Least(e.value, least); });
}

absl::StatusOr<Value> ClampMax(Evaluator& ev, const Expr& call, Micros at) {
  QUELL_ASSIGN_OR_RETURN(const double most, ev.EvalScalar(*call.args[1], at));
  return Map(ev, *call.args[0], at, [most](const Element& e) { return Most(e.value, most); });
}

absl::StatusOr<Value> Sort(Evaluator& ev, const Expr& call, Micros at) { return SortBy(ev, call, at, true); }
absl::StatusOr<Value> SortDesc(Evaluator& ev, const Expr& call, Micros at) {
  return SortBy(ev, call, at, false);
}

absl::StatusOr<Value> DatePart(Evaluator& ev, const Expr& call, Micros at) {
  const std::string_view part = call.function->name;
  if (call.args.empty())
    return Vectors({Element{Labels(), PartOf(part, static_cast<double>(at) / kSecond), at, 0, false}});
  return Map(ev, *call.args[0], at, [part](const Element& e) { return PartOf(part, e.value); });
}

}  // namespace quell::promql
