// GlobalRules: the rules that need more than one host's series, evaluated at one time over a source that
// spans all shards, never on a part. Same alert states, edges and rows as a shard's. Pure; its owner passes
// `now`.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/promql/source.h"
#include "controller/rules/alert_state.h"
#include "controller/rules/rule_set.h"
#include "controller/rules/watches.h"
#include "quell/v1/log.pb.h"

namespace quell::rules {

class GlobalRules {
 public:
  // `host_of` gives the host id that has this `instance`, "" when none has.
  GlobalRules(std::shared_ptr<const RuleSet> rules, promql::EvalOptions eval,
              std::function<std::string(std::string_view instance)> host_of);

  void Restore(const std::vector<v1::RuleState>& states, Micros now);
  void Load(std::shared_ptr<const RuleSet> rules, Micros now);
  // Evaluates the groups that are due. `complete`: every host's windows are known and every shard answers;
  // when not, nothing is evaluated. `newest_loss`: when the last of the hosts that are down now was lost (0:
  // none is); an alert that fired before does not clear, for the lost host may be what it was about.
  void Tick(Micros now, const promql::SeriesSource& source, bool complete, Micros newest_loss);
  Micros NextDue() const;

  // Watches over the whole fleet (host_id empty).
  void SetWatch(const v1::Watch& watch, Micros now);
  void EndWatch(const std::string& id);

  std::vector<v1::Payload> TakeEdges();
  std::vector<v1::RuleState> TakeRuleStates();
  const promql::SeriesSource& recorded() const { return recorded_source_; }
  uint64_t failures() const { return failures_; }
  const std::string& last_failure() const { return last_failure_; }

 private:
  void EvaluateGroup(const Group& group, const promql::SeriesSource& source, Micros at, Micros newest_loss);
  void EvaluateAlert(const Group& group, const Rule& rule, promql::Value value,
                     const promql::SeriesSource& source, Micros newest, Micros at, Micros newest_loss);
  void EvaluateRecord(const Group& group, const Rule& rule, const promql::Value& value, Micros at);
  void Failed(const Rule& rule, const absl::Status& status);
  void Emit(const Rule& rule, const std::vector<AlertEdge>& edges, Micros now);

  std::shared_ptr<const RuleSet> rules_;
  promql::EvalOptions eval_;
  std::function<std::string(std::string_view)> host_of_;
  std::map<std::string, AlertState> states_;  // by rule identity
  std::vector<Micros> due_;
  WatchList watches_;
  Micros watches_due_ = 0;
  series::SeriesStore recorded_;  // what global recording rules made
  promql::StoreSource recorded_source_;
  std::map<std::string, std::vector<series::SeriesId>> outputs_;  // their latest series, by rule identity
  std::vector<v1::Payload> edges_;
  std::vector<v1::RuleState> rows_;
  uint64_t failures_ = 0;
  std::string last_failure_;
};

}  // namespace quell::rules
