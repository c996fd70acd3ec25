// Shards: all shard threads, the global rules' thread, and reading over all of them. Signals that they find
// get the service that the catalogue has for them before anybody else sees them. Owned by main; any thread
// may call but for Restore and Start.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"
#include "controller/app/host_shard.h"
#include "controller/app/rule_thread.h"
#include "controller/catalogue/catalogue.h"
#include "controller/promql/evaluate.h"
#include "controller/rules/global.h"

namespace quell::app {

using ShardThread = RuleThread<HostShard>;

class Shards {
 public:
  Shards(size_t count, std::shared_ptr<const rules::RuleSet> rules, fleet::Liveness::Options liveness,
         NowFunction now, PostFunction deliver);
  ~Shards();
  // What the log knew: rule states, and hosts that have been here before. Before Start.
  void Restore(const std::vector<v1::RuleState>& states, const std::map<std::string, v1::Host>& hosts,
               Micros now);
  void Start();
  void Stop();

  ShardThread& Of(const std::string& host_id);
  // As the engine decided about it: new labels, or out of the fleet.
  void Take(const v1::Host& host);
  void NoteHost(const std::string& host_id, const std::string& name,
                std::map<std::string, std::string> labels);
  // New rules; the states of rules that are still there stay.
  void Load(std::shared_ptr<const rules::RuleSet> rules);
  // For signals from now on; nullptr: there is none. What fires already keeps the service that it has.
  void SetCatalogue(std::shared_ptr<const catalogue::Catalogue> catalogue);
  void SetWatch(const v1::Watch& watch);
  void EndWatch(const std::string& id);

  // At one time over all shards; Unavailable when one of them does not answer.
  absl::StatusOr<promql::Value> Query(const promql::Expr& expr, Micros at);
  absl::StatusOr<promql::Value> QueryRange(const promql::Expr& expr, Micros from, Micros to, Micros step);

  // Age of the stalest connected host's newest sample; -1 when no host is connected.
  Micros DataAge(Micros now);
  std::vector<rules::ShardStats> Stats();
  uint64_t shed() const;
  uint64_t refused() const;  // tasks that found a shard's queue full, telemetry apart

 private:
  class Fan;
  void GlobalTick(rules::GlobalRules& global, Micros now);
  std::string HostOf(std::string_view instance) const;
  void NameService(v1::Signal& signal) const;

  struct Known {
    std::string id;
    std::map<std::string, std::string> labels;
  };
  const NowFunction now_;
  std::vector<std::unique_ptr<ShardThread>> threads_;
  mutable absl::Mutex names_mutex_;
  std::map<std::string, Known, std::less<>> hosts_by_name_ ABSL_GUARDED_BY(names_mutex_);
  std::shared_ptr<const catalogue::Catalogue> catalogue_ ABSL_GUARDED_BY(names_mutex_);
  std::unique_ptr<RuleThread<rules::GlobalRules>> global_;
};

}  // namespace quell::app
