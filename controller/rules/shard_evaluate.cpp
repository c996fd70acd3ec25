// How a shard evaluates: groups on their ticks, pushed events beside them, `for` clocks that run out.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/rules/record.h"
#include "controller/rules/shard_host.h"
#include "controller/rules/sight.h"

namespace quell::rules {
namespace {

constexpr std::string_view kUp = "up";
// Alerts of one rule on one host, where its group says no `limit`: an agent can't make up incidents without
// end.
constexpr int64_t kMostAlerts = 1'000;

void PutDefinition(const Labels& labels, v1::SeriesDefinition* out) {
  out->set_name(std::string(labels.Get(kMetricName)));
  for (const auto& [name, value] : labels) {
    if (name == kMetricName || name == "instance") continue;
    v1::Label* label = out->add_labels();
    label->set_name(name);
    label->set_value(value);
  }
}

}  // namespace

void Shard::EvaluateGroups(Micros now) {
  for (size_t i = 0; i < rules_->groups.size(); ++i) {
    const Group& group = rules_->groups[i];
    if (now < group_due_[i]) continue;
    const Micros at = DueAtOrBefore(group, now);
    const bool first = group_due_[i] == 0;
    group_due_[i] = at + group.interval;
    if (first && at != now) continue;  // after a start the next aligned time is the first one
    for (auto& [id, host] : hosts_) {
      MarkUp(*host, at);
      for (const Rule& rule : group.rules)
        if (rule.host_local) EvaluateRule(*host, group, rule, at, now);
    }
  }
}

void Shard::EvaluateRule(Host& host, const Group& group, const Rule& rule, Micros at, Micros now) {
  const bool only_up = rule.metrics.size() == 1 && *rule.metrics.begin() == kUp;
  const bool known = Known(host, rule, now);
  if (!rule.alert) {
    if (known || only_up) EvaluateRecord(host, group, rule, at);
    return;
  }
  if (known || only_up) return EvaluateAlert(host, group, rule, at, EvaluationKind::kTick, false);
  // A rule about a host that is away may speak of that, and takes nothing back.
  if (!host.up && rule.metrics.contains(kUp))
    EvaluateAlert(host, group, rule, at, EvaluationKind::kNeverClear, false);
}

void Shard::EvaluateAlert(Host& host, const Group& group, const Rule& rule, Micros at, EvaluationKind kind,
                          bool pushed) {
  ++counters_.rule_evaluations;
  promql::EvalStats read;
  auto value = promql::Evaluate(*rule.expr, at - group.query_offset, host.source, options_.eval, &read);
  absl::Status status = value.status();
  std::vector<AlertEdge> edges;
  AlertState& state = host.states[rule.identity];
  if (value.ok()) {
    for (promql::Element& element : value->vector)
      if (element.newest == 0) element.newest = read.newest;
    const int64_t limit = group.limit > 0 ? group.limit : kMostAlerts;
    Sight sight(host.source, *rules_, at - group.query_offset, options_.eval);
    const auto unseen = [&](const Active& active) {
      return sight.Unseen(*rule.expr, ScopeOf(rule, active.labels));
    };
    status = state.Take(rule, value->vector, limit, at, kind, edges, unseen);
  }
  if (!status.ok()) {
    ++counters_.rule_failures;
    counters_.last_failure = absl::StrCat(rule.identity, " on ", host.info.name, ": ", status.message());
  }
  Emit(host, rule, edges, pushed, at);
  for (v1::RuleState& row : state.TakeRows(rule, host.info.id)) states_.push_back(std::move(row));
  const Micros next = state.NextFire(rule);
  if (pushed && next > at && (host.fire_due == 0 || next < host.fire_due)) {
    host.fire_due = next;
    restless_[host.info.id] = &host;
  }
  if (pushed) return;
  std::vector<std::pair<Labels, double>> outputs;
  for (const auto& [key, active] : state.active()) {
    Labels labels = active.labels;
    labels.Set(kMetricName, "ALERTS");
    labels.Set("alertstate", active.fired == 0 ? "pending" : "firing");
    outputs.emplace_back(std::move(labels), 1);
    outputs.emplace_back(active.labels, static_cast<double>(active.active_since) / kSecond);
    outputs.back().first.Set(kMetricName, "ALERTS_FOR_STATE");
  }
  Record(host, rule.identity, outputs, at);
  if (state.empty()) host.states.erase(rule.identity);
}

void Shard::EvaluateRecord(Host& host, const Group& group, const Rule& rule, Micros at) {
  ++counters_.rule_evaluations;
  auto value = promql::Evaluate(*rule.expr, at - group.query_offset, host.source, options_.eval);
  std::vector<std::pair<Labels, double>> outputs;
  absl::Status status = value.status();
  if (value.ok()) status = RecordOutputs(rule, group, *value, outputs);
  if (status.ok()) return Record(host, rule.identity, outputs, at);
  ++counters_.rule_failures;
  counters_.last_failure = absl::StrCat(rule.identity, " on ", host.info.name, ": ", status.message());
}

// Writes a rule's series, and ends those that it gave before and does not give now.
void Shard::Record(Host& host, const std::string& rule, const std::vector<std::pair<Labels, double>>& outputs,
                   Micros at) {
  if (outputs.empty() && !host.outputs.contains(rule)) return;
  std::vector<series::SeriesId> written;
  for (const auto& [labels, value] : outputs) {
    const series::SeriesId id = host.store.SeriesFor(labels);
    if (host.store.Append(id, {at, value})) written.push_back(id);
  }
  std::vector<series::SeriesId>& before = host.outputs[rule];
  for (series::SeriesId id : before)
    if (std::find(written.begin(), written.end(), id) == written.end()) host.store.End(id, at);
  before = std::move(written);
  if (before.empty()) host.outputs.erase(rule);
}

void Shard::EvaluatePushed(const std::string& host_id, Micros now) {
  Host* host = Find(host_id);
  if (host == nullptr || host->pushed.empty() || now < host->pushed_at + options_.push_gap) return;
  RunPushed(*host, now);
}

void Shard::RunPushed(Host& host, Micros now) {
  const std::set<std::string, std::less<>> pushed = std::exchange(host.pushed, {});
  host.pushed_at = now;
  if (!host.up) return;
  ++counters_.pushed_evaluations;
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      if (!rule.alert || !rule.host_local || !Known(host, rule, now)) continue;
      const bool reads = std::any_of(pushed.begin(), pushed.end(),
                                     [&](const std::string& m) { return rule.instant.contains(m); });
      if (reads) EvaluateAlert(host, group, rule, now, EvaluationKind::kPushed, true);
    }
  RunWatches(now, &host.info.id);
}

