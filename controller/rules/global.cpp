#include "controller/rules/global.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/rules/record.h"
#include "controller/rules/sight.h"

namespace quell::rules {
namespace {

constexpr size_t kMostWatches = 10'000;
constexpr Micros kWatchEvery = kSecond;

}  // namespace

GlobalRules::GlobalRules(std::shared_ptr<const RuleSet> rules, promql::EvalOptions eval,
                         std::function<std::string(std::string_view)> host_of)
    : rules_(std::move(rules)),
      eval_(eval),
      host_of_(std::move(host_of)),
      due_(rules_->groups.size(), 0),
      recorded_source_(recorded_) {}

void GlobalRules::Restore(const std::vector<v1::RuleState>& states, Micros now) {
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      if (!rule.alert || rule.host_local) continue;
      for (const v1::RuleState& row : states) {
        if (row.rule() != rule.identity || row.gone()) continue;
        std::vector<AlertEdge> edges;
        states_[rule.identity].Restore(rule, row, now, edges);
        Emit(rule, edges, now);
      }
    }
}

void GlobalRules::Load(std::shared_ptr<const RuleSet> rules, Micros now) {
  std::set<std::string> kept;
  for (const Group& group : rules->groups)
    for (const Rule& rule : group.rules)
      if (!rule.host_local) kept.insert(rule.identity);
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      auto it = states_.find(rule.identity);
      if (kept.contains(rule.identity) || it == states_.end()) continue;
      std::vector<AlertEdge> edges;
      it->second.ClearAll(edges);
      Emit(rule, edges, now);
      for (v1::RuleState& row : it->second.TakeRows(rule, "")) rows_.push_back(std::move(row));
      states_.erase(it);
    }
  rules_ = std::move(rules);
  due_.assign(rules_->groups.size(), 0);
  watches_.Reload(*rules_);
}

Micros GlobalRules::NextDue() const {
  Micros next = watches_.size() > 0 ? std::max<Micros>(watches_due_, 1) : 0;
  for (size_t i = 0; i < due_.size(); ++i) {
    const std::vector<Rule>& rules = rules_->groups[i].rules;
    if (std::all_of(rules.begin(), rules.end(), [](const Rule& rule) { return rule.host_local; })) continue;
    const Micros due = std::max<Micros>(due_[i], 1);
    if (next == 0 || due < next) next = due;
  }
  return next;
}

void GlobalRules::Tick(Micros now, const promql::SeriesSource& fleet, bool complete, Micros newest_loss) {
  const promql::JoinedSource source({&fleet, &recorded_source_});
  for (size_t i = 0; i < due_.size(); ++i) {
    const Group& group = rules_->groups[i];
    if (now < due_[i]) continue;
    const Micros at = DueAtOrBefore(group, now);
    const bool first = due_[i] == 0;
    due_[i] = at + group.interval;
    if (complete && (!first || at == now)) EvaluateGroup(group, source, at, newest_loss);
  }
  recorded_.Trim(now, rules_->retention);
  if (watches_.size() == 0 || now < watches_due_) return;
  watches_due_ = now + kWatchEvery;
  const auto view = [&](const std::string&) { return WatchList::View{complete ? &source : nullptr}; };
  watches_.Run(*rules_, view, nullptr, now, eval_, edges_);
}

void GlobalRules::Failed(const Rule& rule, const absl::Status& status) {
  ++failures_;
  last_failure_ = absl::StrCat(rule.identity, ": ", status.message());
}

void GlobalRules::EvaluateGroup(const Group& group, const promql::SeriesSource& source, Micros at,
                                Micros newest_loss) {
  for (const Rule& rule : group.rules) {
    if (rule.host_local) continue;
    promql::EvalStats read;
    auto value = promql::Evaluate(*rule.expr, at - group.query_offset, source, eval_, &read);
    if (value.ok() && !source.complete()) value = absl::UnavailableError("not every shard answered");
    if (!value.ok()) {
      Failed(rule, value.status());
      continue;
    }
    if (rule.alert) {
      EvaluateAlert(group, rule, *value, source, read.newest, at, newest_loss);
    } else {
      EvaluateRecord(group, rule, *value, at);
    }
  }
}

