#include "controller/rules/sight.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace quell::rules {
namespace {

using promql::BinaryOp;
using promql::Expr;
using promql::ExprKind;
using promql::ExprPtr;
using series::Matcher;
using series::Matchers;

constexpr std::string_view kInstance = "instance";
constexpr std::string_view kCollectorUp = "quell_collector_up";
constexpr int kDeepest = 4;  // recorded from what was recorded

enum class Told { kNothing, kNo, kYes };

}  // namespace

Labels ScopeOf(const Rule& rule, Labels labels) {
  labels.Remove("alertname");
  labels.Remove("job");
  for (const NamedTemplate& label : rule.labels) labels.Remove(label.first);
  return labels;
}

struct Sight::Witness {
  struct Sign {
    std::string_view metric;
    double value;
  };
  std::string_view prefix;     // of the metrics
  std::string_view label;      // one of these is looked at at a time; "": the whole host
  std::string_view collector;  // its name; that of `label` follows after a slash
  std::array<Sign, 2> signs;
  bool all;  // both signs are needed; else one is enough
};

// The newest sample of a series that has not ended, and since when it has said the same, within the window.
struct Sight::Word {
  double value = 0;
  Micros since = 0;
  Micros begun = 0;  // since when it has said anything
  bool once = true;  // in one sample alone
};

struct Sight::Words {
  std::multimap<std::string, Word, std::less<>> by;  // the value of the label that tells them apart
  Micros begun = 0;                                  // the earliest of theirs; 0: there is none
};

const Sight::Witness* Sight::WitnessOf(std::string_view metric) {
  static constexpr Witness kWitnesses[] = {
      {"pm2_", "user", "pm2", {{{"pm2_up", 1}, {"pm2_daemon_stopped_by_hand", 1}}}, false},
      {"pg_", "server", "postgres/", {{{"pg_up", 1}, {"pg_exporter_last_scrape_error", 0}}}, true},
      {"probe_", "probe", "probe/", {}, false},
      {"node_", "", "host", {}, false}};
  const auto* found = std::find_if(std::begin(kWitnesses), std::end(kWitnesses),
                                   [&](const Witness& w) { return metric.starts_with(w.prefix); });
  return found == std::end(kWitnesses) ? nullptr : found;
}

const Sight::Words& Sight::WordsOf(std::string_view metric, std::string_view label,
                                   const std::string& instance) {
  const auto [it, fresh] = words_.try_emplace({std::string(metric), instance});
  if (!fresh) return *it->second;
  it->second = std::make_shared<Words>();
  Words& words = *it->second;
  Matchers matchers = {Matcher::Equal(kMetricName, metric)};
  if (!instance.empty()) matchers.push_back(Matcher::Equal(kInstance, instance));
  source_.Select(matchers, at_ - options_.lookback, at_, series::Read::kAll,
                 [&](const Labels& labels, std::span<const Sample> samples) {
                   if (IsStale(samples.back().value)) return true;
                   Word word{samples.back().value};
                   size_t first = samples.size() - 1;
                   while (first > 0 && samples[first - 1].value == word.value) --first;
                   word.since = word.begun = samples[first].at;
                   word.once = first + 1 == samples.size();
                   while (first > 0 && !IsStale(samples[first - 1].value)) word.begun = samples[--first].at;
                   words.begun = words.begun == 0 ? word.begun : std::min(words.begun, word.begun);
                   words.by.emplace(std::string(labels.Get(label)), word);
                   return true;
                 });
  return words;
}

bool Sight::CollectorLooks(const Witness& witness, const std::string& of, const std::string& instance) {
  const Words& words = WordsOf(kCollectorUp, "collector", instance);
  const bool one_of_many = witness.collector.ends_with('/'), all = one_of_many && of.empty();
  const std::string name = absl::StrCat(absl::string_view(witness.collector.data(), witness.collector.size()),
                                        one_of_many ? of : "");
  bool told = false, looks = true;
  for (auto it = words.by.lower_bound(name); it != words.by.end(); ++it) {
    if (all ? !it->first.starts_with(name) : it->first != name) break;
    told = true;
    looks = looks && it->second.value == 1 && at_ - it->second.since >= kCollectorSettled;
  }
  return told ? looks : words.begun != 0 && at_ - words.begun >= kCollectorSettled;
}

