// Shard: sessions' windows, host-local rules and watches of the hosts that hash to it. Pure and
// single-threaded: its owner (one thread of the controller, or the simulator) passes `now` and calls Tick
// when NextDue has come.
//
// What a host's rules say counts only while the host is up and its windows are known: until then nothing
// fires and nothing clears, firing signals are HELD. Host and series bounds, and what was dropped, are in
// stats().
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/labels.h"
#include "common/model/sample.h"
#include "controller/promql/evaluate.h"
#include "controller/promql/source.h"
#include "controller/rules/alert_state.h"
#include "controller/rules/rule_set.h"
#include "controller/rules/watches.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::rules {

struct ShardOptions {
  promql::EvalOptions eval;
  series::StoreLimits per_host;
  size_t watches = 10'000;
  Micros push_gap = 10 * kMillisecond;  // pushed evaluations of one host are at least this far apart
  Micros up_recent = kMinute;           // a job with samples this recent is up
  Micros watch_every = kSecond;
  Micros absent_grace =
      kMinute;  // after a start a host that has not come yet is unknown for so long, then lost
};

struct HostInfo {
  std::string id;
  std::string name;  // becomes `instance`
  Labels labels;     // put on its series
};

struct ShardStats {
  size_t hosts = 0;
  size_t watches = 0;
  uint64_t refused_watches = 0;  // over the limit, or not parsed
  uint64_t rule_evaluations = 0;
  uint64_t rule_failures = 0;
  uint64_t pushed_evaluations = 0;
  series::StoreStats series;  // summed over the hosts
  std::string last_failure;   // rule and reason
};

class Shard {
 public:
  Shard(std::shared_ptr<const RuleSet> rules, ShardOptions options);
  ~Shard();

  // After a start, before anything else: pending and firing as the table had them. Firing ones are HELD.
  void Restore(const std::vector<v1::RuleState>& states, Micros now);
  // New rules; states of rules that are still there stay.
  void Load(std::shared_ptr<const RuleSet> rules, Micros now);

  // A session is there. `windows_expected`: the host was known before, so its rules are unknown until
  // HostReplayed or until its windows are as long as each rule looks back.
  void HostUp(const HostInfo& host, bool windows_expected, Micros now);
  void HostReplayed(const std::string& host_id);
  // Its series end, up becomes 0, firing signals are held.
  void HostDown(const std::string& host_id, Micros now);
  // The same for a host that is known by the log but has not been here since the start.
  void HostAbsent(const HostInfo& host, Micros now);
  void HostRemoved(const std::string& host_id, Micros now);  // for good: its signals clear

  // A handle for Append and Push, of this host alone; series::kNoSeries when the host's budget is spent.
  // `labels` come from the wire: instance, job and the host's labels are set over them (a clash is renamed
  // exported_…).
  uint32_t SeriesFor(const std::string& host_id, const std::string& name, const Labels& labels,
                     std::string_view job);
  void Append(const std::string& host_id, uint32_t handle, Sample sample);
  void Push(const std::string& host_id, uint32_t handle, Sample sample);
  // Evaluates this host's local alerts whose instant selectors read what was pushed; starts `for`, fires,
  // never clears.
  void EvaluatePushed(const std::string& host_id, Micros now);

  void Tick(Micros now);
  Micros NextDue() const;  // engine time; 0: nothing runs

  // A refused watch answers with one NO_DATA edge.
  void SetWatch(const v1::Watch& watch, Micros now);
  void EndWatch(const std::string& id);

  std::vector<v1::Payload> TakeEdges();         // signal_edge and watch_edge, in order
  std::vector<v1::RuleState> TakeRuleStates();  // changed since the last call

  const promql::SeriesSource& source() const;  // all hosts of this shard
  // False while a host's windows are not known yet: global rules wait. Every host of the log must have been
  // named by HostUp or HostAbsent before.
  bool AllKnown(Micros now) const;
  // The latest HostDown among hosts that are down now; 0: none.
  Micros NewestLoss() const;
  ShardStats stats() const;

 private:
  struct Host;
  class AllHosts;
  Host* Find(const std::string& host_id);
  Host& Enter(const HostInfo& info, Micros now);
  void GoDown(Host& host, Micros now);
  void MarkUp(Host& host, Micros at);
  void EvaluateGroups(Micros now);
  void EvaluateRule(Host& host, const Group& group, const Rule& rule, Micros at, Micros now);
  void EvaluateAlert(Host& host, const Group& group, const Rule& rule, Micros at, EvaluationKind kind,
                     bool pushed);
  void EvaluateRecord(Host& host, const Group& group, const Rule& rule, Micros at);
  void Record(Host& host, const std::string& rule, const std::vector<std::pair<Labels, double>>& outputs,
              Micros at);
  void RunPushed(Host& host, Micros now);
  void RunForClocks(Host& host, Micros now);
  void TickHosts(Micros now);
  void RunWatches(Micros now, const std::string* host_id);
  void Emit(const Host& host, const Rule& rule, const std::vector<AlertEdge>& edges, bool pushed, Micros now);
  void AddFacts(const Host& host, v1::Signal& signal, Micros now) const;
  static bool Known(const Host& host, const Rule& rule, Micros now);
  static bool Settled(const Host& host, Micros window, Micros now);

  std::shared_ptr<const RuleSet> rules_;  // shared with the other shards; immutable
  ShardOptions options_;
  std::map<std::string, std::unique_ptr<Host>> hosts_;  // by id
  // Those that may wait for a pushed evaluation or a `for` clock; no others do. By id: an order of its own.
  std::map<std::string, Host*> restless_;
  Host* last_ = nullptr;  // the host found last: batches come host by host
  std::map<std::string, std::vector<v1::RuleState>> restored_;  // by host id, of hosts not seen yet
  std::vector<Micros> group_due_;                               // by index: next time
  std::unique_ptr<AllHosts> all_;
  WatchList watches_;
  Micros watches_due_ = 0;
  Micros trim_due_ = 0;
  std::vector<v1::Payload> edges_;
  std::vector<v1::RuleState> states_;
  ShardStats counters_;
};

}  // namespace quell::rules
