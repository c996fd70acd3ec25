#include "controller/fleet/liveness.h"

#include "absl/strings/str_cat.h"

namespace quell::fleet {
namespace {

constexpr size_t kRefusedKept = 1'000;
constexpr Micros kBetweenStreams = kSecond;  // of the edges that a host's new streams give

void Explain(std::string* why, std::string_view what) {
  absl::StrAppend(why, why->empty() ? "" : "; ", absl::string_view(what.data(), what.size()));
}

template <typename List>
bool SameList(const List& a, const List& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

v1::HostEdge Liveness::Edge(v1::HostEdge::Kind kind, const v1::Host& host, std::string why) const {
  v1::HostEdge edge;
  edge.set_kind(kind);
  *edge.mutable_host() = host;
  edge.set_why(std::move(why));
  return edge;
}

void Liveness::SetLiveness(v1::Host& host, v1::Liveness liveness, Micros now) {
  if (host.liveness() != liveness) host.set_liveness_since_us(now);
  host.set_liveness(liveness);
}

void Liveness::Restore(v1::Host host, Micros now) {
  SetLiveness(host, host.liveness() == v1::LOST ? v1::LOST : v1::UNSEEN, now);
  hosts_[host.id()] = std::move(host);
}

// Takes over what the executor is and may; says what changed.
bool Liveness::SetCapabilities(v1::Host& host, bool executor, const std::string& sanctions,
                               const std::string& error, std::string* why) {
  if (host.executor_connected() != executor)
    Explain(why, executor ? "the executor is back" : "the executor is gone");
  if (executor && host.sanctions_sha256() != sanctions) Explain(why, "the sanctions changed");
  if (executor && host.sanctions_error() != error)
    Explain(why,
            error.empty() ? "the sanctions are good again" : absl::StrCat("the sanctions are bad: ", error));
  host.set_executor_connected(executor);
  if (executor) {
    host.set_sanctions_sha256(sanctions);
    host.set_sanctions_error(error);
  }
  return !why->empty();
}

void Liveness::CheckEpoch(v1::Host& host, uint64_t number, const std::string& start, Edges* edges) {
  host.set_executor_epoch(number);
  const bool other_start = number == options_.epoch_number && !start.empty() && start != options_.epoch_start;
  if (number <= options_.epoch_number && !other_start) return;
  uint64_t& told = ahead_[host.id()];
  if (told >= number) return;
  told = number;
  edges->push_back(
      Edge(v1::HostEdge::HOST_AHEAD, host,
           other_start
               ? absl::StrCat("its executor has met epoch ", number, " under another start than ours")
               : absl::StrCat("its executor has met epoch ", number, ", ours is ", options_.epoch_number)));
}

// What was handed to the stream before may be lost with it; a host that comes back all the time is told of
// once a second.
void Liveness::TellStream(const v1::Host& host, Micros now, Edges* edges) {
  auto stream = streams_.find(host.id());
  if (stream == streams_.end() || !stream->second.untold || now - stream->second.told < kBetweenStreams)
    return;
  stream->second = {now, false};
  edges->push_back(Edge(v1::HostEdge::HOST_CONNECTED, host, "its stream is a new one"));
}

Liveness::Edges Liveness::OnConnect(const v1::Host& identity, const v1::Hello& hello,
                                    const std::string& history, Micros now) {
  Edges edges;
  const bool known = hosts_.count(identity.id()) != 0;
  v1::Host& host = hosts_[identity.id()];
  const std::string boot_before = host.boot_id();
  const v1::Liveness before = host.liveness();
  host.set_id(identity.id());
  host.set_name(identity.name());
  *host.mutable_labels() = identity.labels();
  if (!known) host.set_first_seen_us(now);
  host.set_seen_us(now);
  host.set_boot_id(hello.boot_id());
  host.set_agent_version(hello.agent_version());
  *host.mutable_features() = hello.features();
  host.clear_goodbye();
  SetLiveness(host, v1::CONNECTED, now);
  std::string changed;
  if (hello.executor_connected() && !SameList(host.actions(), hello.actions()))
    Explain(&changed, "the actions changed");
  if (hello.executor_connected()) *host.mutable_actions() = hello.actions();
  SetCapabilities(host, hello.executor_connected(), hello.sanctions_sha256(), hello.sanctions_error(),
                  &changed);
  if (!known || before != v1::CONNECTED) {
    streams_[identity.id()] = {now, false};
    edges.push_back(Edge(v1::HostEdge::HOST_CONNECTED, host, known ? "it is back" : "it is new"));
  } else {
    streams_[identity.id()].untold = true;
    TellStream(host, now, &edges);
  }
  if (known && !boot_before.empty() && boot_before != hello.boot_id())
    edges.push_back(Edge(v1::HostEdge::HOST_REBOOTED, host, "its boot id is another"));
  if (known && before == v1::CONNECTED && !changed.empty())
    edges.push_back(Edge(v1::HostEdge::HOST_CAPABILITY, host, changed));
  if (!history.empty()) edges.push_back(Edge(v1::HostEdge::HOST_HISTORY, host, history));
  return edges;
}

Liveness::Edges Liveness::OnHeartbeat(const std::string& id, const v1::Heartbeat& heartbeat, Micros now) {
  Edges edges;
  auto found = hosts_.find(id);
  if (found == hosts_.end()) return edges;
  v1::Host& host = found->second;
  host.set_seen_us(now);
  if (host.liveness() != v1::CONNECTED) {
    SetLiveness(host, v1::CONNECTED, now);
    host.clear_goodbye();
    edges.push_back(Edge(v1::HostEdge::HOST_CONNECTED, host, "its heartbeats are back"));
  }
  std::string changed;
  SetCapabilities(host, heartbeat.executor_connected(), heartbeat.sanctions_sha256(),
                  heartbeat.sanctions_error(), &changed);
  if (heartbeat.actions_size() > 0 && !SameList(host.actions(), heartbeat.actions())) {
    Explain(&changed, "the actions changed");
    *host.mutable_actions() = heartbeat.actions();
  }
  if (heartbeat.executor_connected() && host.held() != heartbeat.held())
    Explain(&changed, heartbeat.held() ? "the host's stop file is there" : "the host's stop file is gone");
  if (heartbeat.executor_connected()) host.set_held(heartbeat.held());
  if (host.results_full() != heartbeat.results_full())
    Explain(&changed, heartbeat.results_full() ? "its spool of results is full: it takes no command"
                                               : "its spool of results has room again");
  host.set_results_full(heartbeat.results_full());
  if (heartbeat.executor_connected())
    CheckEpoch(host, heartbeat.epoch_number(), heartbeat.epoch_start(), &edges);
  if (!changed.empty()) edges.push_back(Edge(v1::HostEdge::HOST_CAPABILITY, host, changed));
  return edges;
}

Liveness::Edges Liveness::OnGoodbye(const std::string& id, const std::string& why, Micros now) {
  auto found = hosts_.find(id);
  if (found == hosts_.end() || found->second.liveness() != v1::CONNECTED) return {};
  v1::Host& host = found->second;
  host.set_seen_us(now);
  host.set_goodbye(why);
  SetLiveness(host, v1::GONE, now);
  return {Edge(v1::HostEdge::HOST_GOODBYE, host, absl::StrCat("it said goodbye: ", why))};
}

Liveness::Edges Liveness::OnApps(const std::string& id, const std::vector<std::string>& apps) {
  auto found = hosts_.find(id);
  if (found == hosts_.end() || apps.empty()) return {};
  v1::Host& host = found->second;
  if (std::equal(apps.begin(), apps.end(), host.apps().begin(), host.apps().end())) return {};
  host.mutable_apps()->Assign(apps.begin(), apps.end());
  return {Edge(v1::HostEdge::HOST_CAPABILITY, host, "its apps changed")};
}

void Liveness::OnDisconnect(const std::string& id, Micros now) {
  auto found = hosts_.find(id);
  if (found != hosts_.end() && found->second.seen_us() > now) found->second.set_seen_us(now);
}

Liveness::Edges Liveness::OnRefused(const v1::Host& identity, const std::string& why, Micros now) {
  auto& [reason, at] = refused_[identity.id()];
  if (reason == why && now - at < kHour) return {};
  reason = why;
  at = now;
  if (refused_.size() > kRefusedKept) {
    auto other = refused_.begin();
    if (other->first == identity.id()) ++other;
    refused_.erase(other);
  }
  return {Edge(v1::HostEdge::HOST_REFUSED, identity, why)};
}

void Liveness::SetLabels(const v1::Host& identity) {
  auto found = hosts_.find(identity.id());
  if (found != hosts_.end()) *found->second.mutable_labels() = identity.labels();
}

void Liveness::Forget(const std::string& id) {
  hosts_.erase(id);
  ahead_.erase(id);
}

Liveness::Edges Liveness::Check(Micros now) {
  Edges edges;
  for (auto& [id, host] : hosts_) {
    Micros since = host.liveness_since_us();
    Micros patience = 0;
    switch (host.liveness()) {
      case v1::CONNECTED:
        since = host.seen_us(), patience = options_.lost_after;
        if (now - since < patience) TellStream(host, now, &edges);
        break;
      case v1::GONE:
        patience = options_.goodbye_grace;
        break;
      case v1::UNSEEN:
        patience = options_.start_grace;
        break;
      default:
        continue;
    }
    if (now - since < patience) continue;
    SetLiveness(host, v1::LOST, now);
    const std::string why =
        host.goodbye().empty() ? "no heartbeat"
                               : absl::StrCat("it said goodbye (", host.goodbye(), ") and did not come back");
    edges.push_back(
        Edge(v1::HostEdge::HOST_LOST, host, absl::StrCat(why, " for ", FormatDuration(patience))));
  }
  return edges;
}

const v1::Host* Liveness::Find(const std::string& id) const {
  auto found = hosts_.find(id);
  return found == hosts_.end() ? nullptr : &found->second;
}

}  // namespace quell::fleet
