// Binary operators: arithmetic, comparison, set operators, and the matching of two vectors.
#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "controller/promql/evaluator.h"

namespace quell::promql {
namespace {

struct Outcome {
  double value;
  bool keep = true;  // of a comparison
};

Outcome Apply(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return {a + b};
    case BinaryOp::kSub:
      return {a - b};
    case BinaryOp::kMul:
      return {a * b};
    case BinaryOp::kDiv:
      return {a / b};
    case BinaryOp::kMod:
      return {std::fmod(a, b)};
    case BinaryOp::kPow:
      return {std::pow(a, b)};
    case BinaryOp::kAtan2:
      return {std::atan2(a, b)};
    case BinaryOp::kEqual:
      return {a, a == b};
    case BinaryOp::kNotEqual:
      return {a, a != b};
    case BinaryOp::kLess:
      return {a, a < b};
    case BinaryOp::kLessEqual:
      return {a, a <= b};
    case BinaryOp::kGreater:
      return {a, a > b};
    case BinaryOp::kGreaterEqual:
      return {a, a >= b};
    default:
      return {a};
  }
}

bool DropsName(const Expr& e) { return !IsComparison(e.op) || e.return_bool; }

bool Named(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The labels that two elements must share, as one key.
std::string Signature(const Matching& matching, const Labels& labels) {
  std::string key;
  for (const auto& [name, value] : labels) {
    const bool counts =
        matching.on ? Named(matching.labels, name) : name != kMetricName && !Named(matching.labels, name);
    if (counts)
      absl::StrAppend(&key, name, absl::string_view("\xff", 1), value, absl::string_view("\xff", 1));
  }
  return key;
}

std::string GroupText(const Matching& matching, const Labels& labels) {
  std::vector<Labels::Pair> pairs;
  for (const Labels::Pair& pair : labels)
    if (matching.on ? Named(matching.labels, pair.first)
                    : pair.first != kMetricName && !Named(matching.labels, pair.first))
      pairs.push_back(pair);
  return Labels(std::move(pairs)).ToString();
}

Labels ResultLabels(const Expr& e, const Labels& many, const Labels& one) {
  const Matching& matching = e.matching;
  std::vector<Labels::Pair> kept;
  for (const Labels::Pair& pair : many) {
    if (matching.cardinality == Cardinality::kOneToOne && Named(matching.labels, pair.first) != matching.on)
      continue;
    if (!IsComparison(e.op) && pair.first == kMetricName) continue;
    kept.push_back(pair);
  }
  Labels labels(std::move(kept));
  for (const std::string& name : matching.include) labels.Set(name, one.Get(name));
  return labels;
}

class VectorMatch {
 public:
  VectorMatch(const Evaluator& evaluator, const Expr& e, Micros at) : evaluator_(evaluator), e_(e), at_(at) {}

  absl::StatusOr<Vector> Run(Vector left, Vector right) {
    if (left.empty() || right.empty()) return Vector();
    swapped_ = e_.matching.cardinality == Cardinality::kOneToMany;
    if (swapped_) std::swap(left, right);
    QUELL_RETURN_IF_ERROR(IndexOne(right));
    Vector out;
    for (const Element& many : left) QUELL_RETURN_IF_ERROR(Match(many, out));
    return out;
  }

 private:
  absl::Status IndexOne(const Vector& one) {
    for (const Element& element : one) {
      auto [it, fresh] = one_.emplace(Signature(e_.matching, element.labels), &element);
      if (fresh) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("found duplicate series for the match group ", GroupText(e_.matching, element.labels),
                       " on the ", swapped_ ? "left" : "right", " hand-side of the operation: [",
                       element.labels.ToString(), ", ", it->second->labels.ToString(),
                       "];many-to-many matching not allowed: matching labels must be unique on one side"));
    }
    return absl::OkStatus();
  }

  absl::Status Match(const Element& many, Vector& out) {
    const std::string signature = Signature(e_.matching, many.labels);
    auto found = one_.find(signature);
    if (found == one_.end()) return absl::OkStatus();
    const Element& one = *found->second;
    Outcome outcome = swapped_ ? Apply(e_.op, one.value, many.value) : Apply(e_.op, many.value, one.value);
    if (e_.matching.cardinality == Cardinality::kOneToOne && !matched_.insert(signature).second)
      return absl::InvalidArgumentError(
          "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)");
    if (e_.return_bool) outcome = {outcome.keep ? 1.0 : 0.0};
    if (!outcome.keep) return absl::OkStatus();
    Element result{ResultLabels(e_, many.labels, one.labels), outcome.value, at_,
                   std::max(many.newest, one.newest), many.drop_name};
    if (e_.matching.cardinality != Cardinality::kOneToOne &&
        !grouped_.insert(signature + "\xfe" + result.labels.ToString()).second)
      return absl::InvalidArgumentError(
          "multiple matches for labels: grouping labels must ensure unique matches");
    if (DropsName(e_)) evaluator_.DropName(result);
    out.push_back(std::move(result));
    return absl::OkStatus();
  }

  const Evaluator& evaluator_;
  const Expr& e_;
  const Micros at_;
  bool swapped_ = false;
  absl::flat_hash_map<std::string, const Element*> one_;
  absl::flat_hash_set<std::string> matched_, grouped_;
};

Vector SetOperation(const Expr& e, Vector left, Vector right) {
  absl::flat_hash_set<std::string> signatures;
  if (e.op == BinaryOp::kOr) {
    for (const Element& element : left) signatures.insert(Signature(e.matching, element.labels));
    for (Element& element : right)
      if (!signatures.contains(Signature(e.matching, element.labels))) left.push_back(std::move(element));
    return left;
  }
  for (const Element& element : right) signatures.insert(Signature(e.matching, element.labels));
  const bool wanted = e.op == BinaryOp::kAnd;
  std::erase_if(left, [&](const Element& element) {
    return signatures.contains(Signature(e.matching, element.labels)) != wanted;
  });
  return left;
}

Vector WithScalar(const Evaluator& evaluator, const Expr& e, Vector vector, double scalar, bool scalar_left,
                  Micros at) {
  Vector out;
  for (Element& element : vector) {
    Outcome outcome = scalar_left ? Apply(e.op, scalar, element.value) : Apply(e.op, element.value, scalar);
    if (IsComparison(e.op) && !e.return_bool) outcome.value = element.value;
    if (e.return_bool) outcome = {outcome.keep ? 1.0 : 0.0};
    if (!outcome.keep) continue;
    element.value = outcome.value;
    element.at = at;
    if (DropsName(e)) evaluator.DropName(element);
    out.push_back(std::move(element));
  }
  return out;
}

}  // namespace