void GlobalRules::EvaluateAlert(const Group& group, const Rule& rule, promql::Value value,
                                const promql::SeriesSource& source, Micros newest, Micros at,
                                Micros newest_loss) {
  if (value.type == promql::ValueType::kScalar)
    value.vector = {promql::Element{Labels(), value.scalar, at, 0, false}};
  for (promql::Element& element : value.vector)
    if (element.newest == 0) element.newest = newest;
  AlertState& state = states_[rule.identity];
  // A host that was lost after the alert fired may be what it is about: no data is not health.
  const bool only_up = rule.metrics.size() == 1 && rule.metrics.contains("up");
  bool hold = false;
  for (const auto& [key, active] : state.active())
    hold = hold || (active.fired != 0 && newest_loss >= active.fired && !only_up);
  std::vector<AlertEdge> edges;
  const EvaluationKind kind = hold ? EvaluationKind::kNeverClear : EvaluationKind::kTick;
  Sight sight(source, *rules_, at - group.query_offset, eval_);
  const auto unseen = [&](const Active& active) {
    return sight.Unseen(*rule.expr, ScopeOf(rule, active.labels));
  };
  if (absl::Status status = state.Take(rule, value.vector, group.limit, at, kind, edges, unseen);
      !status.ok())
    Failed(rule, status);
  Emit(rule, edges, at);
  for (v1::RuleState& row : state.TakeRows(rule, "")) rows_.push_back(std::move(row));
  if (state.empty()) states_.erase(rule.identity);
}

void GlobalRules::EvaluateRecord(const Group& group, const Rule& rule, const promql::Value& value,
                                 Micros at) {
  std::vector<std::pair<Labels, double>> outputs;
  if (absl::Status status = RecordOutputs(rule, group, value, outputs); !status.ok())
    return Failed(rule, status);
  std::vector<series::SeriesId> written;
  for (const auto& [labels, v] : outputs) {
    const series::SeriesId id = recorded_.SeriesFor(labels);
    if (recorded_.Append(id, {at, v})) written.push_back(id);
  }
  std::vector<series::SeriesId>& before = outputs_[rule.identity];
  for (series::SeriesId id : before)
    if (std::find(written.begin(), written.end(), id) == written.end()) recorded_.End(id, at);
  before = std::move(written);
}

void GlobalRules::Emit(const Rule& rule, const std::vector<AlertEdge>& edges, Micros now) {
  for (const AlertEdge& edge : edges) {
    const std::string_view instance = edge.active.labels.Get("instance");
    v1::SignalEdge* out = edges_.emplace_back().mutable_signal_edge();
    *out->mutable_signal() = ToSignal(rule, edge, instance.empty() ? "" : host_of_(instance));
    if (edge.state == v1::CLEARED) out->mutable_signal()->set_cleared_us(now);
  }
}

void GlobalRules::SetWatch(const v1::Watch& watch, Micros now) {
  const absl::Status status = watches_.Set(watch, *rules_, kMostWatches);
  watches_due_ = now;  // its first value comes with the next Tick
  if (status.ok()) return;
  ++failures_;
  last_failure_ = absl::StrCat("watch ", watch.id(), ": ", status.message());
  v1::WatchEdge* edge = edges_.emplace_back().mutable_watch_edge();
  edge->set_watch(watch.id());
  edge->set_value(v1::WatchEdge::NO_DATA);
}

void GlobalRules::EndWatch(const std::string& id) { watches_.End(id); }
std::vector<v1::Payload> GlobalRules::TakeEdges() { return std::exchange(edges_, {}); }
std::vector<v1::RuleState> GlobalRules::TakeRuleStates() { return std::exchange(rows_, {}); }

}  // namespace quell::rules