// Looks at the pending alerts whose `for` has run out; they fire when they are still true.
void Shard::RunForClocks(Host& host, Micros now) {
  host.fire_due = 0;
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      auto it = host.states.find(rule.identity);
      if (it == host.states.end() || !rule.alert || !rule.host_local) continue;
      const Micros next = it->second.NextFire(rule);
      if (next == 0 || !Known(host, rule, now)) continue;
      if (next <= now) {
        EvaluateAlert(host, group, rule, now, EvaluationKind::kPushed, true);
      } else if (host.fire_due == 0 || next < host.fire_due) {
        host.fire_due = next;
      }
    }
}

void Shard::Emit(const Host& host, const Rule& rule, const std::vector<AlertEdge>& edges, bool pushed,
                 Micros now) {
  for (const AlertEdge& edge : edges) {
    v1::SignalEdge* out = edges_.emplace_back().mutable_signal_edge();
    *out->mutable_signal() = ToSignal(rule, edge, host.info.id);
    if (edge.state == v1::CLEARED) out->mutable_signal()->set_cleared_us(now);
    if (edge.state == v1::FIRING) AddFacts(host, *out->mutable_signal(), now);
    out->set_pushed(pushed);
  }
}

// The processes of the app that the signal names, so that a command can refuse another one.
void Shard::AddFacts(const Host& host, v1::Signal& signal, Micros now) const {
  Labels wanted;
  for (const v1::Label& label : signal.labels())
    if (label.name() == "user" || label.name() == "app") wanted.Set(label.name(), label.value());
  if (wanted.size() != 2) return;
  for (const char* metric : {"pm2_app_pid", "pm2_app_started_seconds"}) {
    series::Matchers matchers = {series::Matcher::Equal(kMetricName, metric)};
    for (const auto& [name, value] : wanted) matchers.push_back(series::Matcher::Equal(name, value));
    host.store.Select(matchers, now - options_.eval.lookback, now, series::Read::kNewest,
                      [&](const Labels& labels, std::span<const Sample> samples) {
                        if (IsStale(samples.back().value)) return true;
                        v1::Fact* fact = signal.add_facts();
                        PutDefinition(labels, fact->mutable_series());
                        fact->set_value(samples.back().value);
                        fact->set_at_us(samples.back().at);
                        return true;
                      });
  }
}

}  // namespace quell::rules
