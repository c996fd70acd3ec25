// Liveness: which hosts are there, and what changed about them. Pure: facts and times come in, edges go out,
// for the engine to record. Owned by one shard for its hosts; one thread.
//
//   connected  heartbeats come; lost after lost_after without one
//   gone       it said goodbye: lost only after goodbye_grace
//   unseen     known from the log, not back yet after this controller's start: lost after start_grace
//
// A stream that ends is no edge: a host that is back within lost_after was never lost. Its new stream is one,
// for what went to the old one may have gone with it: HOST_CONNECTED, once a second at most.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "quell/v1/link.pb.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::fleet {

class Liveness {
 public:
  struct Options {
    Micros lost_after = 15 * kSecond;
    Micros goodbye_grace = 2 * kMinute;
    Micros start_grace = kMinute;
    uint64_t epoch_number = 0;  // ours
    std::string epoch_start;
  };
  using Edges = std::vector<v1::HostEdge>;

  explicit Liveness(Options options) : options_(std::move(options)) {}

  // A host as the log left it. It becomes unseen, without an edge.
  void Restore(v1::Host host, Micros now);
  // identity: id, name and labels from the certificate and the controller's record. history: not empty when
  // the agent remembers another log than ours; the sentence that says so.
  Edges OnConnect(const v1::Host& identity, const v1::Hello& hello, const std::string& history, Micros now);
  Edges OnHeartbeat(const std::string& id, const v1::Heartbeat& heartbeat, Micros now);
  Edges OnGoodbye(const std::string& id, const std::string& why, Micros now);
  // The PM2 apps seen there, "user/app" in order: what makes up a blast-radius group. None seen is no news.
  Edges OnApps(const std::string& id, const std::vector<std::string>& apps);
  // The stream ended. Nothing follows but what Check finds later.
  void OnDisconnect(const std::string& id, Micros now);
  // The host was refused at the door (revoked, unknown): told once per hour and reason.
  Edges OnRefused(const v1::Host& identity, const std::string& why, Micros now);
  // What the controller decided about it.
  void SetLabels(const v1::Host& identity);
  void Forget(const std::string& id);
  // Who is lost now. To be called at least each second.
  Edges Check(Micros now);

  const v1::Host* Find(const std::string& id) const;
  const std::map<std::string, v1::Host>& hosts() const { return hosts_; }

 private:
  v1::HostEdge Edge(v1::HostEdge::Kind kind, const v1::Host& host, std::string why) const;
  static bool SetCapabilities(v1::Host& host, bool executor, const std::string& sanctions,
                              const std::string& error, std::string* why);
  void SetLiveness(v1::Host& host, v1::Liveness liveness, Micros now);
  void TellStream(const v1::Host& host, Micros now, Edges* edges);
  void CheckEpoch(v1::Host& host, uint64_t number, const std::string& start, Edges* edges);

  struct Stream {
    Micros told = 0;
    bool untold = false;  // a newer one has begun since
  };

  const Options options_;
  std::map<std::string, v1::Host> hosts_;
  std::map<std::string, Stream> streams_;  // by host id
  std::map<std::string, std::pair<std::string, Micros>>
      refused_;                            // id -> reason and time last told; at most 1,000
  std::map<std::string, uint64_t> ahead_;  // id -> the higher epoch that was told
};

}  // namespace quell::fleet
