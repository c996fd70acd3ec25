// WatchList: the conditions that commands and incidents wait for, evaluated on samples newer than each asks
// for. A watch gives its first value and then one edge per change. Owned by a shard or GlobalRules; one
// thread.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "controller/promql/evaluate.h"
#include "controller/rules/rule_set.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::rules {

class WatchList {
 public:
  // InvalidArgument when its expression can't be read; ResourceExhausted when there are `most` already.
  absl::Status Set(const v1::Watch& watch, const RuleSet& rules, size_t most);
  void End(const std::string& id) { watches_.erase(id); }
  void Reload(const RuleSet& rules);
  size_t size() const { return watches_.size(); }

  struct View {
    const promql::SeriesSource* source = nullptr;  // null: nothing is known now
  };
  // Evaluates the watches that `host_id` names (all of the list with nullptr), adds edges, drops those past
  // their time.
  void Run(const RuleSet& rules, const std::function<View(const std::string& host_id)>& view,
           const std::string* host_id, Micros now, const promql::EvalOptions& options,
           std::vector<v1::Payload>& edges);

 private:
  struct Entry {
    v1::Watch watch;
    promql::ExprPtr expr;            // asked for its truth
    std::vector<const Rule*> rules;  // of signal_key: those that could have given it
    Labels labels;
    Labels scope;  // series with another value of these are left out
    v1::WatchEdge::Value told = v1::WatchEdge::VALUE_UNSPECIFIED;
  };
  static absl::Status Bind(Entry& entry, const RuleSet& rules);

  std::map<std::string, Entry> watches_;
};

}  // namespace quell::rules