absl::StatusOr<Value> EvalBinary(Evaluator& evaluator, const Expr& e, Micros at) {
  QUELL_ASSIGN_OR_RETURN(Value left, evaluator.Eval(*e.args[0], at));
  QUELL_ASSIGN_OR_RETURN(Value right, evaluator.Eval(*e.args[1], at));
  Value out;
  out.type = e.type;
  if (e.type == ValueType::kScalar) {
    const Outcome outcome = Apply(e.op, left.scalar, right.scalar);
    out.scalar = e.return_bool ? (outcome.keep ? 1 : 0) : outcome.value;
    return out;
  }
  if (left.type == ValueType::kScalar) {
    out.vector = WithScalar(evaluator, e, std::move(right.vector), left.scalar, true, at);
  } else if (right.type == ValueType::kScalar) {
    out.vector = WithScalar(evaluator, e, std::move(left.vector), right.scalar, false, at);
  } else if (IsSetOp(e.op)) {
    out.vector = SetOperation(e, std::move(left.vector), std::move(right.vector));
  } else {
    QUELL_ASSIGN_OR_RETURN(
        out.vector, VectorMatch(evaluator, e, at).Run(std::move(left.vector), std::move(right.vector)));
  }
  if (!evaluator.options().delayed_name_removal) QUELL_RETURN_IF_ERROR(evaluator.CheckUnique(out.vector));
  return out;
}

}  // namespace quell::promql
