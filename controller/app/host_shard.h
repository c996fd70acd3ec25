// HostShard: what one shard thread owns: sessions' liveness, the series and rules of its hosts, and where
// each layout's series lie. Pure but for time passed in; one thread.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "controller/fleet/liveness.h"
#include "controller/ingest/ports.h"
#include "controller/rules/shard.h"

namespace quell::app {

class HostShard {
 public:
  HostShard(std::shared_ptr<const rules::RuleSet> rules, rules::ShardOptions options,
            fleet::Liveness::Options liveness)
      : rules_(std::move(rules), std::move(options)), liveness_(std::move(liveness)) {}

  rules::Shard& rules() { return rules_; }
  // A host as the log left it: unseen until it is back.
  void Restore(const v1::Host& host, Micros now);

  void Opened(const ingest::HostRecord& host, const v1::Hello& hello, const std::string& history, Micros now);
  void Closed(const std::string& host_id, Micros now) { liveness_.OnDisconnect(host_id, now); }
  void Heartbeat(const std::string& host_id, const v1::Heartbeat& heartbeat, Micros now);
  void Goodbye(const std::string& host_id, const std::string& why, Micros now);
  void Refused(const ingest::HostRecord& host, const std::string& why, Micros now);
  // Its labels are others now. Its record says so.
  void Relabel(const v1::Host& host, Micros now);
  // It is of the fleet no more: nothing is expected of it, its signals clear.
  void Remove(const std::string& host_id, Micros now);
  void Samples(const std::string& host_id, const std::vector<ingest::SampleBatch>& batches);
  // Samples that came with an event: evaluated at once.
  void Events(const std::string& host_id, const std::vector<ingest::TimedEvent>& events, Micros now);

  // Of the hosts that are up, the oldest newest sample; 0: none is up.
  Micros StalestSample() const;

  // Layouts whose series are looked up, of all sessions.
  size_t tables() const;

  void Tick(Micros now);
  Micros NextDue() const;
  std::vector<v1::Payload> TakeEdges();
  std::vector<v1::RuleState> TakeRuleStates() { return rules_.TakeRuleStates(); }

 private:
  struct Session {
    bool up = false;                                    // as the rules see it
    Micros newest = 0;                                  // sample
    bool replaying = false;                             // what comes was taken before this stream began
    std::map<uint64_t, std::vector<uint32_t>> handles;  // by SeriesTable::key, of the newest session alone
  };
  void Add(fleet::Liveness::Edges edges);
  void LookAtApps(Micros now);
  const std::vector<uint32_t>& Handles(Session& session, const ingest::SeriesTable& table);

  rules::Shard rules_;
  fleet::Liveness liveness_;
  std::map<std::string, Session> sessions_;
  std::vector<v1::Payload> edges_;  // of hosts; those of rules wait in rules_
  Micros check_due_ = 1;
  Micros apps_due_ = 1;
};

}  // namespace quell::app
