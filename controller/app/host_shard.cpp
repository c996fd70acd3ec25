#include "controller/app/host_shard.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/wire/limits.h"
#include "controller/series/matcher.h"

namespace quell::app {
namespace {

constexpr Micros kCheckEvery = kSecond;
constexpr Micros kAppsEvery = 5 * kSecond;
constexpr Micros kAppsRecent = 5 * kMinute;
constexpr size_t kMostApps = 2'000;                    // of one host, as many as an agent tells
constexpr size_t kMostTables = 2 * wire::kMaxLayouts;  // of one session, with those that are still in a queue

rules::HostInfo InfoOf(const std::string& id, const std::string& name, Labels labels) {
  return rules::HostInfo{.id = id, .name = name, .labels = std::move(labels)};
}

v1::Host IdentityOf(const ingest::HostRecord& record) {
  v1::Host host;
  host.set_id(record.id);
  host.set_name(record.name);
  for (const auto& [name, value] : record.labels) (*host.mutable_labels())[name] = value;
  return host;
}

Labels LabelsOf(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  std::vector<Labels::Pair> pairs;
  for (const v1::Label& label : labels) pairs.emplace_back(label.name(), label.value());
  return Labels(std::move(pairs));
}

}  // namespace

void HostShard::Restore(const v1::Host& host, Micros now) {
  std::vector<Labels::Pair> labels(host.labels().begin(), host.labels().end());
  rules_.HostAbsent(InfoOf(host.id(), host.name(), Labels(std::move(labels))), now);
  liveness_.Restore(host, now);
}

void HostShard::Opened(const ingest::HostRecord& host, const v1::Hello& hello, const std::string& history,
                       Micros now) {
  const bool known = liveness_.Find(host.id) != nullptr;
  Add(liveness_.OnConnect(IdentityOf(host), hello, history, now));
  Session& session = sessions_[host.id];
  session.handles.clear();
  session.replaying = true;
  if (session.up) return;
  session.up = true;
  rules_.HostUp(InfoOf(host.id, host.name, host.labels), known, now);
}

void HostShard::Heartbeat(const std::string& host_id, const v1::Heartbeat& heartbeat, Micros now) {
  Add(liveness_.OnHeartbeat(host_id, heartbeat, now));
  // A host that was given up for lost on a stream that lived on is back.
  const v1::Host* host = liveness_.Find(host_id);
  if (host == nullptr || host->liveness() != v1::CONNECTED) return;
  Session& session = sessions_[host_id];
  if (session.up) return;
  session.up = true;
  session.replaying = false;
  std::vector<Labels::Pair> labels(host->labels().begin(), host->labels().end());
  rules_.HostUp(InfoOf(host_id, host->name(), Labels(std::move(labels))), true, now);
}

void HostShard::Goodbye(const std::string& host_id, const std::string& why, Micros now) {
  Add(liveness_.OnGoodbye(host_id, why, now));
}

void HostShard::Refused(const ingest::HostRecord& host, const std::string& why, Micros now) {
  Add(liveness_.OnRefused(IdentityOf(host), why, now));
}

void HostShard::Relabel(const v1::Host& host, Micros now) {
  liveness_.SetLabels(host);
  auto session = sessions_.find(host.id());
  if (session == sessions_.end() || !session->second.up) return;
  session->second.handles.clear();  // series have other labels from here on
  std::vector<Labels::Pair> labels(host.labels().begin(), host.labels().end());
  rules_.HostUp(InfoOf(host.id(), host.name(), Labels(std::move(labels))), true, now);
}

void HostShard::Remove(const std::string& host_id, Micros now) {
  liveness_.Forget(host_id);
  sessions_.erase(host_id);
  rules_.HostRemoved(host_id, now);
}

const std::vector<uint32_t>& HostShard::Handles(Session& session, const ingest::SeriesTable& table) {
  auto [found, fresh] = session.handles.try_emplace(table.key);
  if (fresh) {
    // An agent may define its layouts anew for ever; a batch of one that went is looked up once more.
    if (session.handles.size() > kMostTables && session.handles.begin() != found)
      session.handles.erase(session.handles.begin());
    found->second.reserve(table.rows.size());
    for (const auto& row : table.rows) {
      found->second.push_back(rules_.SeriesFor(table.host_id, row.name, row.labels, table.job));
    }
  }
  return found->second;
}

void HostShard::Samples(const std::string& host_id, const std::vector<ingest::SampleBatch>& batches) {
  auto known = sessions_.find(host_id);
  if (known == sessions_.end()) return;  // it was removed
  Session& session = known->second;
  for (const ingest::SampleBatch& batch : batches) {
    const std::vector<uint32_t>& handles = Handles(session, *batch.table);
    const size_t count = std::min(handles.size(), batch.values.size());
    for (size_t i = 0; i < count; ++i) rules_.Append(host_id, handles[i], Sample{batch.at, batch.values[i]});
    session.newest = std::max(session.newest, batch.at);
    if (batch.live && session.replaying) {
      session.replaying = false;
      rules_.HostReplayed(host_id);
    }
  }
}

void HostShard::Events(const std::string& host_id, const std::vector<ingest::TimedEvent>& events,
                       Micros now) {
  bool pushed = false;
  for (const ingest::TimedEvent& event : events) {
    for (const v1::EventSample& sample : event.event.samples()) {
      const uint32_t handle =
          rules_.SeriesFor(host_id, sample.series().name(), LabelsOf(sample.series().labels()), sample.job());
      rules_.Push(host_id, handle, Sample{event.at, sample.value()});
      pushed = true;
    }
  }
  if (pushed) rules_.EvaluatePushed(host_id, now);
}

Micros HostShard::StalestSample() const {
  Micros stalest = 0;
  for (const auto& [id, session] : sessions_) {
    if (session.up && session.newest != 0 && (stalest == 0 || session.newest < stalest))
      stalest = session.newest;
  }
  return stalest;
}

size_t HostShard::tables() const {
  size_t all = 0;
  for (const auto& [id, session] : sessions_) all += session.handles.size();
  return all;
}

void HostShard::Tick(Micros now) {
  if (now >= check_due_) {
    check_due_ = now + kCheckEvery;
    fleet::Liveness::Edges edges = liveness_.Check(now);
    for (const v1::HostEdge& edge : edges) {
      if (edge.kind() != v1::HostEdge::HOST_LOST) continue;
      rules_.HostDown(edge.host().id(), now);
      sessions_[edge.host().id()].up = false;
    }
    Add(std::move(edges));
  }
  if (now >= apps_due_) {
    apps_due_ = now + kAppsEvery;
    LookAtApps(now);
  }
  if (const Micros due = rules_.NextDue(); due != 0 && due <= now) rules_.Tick(now);
}

// Which apps a host has is read off the series that each app has.
void HostShard::LookAtApps(Micros now) {
  std::map<std::string, std::set<std::string>, std::less<>> apps;  // by host name
  rules_.source().Select(
      {series::Matcher::Equal(kMetricName, "pm2_app_pid")}, now - kAppsRecent, now, series::Read::kNewest,
      [&](const Labels& labels, std::span<const Sample> samples) {
        if (samples.empty() || IsStale(samples.back().value)) return true;
        std::set<std::string>& known = apps[std::string(labels.Get("instance"))];
        if (known.size() < kMostApps)
          known.insert(absl::StrCat(std::string(labels.Get("user")), "/", std::string(labels.Get("app"))));
        return true;
      });
  for (const auto& [id, host] : liveness_.hosts()) {
    auto found = apps.find(host.name());
    if (found == apps.end()) continue;
    Add(liveness_.OnApps(id, std::vector<std::string>(found->second.begin(), found->second.end())));
  }
}

Micros HostShard::NextDue() const {
  const Micros due = rules_.NextDue();
  return due == 0 ? check_due_ : std::min(due, check_due_);
}

// Hosts' edges first: what rules found is judged by who is there.
std::vector<v1::Payload> HostShard::TakeEdges() {
  std::vector<v1::Payload> all = std::exchange(edges_, {});
  std::vector<v1::Payload> found = rules_.TakeEdges();
  all.insert(all.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  return all;
}

void HostShard::Add(fleet::Liveness::Edges edges) {
  for (v1::HostEdge& edge : edges) *edges_.emplace_back().mutable_host_edge() = std::move(edge);
}

}  // namespace quell::app
