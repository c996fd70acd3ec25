#include "controller/rules/alert_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/model/identity.h"

namespace quell::rules {
namespace {

Labels Annotations(const Rule& rule, const promql::Element& element) {
  Labels out;
  for (const NamedTemplate& a : rule.annotations)
    out.Set(a.first, a.second.Expand(element.labels, element.value));
  return out;
}

void PutLabels(const Labels& labels, google::protobuf::RepeatedPtrField<v1::Label>* out) {
  for (const auto& [name, value] : labels) {
    v1::Label* label = out->Add();
    label->set_name(name);
    label->set_value(value);
  }
}

Labels TakeLabels(const google::protobuf::RepeatedPtrField<v1::Label>& in) {
  std::vector<Labels::Pair> pairs;
  for (const v1::Label& label : in) pairs.emplace_back(label.name(), label.value());
  return Labels(std::move(pairs));
}

// Pending rows are told again once a minute, so that a restart knows how long the `for` clock had run.
constexpr Micros kTellAgain = kMinute;

}  // namespace

Labels AlertLabels(const Rule& rule, const promql::Element& element) {
  Labels labels = element.labels.Without(kMetricName);
  for (const NamedTemplate& label : rule.labels)
    labels.Set(label.first, label.second.Expand(element.labels, element.value));
  labels.Set("alertname", rule.name);
  return labels;
}

absl::Status AlertState::Take(const Rule& rule, const promql::Vector& result, int64_t limit, Micros at,
                              EvaluationKind kind, std::vector<AlertEdge>& edges, const Unseen& unseen) {
  std::map<std::string, std::pair<Labels, const promql::Element*>> found;
  for (const promql::Element& element : result) {
    Labels labels = AlertLabels(rule, element);
    std::string key = SignalKey(rule.name, labels);
    if (!found.emplace(std::move(key), std::make_pair(std::move(labels), &element)).second)
      return absl::InvalidArgumentError(
          "vector contains metrics with the same labelset after applying alert labels");
  }
  if (limit > 0 && found.size() > static_cast<size_t>(limit))
    return absl::ResourceExhaustedError(
        absl::StrCat("exceeded limit of ", limit, " with ", found.size(), " alerts"));
  for (auto& [key, entry] : found) True(rule, key, std::move(entry.first), *entry.second, at, edges);
  if (kind != EvaluationKind::kTick) return absl::OkStatus();
  for (auto it = active_.begin(); it != active_.end();) {
    auto current = it++;
    // What a pushed event has shown after this tick's time is not taken back by it.
    if (found.contains(current->first) || current->second.last_true > at) continue;
    if (unseen && unseen(current->second)) {
      HoldOne(current->first, current->second, edges);
    } else {
      Missing(rule, at, current, edges);
    }
  }
  return absl::OkStatus();
}

void AlertState::True(const Rule& rule, const std::string& key, Labels labels, const promql::Element& element,
                      Micros at, std::vector<AlertEdge>& edges) {
  auto [it, fresh] = active_.try_emplace(key);
  Active& a = it->second;
  if (fresh) {
    a.labels = std::move(labels);
    a.active_since = at;
  }
  // The clock of a pending one stood still while nobody saw.
  if (a.fired == 0 && std::exchange(a.held, false)) a.active_since += std::max<Micros>(0, at - a.last_true);
  a.value = element.value;
  a.annotations = Annotations(rule, element);
  a.last_true = std::max(a.last_true, at);
  a.newest = std::max(a.newest, element.newest);
  const bool kept = a.missing != 0;
  a.missing = 0;
  const bool old_enough = at - a.active_since >= rule.hold;
  if (a.fired == 0 && old_enough) {
    a.fired = at;
    a.held = false;
    edges.push_back({key, a, v1::FIRING});
    Touch(key);
  } else if (a.fired != 0 && !old_enough && !a.held && at >= a.fired) {
    a.fired = 0;  // a reload has raised `for`
    edges.push_back({key, a, v1::CLEARED});
    Touch(key);
  } else if (a.held) {
    a.held = false;
    edges.push_back({key, a, v1::FIRING});
    Touch(key);
  } else if (fresh || kept || (a.fired == 0 && at - a.written >= kTellAgain)) {
    Touch(key);
  }
  if (changed_.contains(key)) a.written = at;
}

void AlertState::Missing(const Rule& rule, Micros at, std::map<std::string, Active>::iterator it,
                         std::vector<AlertEdge>& edges) {
  Active& a = it->second;
  if (a.fired != 0 && rule.keep_firing > 0) {
    if (a.missing == 0) {
      a.missing = at;
      Touch(it->first);
    }
    if (at - a.missing < rule.keep_firing) return;
  }
  if (a.fired != 0) edges.push_back({it->first, a, v1::CLEARED});
  Touch(it->first, true);
  active_.erase(it);
}

void AlertState::HoldOne(const std::string& key, Active& active, std::vector<AlertEdge>& edges) {
  if (std::exchange(active.held, true) || active.fired == 0) return;
  edges.push_back({key, active, v1::HELD});
}

void AlertState::Hold(std::vector<AlertEdge>& edges) {
  for (auto& [key, a] : active_)
    if (a.fired != 0) HoldOne(key, a, edges);
}

void AlertState::ClearAll(std::vector<AlertEdge>& edges) {
  for (auto& [key, a] : active_) {
    if (a.fired != 0) edges.push_back({key, a, v1::CLEARED});
    Touch(key, true);
  }
  active_.clear();
}

void AlertState::Restore(const Rule& rule, const v1::RuleState& row, Micros now,
                         std::vector<AlertEdge>& edges) {
  if (row.gone()) return;
  Active& a = active_[row.key()];
  a.labels = TakeLabels(row.labels());
  a.annotations = TakeLabels(row.annotations());
  a.value = row.value();
  a.active_since = row.active_since_us();
  a.last_true = row.last_true_us();
  a.written = now;
  a.held = true;
  if (!row.firing()) return;
  a.fired = std::max(a.active_since + rule.hold, Micros{1});
  if (row.keep_until_us() != 0) a.missing = row.keep_until_us() - rule.keep_firing;
  edges.push_back({row.key(), a, v1::HELD});
}

Micros AlertState::NextFire(const Rule& rule) const {
  Micros next = 0;
  for (const auto& [key, a] : active_)
    if (a.fired == 0 && !a.held && (next == 0 || a.active_since + rule.hold < next))
      next = a.active_since + rule.hold;
  return next;
}

std::vector<v1::RuleState> AlertState::TakeRows(const Rule& rule, std::string_view host_id) {
  std::vector<v1::RuleState> rows;
  for (const auto& [key, gone] : changed_) {
    v1::RuleState row;
    row.set_rule(rule.identity);
    row.set_key(key);
    row.set_alert(rule.name);
    row.set_host_id(std::string(host_id));
    auto it = active_.find(key);
    row.set_gone(it == active_.end());
    if (it != active_.end()) {
      const Active& a = it->second;
      PutLabels(a.labels, row.mutable_labels());
      PutLabels(a.annotations, row.mutable_annotations());
      row.set_active_since_us(a.active_since);
      row.set_last_true_us(a.last_true);
      row.set_firing(a.fired != 0);
      row.set_keep_until_us(a.missing == 0 ? 0 : a.missing + rule.keep_firing);
      row.set_value(a.value);
    }
    rows.push_back(std::move(row));
  }
  changed_.clear();
  return rows;
}

v1::Signal ToSignal(const Rule& rule, const AlertEdge& edge, std::string_view host_id) {
  v1::Signal signal;
  signal.set_key(edge.key);
  signal.set_alert(rule.name);
  PutLabels(edge.active.labels, signal.mutable_labels());
  PutLabels(edge.active.annotations, signal.mutable_annotations());
  signal.set_state(edge.state);
  signal.set_severity(SeverityOf(edge.active.labels.Get("severity")));
  signal.set_value(edge.active.value);
  signal.set_active_since_us(edge.active.active_since);
  signal.set_fired_us(edge.active.fired);
  signal.set_sample_us(edge.active.newest);
  signal.set_host_id(std::string(host_id));
  return signal;
}

}  // namespace quell::rules