bool Sight::Looks(const Witness& witness, const std::string& of, const std::string& instance) {
  bool told = false, looks = witness.all;
  for (const Witness::Sign& sign : witness.signs) {
    if (sign.metric.empty()) continue;
    const Words& words = WordsOf(sign.metric, witness.label, instance);
    Told says = Told::kNothing;
    for (auto it = words.by.lower_bound(of); it != words.by.end() && (of.empty() || it->first == of); ++it) {
      const Word& word = it->second;
      const bool yes = word.value == sign.value && !word.once && at_ - word.since >= kSettled;
      says = yes && says != Told::kNo ? Told::kYes : Told::kNo;
    }
    told = told || says != Told::kNothing;
    looks = witness.all ? looks && says == Told::kYes : looks || says == Told::kYes;
  }
  // One that has fallen silent among several is known by the collector alone.
  const bool all_of_them = of.empty() && !witness.label.empty();
  if (!told || all_of_them) looks = (looks || !told) && CollectorLooks(witness, of, instance);
  return looks;
}

bool Sight::Live(const Expr& selector, const Labels& scope, Micros range) {
  const promql::CompatibleSource narrowed(source_, scope);
  Matchers matchers = selector.matchers;
  if (scope.Has(kInstance)) matchers.push_back(Matcher::Equal(kInstance, scope.Get(kInstance)));
  const Micros at = at_ - selector.offset;
  bool live = false;
  narrowed.Select(matchers, at - std::max(range, options_.lookback), at, series::Read::kNewest,
                  [&](const Labels&, std::span<const Sample> samples) {
                    live = !IsStale(samples.back().value);
                    return !live;
                  });
  return live;
}

bool Sight::Gives(const Expr& e, const Labels& scope) {
  if (--closer_ < 0) return true;
  const promql::CompatibleSource narrowed(source_, scope);
  const auto value = promql::Evaluate(e, at_, narrowed, options_);
  return !value.ok() || value->type != promql::ValueType::kVector || !value->vector.empty();
}

bool Sight::UnseenSelector(const Expr& e, const Labels& scope, Micros range, int depth) {
  const std::string_view metric = promql::MetricNameOf(e);
  if (metric.empty() || e.at != promql::At::kNone) return false;
  const Witness* witness = WitnessOf(metric);
  if (witness == nullptr) {
    for (const Group& group : rules_.groups)
      for (const Rule& rule : group.rules)
        if (!rule.alert && rule.name == metric && depth < kDeepest &&
            Unseen(*rule.expr, ScopeOf(rule, scope), range, depth + 1))
          return true;
    return false;
  }
  std::string of;
  if (!witness->label.empty()) {
    of = std::string(scope.Get(witness->label));
    if (of.empty()) of = std::string(series::EqualValue(e.matchers, witness->label));
  }
  const std::string instance(scope.Get(kInstance));
  const auto [known, fresh] = looks_.try_emplace({std::string(witness->prefix), of, instance});
  if (fresh) known->second = Looks(*witness, of, instance);
  if (known->second) return false;
  return --closer_ < 0 || !Live(e, scope, range);
}

bool Sight::Unseen(const Expr& e, const Labels& scope, Micros range, int depth) {
  if (e.kind == ExprKind::kSelector) return UnseenSelector(e, scope, range, depth);
  if (e.kind == ExprKind::kRange || e.kind == ExprKind::kSubquery) range += e.range;
  if (e.kind == ExprKind::kBinary && e.op == BinaryOp::kAnd) {
    // A side that is seen and gives nothing settles it.
    const bool left = Unseen(*e.args[0], scope, range, depth),
               right = Unseen(*e.args[1], scope, range, depth);
    if (left && right) return true;
    return (left && Gives(*e.args[1], scope)) || (right && Gives(*e.args[0], scope));
  }
  // What takes away can only have taken less.
  if (e.kind == ExprKind::kBinary && e.op == BinaryOp::kUnless)
    return Unseen(*e.args[0], scope, range, depth);
  return std::any_of(e.args.begin(), e.args.end(),
                     [&](const ExprPtr& arg) { return Unseen(*arg, scope, range, depth); });
}

}  // namespace quell::rules
