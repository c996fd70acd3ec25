// AlertState: where one alert rule stands for each of its label sets: pending, firing, kept firing. The state
// machine of Prometheus (rules/alerting.go's behaviour), with times as arguments. One thread.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/model/labels.h"
#include "controller/promql/evaluate.h"
#include "controller/rules/rule_set.h"
#include "quell/v1/state.pb.h"

namespace quell::rules {

// How much an evaluation may decide.
enum class EvaluationKind {
  kTick,       // the whole truth: what is missing is forgotten or cleared
  kPushed,     // may start `for` and fire, never clears or forgets
  kNeverClear  // as a tick, but a firing alert stays (not all that it reads is known)
};

struct Active {
  Labels labels;  // alertname included
  Labels annotations;
  double value = 0;
  Micros active_since = 0;
  Micros last_true = 0;
  Micros fired = 0;    // 0: pending
  Micros missing = 0;  // firing but kept: since when it is not true any more
  Micros newest = 0;   // newest sample read
  Micros written = 0;  // when its row was last told
  bool held = false;   // firing or pending before a start or a loss; not seen since
};

struct AlertEdge {
  std::string key;
  Active active;
  v1::SignalState state;
};

class AlertState {
 public:
  // Whether nothing is known of what is missing from a result, rather than that it is over.
  using Unseen = std::function<bool(const Active&)>;

  // Takes one evaluation's result. An error (two results with one identity, over the limit) leaves the state
  // as it was. What is missing and unseen is held, its `for` clock stands still.
  absl::Status Take(const Rule& rule, const promql::Vector& result, int64_t limit, Micros at,
                    EvaluationKind kind, std::vector<AlertEdge>& edges, const Unseen& unseen = nullptr);
  // Firing ones become held.
  void Hold(std::vector<AlertEdge>& edges);
  void ClearAll(std::vector<AlertEdge>& edges);
  void Restore(const Rule& rule, const v1::RuleState& row, Micros now, std::vector<AlertEdge>& edges);
  // When the earliest pending one may fire; 0: none is pending.
  Micros NextFire(const Rule& rule) const;
  bool empty() const { return active_.empty(); }
  const std::map<std::string, Active>& active() const { return active_; }
  // Rows that changed since the last call.
  std::vector<v1::RuleState> TakeRows(const Rule& rule, std::string_view host_id);

 private:
  void True(const Rule& rule, const std::string& key, Labels labels, const promql::Element& element,
            Micros at, std::vector<AlertEdge>& edges);
  void Missing(const Rule& rule, Micros at, std::map<std::string, Active>::iterator it,
               std::vector<AlertEdge>& edges);
  static void HoldOne(const std::string& key, Active& active, std::vector<AlertEdge>& edges);
  void Touch(const std::string& key, bool gone = false) { changed_[key] = gone; }

  std::map<std::string, Active> active_;  // by signal key
  std::map<std::string, bool> changed_;   // key -> gone
};

// Labels of an alert: the element's without its name, the rule's over them, alertname.
Labels AlertLabels(const Rule& rule, const promql::Element& element);
v1::Signal ToSignal(const Rule& rule, const AlertEdge& edge, std::string_view host_id);

}  // namespace quell::rules
