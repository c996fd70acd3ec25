#include "controller/rules/watches.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/model/identity.h"
#include "controller/promql/parser.h"
#include "controller/rules/alert_state.h"
#include "controller/rules/sight.h"

namespace quell::rules {
namespace {

using promql::BinaryOp;
using promql::Expr;
using promql::ExprKind;
using promql::ExprPtr;
using promql::SeriesSource;
using promql::ValueType;

// Where truth is asked, a comparison gives 0 or 1 for every element instead of leaving the false ones out:
// every element must be true.
ExprPtr AskTruth(const ExprPtr& expr) {
  const bool paren = expr->kind == ExprKind::kParen;
  if (!paren && expr->kind != ExprKind::kBinary) return expr;
  auto copy = std::make_shared<Expr>(*expr);
  if (paren || promql::IsSetOp(expr->op)) {
    copy->args[0] = AskTruth(expr->args[0]);
    if (!paren && expr->op != BinaryOp::kUnless) copy->args[1] = AskTruth(expr->args[1]);
  } else if (promql::IsComparison(expr->op)) {
    copy->return_bool = true;
  }
  return copy;
}

struct Answer {
  bool holds = false;
  double number = 0;
};

absl::StatusOr<Answer> Truth(const Expr& expr, Micros now, const SeriesSource& source,
                             const promql::EvalOptions& options) {
  if (expr.kind == ExprKind::kParen) return Truth(*expr.args[0], now, source, options);
  if (expr.kind == ExprKind::kBinary && (expr.op == BinaryOp::kAnd || expr.op == BinaryOp::kOr)) {
    QUELL_ASSIGN_OR_RETURN(const Answer left, Truth(*expr.args[0], now, source, options));
    QUELL_ASSIGN_OR_RETURN(const Answer right, Truth(*expr.args[1], now, source, options));
    const bool both = left.holds && right.holds, any = left.holds || right.holds;
    return Answer{expr.op == BinaryOp::kAnd ? both : any, left.holds ? left.number : right.number};
  }
  QUELL_ASSIGN_OR_RETURN(promql::Value value, promql::Evaluate(expr, now, source, options));
  auto is_true = [](double v) { return v != 0 && !std::isnan(v); };
  if (value.type == ValueType::kScalar) return Answer{is_true(value.scalar), value.scalar};
  Answer out{!value.vector.empty(), value.vector.empty() ? 0 : value.vector[0].value};
  for (const promql::Element& e : value.vector) out.holds = out.holds && is_true(e.value);
  return out;
}

// How new and how complete the series are that an expression reads.
struct Freshness {
  // There are samples, every series that has not ended has one that is new enough, and no selector has only
  // series that have ended.
  bool fresh = false;
  Micros sample = 0;  // the oldest of the newest ones
  double filled = 1;
};

class FreshnessCheck {
 public:
  FreshnessCheck(const SeriesSource& source, Micros now, Micros newer_than, Micros lookback)
      : source_(source), now_(now), newer_than_(newer_than), lookback_(lookback) {}

  Freshness Of(const Expr& expr) {
    Walk(expr, 0);
    out_.fresh = found_ && !old_ && !over_;
    return out_;
  }

 private:
  void Walk(const Expr& e, Micros range) {
    if (e.kind == ExprKind::kSelector) return Selector(e, range);
    if (e.kind == ExprKind::kRange || e.kind == ExprKind::kSubquery) range += e.range;
    for (const ExprPtr& arg : e.args) Walk(*arg, range);
  }

  void Selector(const Expr& e, Micros range) {
    bool any = false, live = false;
    source_.Select(e.matchers, now_ - range - lookback_, now_, series::Read::kAll,
                   [&](const Labels&, std::span<const Sample> samples) {
                     any = true;
                     if (IsStale(samples.back().value)) return true;
                     live = true;
                     Take(samples, range);
                     return true;
                   });
    over_ = over_ || (any && !live);
  }

  void Take(std::span<const Sample> samples, Micros range) {
    const Sample& newest = samples.back();
    if (newest.at <= newer_than_) {
      old_ = true;
      return;
    }
    found_ = true;
    out_.sample = out_.sample == 0 ? newest.at : std::min(out_.sample, newest.at);
    if (range == 0) return;
    auto inside =
        std::find_if(samples.begin(), samples.end(), [&](const Sample& s) { return s.at > now_ - range; });
    if (inside != samples.end())
      out_.filled =
          std::min(out_.filled, static_cast<double>(now_ - inside->at) / static_cast<double>(range));
  }

