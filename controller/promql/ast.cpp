#include "controller/promql/ast.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "controller/promql/functions.h"

namespace quell::promql {
namespace {

bool IsLabelName(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (char c : name)
    if (!(c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))) return false;
  return true;
}

bool IsMetricName(std::string_view name) {
  std::string plain(name);
  for (char& c : plain)
    if (c == ':') c = '_';
  return IsLabelName(plain);
}

std::string LabelText(const std::string& name) { return IsLabelName(name) ? name : QuoteString(name); }

std::string LabelList(const std::vector<std::string>& labels) {
  std::string out = "(";
  for (const std::string& label : labels) {
    if (out.size() > 1) out += ", ";
    out += LabelText(label);
  }
  return out + ")";
}

std::string DurationText(Micros d) { return (d < 0 ? "-" : "") + FormatDuration(d < 0 ? -d : d); }

std::string NumberText(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "Inf" : "-Inf";
  for (int digits = 1; digits < 17; ++digits) {
    std::string text = absl::StrFormat("%.*g", digits, v);
    if (std::stod(text) == v) return text;
  }
  return absl::StrFormat("%.17g", v);
}

std::string Modifiers(const Expr& e) {
  std::string out;
  if (e.at == At::kStart) out += " @ start()";
  if (e.at == At::kEnd) out += " @ end()";
  if (e.at == At::kTime) absl::StrAppendFormat(&out, " @ %.3f", static_cast<double>(e.at_time) / kSecond);
  if (e.offset != 0) out += " offset " + DurationText(e.offset);
  return out;
}

std::string SelectorText(const Expr& e) {
  std::string out = e.text;
  std::string inside;
  for (const series::Matcher& m : e.matchers) {
    if (m.name() == kMetricName && !e.text.empty() && m.op() == series::MatchOp::kEqual) continue;
    if (!inside.empty()) inside += ",";
    inside += LabelText(m.name());
    inside += series::MatchOpText(m.op());
    inside += QuoteString(m.value());
  }
  if (!IsMetricName(e.text) && !e.text.empty()) {
    out.clear();
    inside = QuoteString(e.text) + (inside.empty() ? "" : ",") + inside;
  }
  if (!inside.empty() || e.text.empty()) out += "{" + inside + "}";
  return out;
}

std::string BinaryText(const Expr& e) {
  std::string out = e.args[0]->ToString() + " " + std::string(BinaryOpText(e.op));
  if (e.return_bool) out += " bool";
  if (e.matching.given) out += (e.matching.on ? " on " : " ignoring ") + LabelList(e.matching.labels);
  const Cardinality card = e.matching.cardinality;
  if (card == Cardinality::kManyToOne || card == Cardinality::kOneToMany) {
    out += card == Cardinality::kManyToOne ? " group_left " : " group_right ";
    out += LabelList(e.matching.include);
  }
  return out + " " + e.args[1]->ToString();
}

std::string AggregateText(const Expr& e) {
  std::string out(AggregateOpText(e.aggregate));
  if (e.without || !e.grouping.empty())
    out += (e.without ? " without " : " by ") + LabelList(e.grouping) + " ";
  out += "(";
  if (e.args.size() > 1) out += e.args[1]->ToString() + ", ";
  return out + e.args[0]->ToString() + ")";
}

std::string CallText(const Expr& e) {
  std::string out = std::string(e.function->name) + "(";
  for (size_t i = 0; i < e.args.size(); ++i) out += (i > 0 ? ", " : "") + e.args[i]->ToString();
  return out + ")";
}

}  // namespace

std::string_view ValueTypeName(ValueType type) {
  static constexpr std::string_view kNames[] = {"none", "scalar", "instant vector", "range vector", "string"};
  return kNames[static_cast<size_t>(type)];
}

std::string_view BinaryOpText(BinaryOp op) {
  static constexpr std::string_view kText[] = {
      "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and", "or", "unless"};
  return kText[static_cast<size_t>(op)];
}

std::string_view AggregateOpText(AggregateOp op) {
  static constexpr std::string_view kText[] = {"sum",      "avg",          "min",    "max",        "count",
                                               "group",    "stddev",       "stdvar", "topk",       "bottomk",
                                               "quantile", "count_values", "limitk", "limit_ratio"};
  return kText[static_cast<size_t>(op)];
}

std::string QuoteString(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += absl::StrFormat("\\x%02x", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Expr::ToString() const {
  switch (kind) {
    case ExprKind::kNumber:
      return NumberText(number);
    case ExprKind::kString:
      return QuoteString(text);
    case ExprKind::kSelector:
      return SelectorText(*this) + Modifiers(*this);
    case ExprKind::kRange:
      return SelectorText(*args[0]) + "[" + DurationText(range) + "]" + Modifiers(*args[0]);
    case ExprKind::kSubquery:
      return args[0]->ToString() + "[" + DurationText(range) + ":" + (step == 0 ? "" : DurationText(step)) +
             "]" + Modifiers(*this);
    case ExprKind::kCall:
      return CallText(*this);
    case ExprKind::kUnary:
      return (op == BinaryOp::kSub ? "-" : "+") + args[0]->ToString();
    case ExprKind::kBinary:
      return BinaryText(*this);
    case ExprKind::kAggregate:
      return AggregateText(*this);
    case ExprKind::kParen:
      return "(" + args[0]->ToString() + ")";
  }
  return "";
}

void Selectors(const Expr& expr, std::vector<const Expr*>& out) {
  if (expr.kind == ExprKind::kSelector) out.push_back(&expr);
  for (const ExprPtr& arg : expr.args) Selectors(*arg, out);
}

std::string_view MetricNameOf(const Expr& selector) {
  return series::EqualValue(selector.matchers, kMetricName);
}

}  // namespace quell::promql