  const SeriesSource& source_;
  const Micros now_, newer_than_, lookback_;
  Freshness out_;
  bool found_ = false, old_ = false, over_ = false;
};

// Could this rule have given a signal with these labels? Its own constant labels say no.
bool CouldGive(const Rule& rule, const Labels& labels) {
  return std::all_of(rule.labels.begin(), rule.labels.end(), [&](const NamedTemplate& label) {
    return !label.second.constant() || labels.Get(label.first) == label.second.Expand(Labels(), 0);
  });
}

struct Verdict {
  v1::WatchEdge::Value value = v1::WatchEdge::NO_DATA;
  double number = 0;
  Micros sample = 0;
  double filled = 0;
};

Verdict JudgeExpr(const ExprPtr& expr, const Labels& scope, const v1::Watch& watch,
                  const SeriesSource& source, Micros now, const promql::EvalOptions& options) {
  const promql::CompatibleSource narrowed(source, scope);
  const Freshness freshness =
      FreshnessCheck(narrowed, now, watch.newer_than_us(), options.lookback).Of(*expr);
  if (!freshness.fresh) return {};
  auto answer = Truth(*expr, now, narrowed, options);
  if (!answer.ok() || !source.complete()) return {};
  return {answer->holds ? v1::WatchEdge::TRUE : v1::WatchEdge::FALSE, answer->number, freshness.sample,
          freshness.filled};
}

// TRUE: this rule does not give the watched signal any more.
Verdict JudgeSignal(const Rule& rule, const RuleSet& rules, const Labels& labels, const v1::Watch& watch,
                    const SeriesSource& source, Micros now, const promql::EvalOptions& options) {
  const Labels scope = ScopeOf(rule, labels);
  const promql::CompatibleSource narrowed(source, scope);
  auto value = promql::Evaluate(*rule.expr, now, rule.host_local ? source : narrowed, options);
  if (!value.ok() || !source.complete()) return {};
  const Freshness freshness =
      FreshnessCheck(narrowed, now, watch.newer_than_us(), options.lookback).Of(*rule.expr);
  for (const promql::Element& element : value->vector) {
    // A global rule that is asked about one host gives other labels: whatever it yields there counts.
    const bool same = SignalKey(rule.name, AlertLabels(rule, element)) == watch.signal_key();
    if (same || (!rule.host_local && !watch.host_id().empty()))
      return {v1::WatchEdge::FALSE, element.value, freshness.sample, freshness.filled};
  }
  if (!freshness.fresh || Sight(source, rules, now, options).Unseen(*rule.expr, scope)) return {};
  return {v1::WatchEdge::TRUE, 0, freshness.sample, freshness.filled};
}

// All must hold; one that can't be told makes the whole unknown, one that is false makes it false.
Verdict Both(const Verdict& a, const Verdict& b) {
  if (a.value == v1::WatchEdge::FALSE) return a;
  if (b.value == v1::WatchEdge::FALSE) return b;
  if (a.value == v1::WatchEdge::NO_DATA) return a;
  return b.value == v1::WatchEdge::NO_DATA || b.sample < a.sample ? b : a;
}

}  // namespace

absl::Status WatchList::Bind(Entry& entry, const RuleSet& rules) {
  entry.rules.clear();
  if (!entry.watch.expr().empty()) {
    auto expr = promql::Parse(entry.watch.expr());
    if (!expr.ok()) return expr.status();
    if ((*expr)->type != ValueType::kVector && (*expr)->type != ValueType::kScalar)
      return absl::InvalidArgumentError("a condition gives an instant vector or a scalar");
    entry.expr = AskTruth(*expr);
    return absl::OkStatus();
  }
  for (const Group& group : rules.groups)
    for (const Rule& rule : group.rules)
      if (rule.alert && rule.name == entry.watch.alert() && CouldGive(rule, entry.labels))
        entry.rules.push_back(&rule);
  return absl::OkStatus();
}

absl::Status WatchList::Set(const v1::Watch& watch, const RuleSet& rules, size_t most) {
  if (watches_.size() >= most && !watches_.contains(watch.id()))
    return absl::ResourceExhaustedError(absl::StrCat("there are ", most, " watches already"));
  Entry entry;
  entry.watch = watch;
  std::vector<Labels::Pair> pairs;
  for (const v1::Label& label : watch.labels()) pairs.emplace_back(label.name(), label.value());
  entry.labels = Labels(std::move(pairs));
  if (!watch.host_id().empty()) {
    if (!watch.host().empty()) entry.scope.Set("instance", watch.host());
    entry.scope.Set("user", entry.labels.Get("user"));
  }
  QUELL_RETURN_IF_ERROR(Bind(entry, rules));
  watches_[watch.id()] = std::move(entry);
  return absl::OkStatus();
}

void WatchList::Reload(const RuleSet& rules) {
  for (auto& [id, entry] : watches_) (void)Bind(entry, rules);  // it was bound before
}

void WatchList::Run(const RuleSet& rules, const std::function<View(const std::string& host_id)>& view,
                    const std::string* host_id, Micros now, const promql::EvalOptions& options,
                    std::vector<v1::Payload>& edges) {
  for (auto it = watches_.begin(); it != watches_.end();) {
    auto current = it++;
    Entry& entry = current->second;
    if (host_id != nullptr && entry.watch.host_id() != *host_id) continue;
    if (entry.watch.until_us() != 0 && now > entry.watch.until_us()) {
      watches_.erase(current);
      continue;
    }
    const View seen = view(entry.watch.host_id());
    Verdict verdict;
    if (seen.source != nullptr && entry.expr != nullptr) {
      verdict = JudgeExpr(entry.expr, entry.scope, entry.watch, *seen.source, now, options);
    } else if (seen.source != nullptr && !entry.rules.empty()) {
      verdict.value = v1::WatchEdge::TRUE;
      verdict.sample = now;
      for (const Rule* rule : entry.rules)
        verdict =
            Both(verdict, JudgeSignal(*rule, rules, entry.labels, entry.watch, *seen.source, now, options));
    }
    if (verdict.value == entry.told) continue;
    entry.told = verdict.value;
    v1::WatchEdge* edge = edges.emplace_back().mutable_watch_edge();
    edge->set_watch(current->first);
    edge->set_value(verdict.value);
    edge->set_number(verdict.number);
    edge->set_sample_us(verdict.sample);
    edge->set_filled(verdict.filled);
  }
}

}  // namespace quell::rules
