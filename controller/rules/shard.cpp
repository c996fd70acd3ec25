#include "controller/rules/shard.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/rules/shard_host.h"

namespace quell::rules {
namespace {

constexpr std::string_view kUp = "up";
constexpr std::string_view kAgentJob = "quell-agent";  // every host has it, whatever it collects
constexpr size_t kMostJobs = 64;

bool ReadsOnlyUp(const Rule& rule) { return rule.metrics.size() == 1 && *rule.metrics.begin() == kUp; }

}  // namespace

class Shard::AllHosts final : public promql::SeriesSource {
 public:
  explicit AllHosts(const std::map<std::string, std::unique_ptr<Host>>& hosts) : hosts_(hosts) {}
  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    const std::string_view instance = series::EqualValue(matchers, "instance");
    for (const auto& [id, host] : hosts_)
      if ((instance.empty() || host->info.name == instance) &&
          !host->store.Select(matchers, from, to, read, visit))
        return false;
    return true;
  }

 private:
  const std::map<std::string, std::unique_ptr<Host>>& hosts_;
};

Shard::Shard(std::shared_ptr<const RuleSet> rules, ShardOptions options)
    : rules_(std::move(rules)), options_(options), group_due_(rules_->groups.size(), 0) {
  all_ = std::make_unique<AllHosts>(hosts_);
}
Shard::~Shard() = default;

const promql::SeriesSource& Shard::source() const { return *all_; }

Shard::Host* Shard::Find(const std::string& host_id) {
  if (last_ != nullptr && last_->info.id == host_id) return last_;
  auto it = hosts_.find(host_id);
  if (it == hosts_.end()) return nullptr;
  return last_ = it->second.get();
}

void Shard::Restore(const std::vector<v1::RuleState>& states, Micros now) {
  for (const v1::RuleState& row : states) {
    if (row.host_id().empty() || row.gone()) continue;
    if (Host* host = Find(row.host_id()); host != nullptr) {
      restored_[row.host_id()].push_back(row);
      Enter(host->info, now);
    } else {
      restored_[row.host_id()].push_back(row);
    }
  }
}

// Makes or renews the host's entry and gives it what was restored for it.
Shard::Host& Shard::Enter(const HostInfo& info, Micros now) {
  std::unique_ptr<Host>& host = hosts_[info.id];
  if (host == nullptr) {
    host = std::make_unique<Host>(options_.per_host);
    host->jobs.push_back({std::string(kAgentJob)});
  }
  if (host->info.name != info.name || host->info.labels != info.labels) {
    host->store.EndAll(now, [](const Labels&) { return true; });
    for (Host::Job& job : host->jobs) job.up = series::kNoSeries;
  }
  host->info = info;
  auto restored = restored_.find(info.id);
  if (restored == restored_.end()) return *host;
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules)
      for (const v1::RuleState& row : restored->second) {
        if (row.rule() != rule.identity || !rule.alert) continue;
        std::vector<AlertEdge> edges;
        host->states[rule.identity].Restore(rule, row, now, edges);
        Emit(*host, rule, edges, false, now);
        host->expected = true;
      }
  restored_.erase(restored);
  return *host;
}

void Shard::Load(std::shared_ptr<const RuleSet> rules, Micros now) {
  std::map<std::string, const Rule*> old;
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) old[rule.identity] = &rule;
  for (const Group& group : rules->groups)
    for (const Rule& rule : group.rules) old.erase(rule.identity);
  for (auto& [id, host] : hosts_) {
    for (const auto& [identity, rule] : old) {  // what is no rule any more is not firing any more
      auto it = host->states.find(identity);
      if (it == host->states.end()) continue;
      std::vector<AlertEdge> edges;
      it->second.ClearAll(edges);
      Emit(*host, *rule, edges, false, now);
      for (v1::RuleState& row : it->second.TakeRows(*rule, id)) states_.push_back(std::move(row));
      host->states.erase(it);
      Record(*host, identity, {}, now);
    }
  }
  rules_ = std::move(rules);
  group_due_.assign(rules_->groups.size(), 0);
  watches_.Reload(*rules_);
}

void Shard::HostUp(const HostInfo& info, bool windows_expected, Micros now) {
  Host& host = Enter(info, now);
  const bool returned = !host.up;
  // Windows that this process has kept are still there; those of a start before are not.
  host.expected = windows_expected || (host.expected && !host.replayed);
  if (host.expected) host.replayed = false;
  if (returned) host.since = now;
  if (host.expected) host.first = 0;
  host.up = host.seen = true;
  host.jobs[0].newest = now;
}

void Shard::HostReplayed(const std::string& host_id) {
  if (Host* host = Find(host_id)) host->replayed = true;
}

void Shard::GoDown(Host& host, Micros now) {
  host.up = false;
  host.since = now;
  host.pushed.clear();
  host.store.EndAll(now, [](const Labels& labels) { return labels.Get(kMetricName) != kUp; });
  host.outputs.clear();
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      auto it = host.states.find(rule.identity);
      if (it == host.states.end() || ReadsOnlyUp(rule)) continue;
      std::vector<AlertEdge> edges;
      it->second.Hold(edges);
      Emit(host, rule, edges, false, now);
    }
  MarkUp(host, now);
  RunWatches(now, &host.info.id);
}

void Shard::HostDown(const std::string& host_id, Micros now) {
  if (Host* host = Find(host_id); host != nullptr && host->up) GoDown(*host, now);
}

void Shard::HostAbsent(const HostInfo& info, Micros now) {
  Host& host = Enter(info, now);
  if (host.seen) return;
  host.expected = true;
  GoDown(host, now);
}

void Shard::HostRemoved(const std::string& host_id, Micros now) {
  Host* host = Find(host_id);
  if (host == nullptr) return;
  for (const Group& group : rules_->groups)
    for (const Rule& rule : group.rules) {
      auto it = host->states.find(rule.identity);
      if (it == host->states.end()) continue;
      std::vector<AlertEdge> edges;
      it->second.ClearAll(edges);
      Emit(*host, rule, edges, false, now);
      for (v1::RuleState& row : it->second.TakeRows(rule, host_id)) states_.push_back(std::move(row));
    }
  last_ = nullptr;
  restless_.erase(host_id);
  hosts_.erase(host_id);
}

uint32_t Shard::SeriesFor(const std::string& host_id, const std::string& name, const Labels& labels,
                          std::string_view job) {
  Host* host = Find(host_id);
  if (host == nullptr) return series::kNoSeries;
  Labels full = host->info.labels;
  full.Set("instance", host->info.name);
  full.Set("job", job);
  full.Set(kMetricName, name);
  for (const auto& [label, value] : labels) {
    if (label == kMetricName) continue;
    const bool ours = full.Has(label);
    full.Set(ours ? "exported_" + label : label, value);
  }
  const series::SeriesId id = host->store.SeriesFor(full);
  if (id == series::kNoSeries) return id;
  size_t index = 0;
  while (index < host->jobs.size() && host->jobs[index].name != job) ++index;
  if (index == host->jobs.size() && index < kMostJobs) host->jobs.push_back({std::string(job)});
  const size_t place = id & 0xffffff;
  if (host->job_of.size() <= place) host->job_of.resize(place + 1, 0);
  host->job_of[place] = static_cast<uint8_t>(std::min(index, kMostJobs - 1));
  return id;
}

void Shard::Append(const std::string& host_id, uint32_t handle, Sample sample) {
  Host* host = Find(host_id);
  if (host == nullptr || !host->store.Append(handle, sample)) return;
  Host::Job& job = host->jobs[host->job_of[handle & 0xffffff]];
  job.newest = std::max(job.newest, sample.at);
  if (host->first == 0 || sample.at < host->first) host->first = sample.at;
}

void Shard::Push(const std::string& host_id, uint32_t handle, Sample sample) {
  Append(host_id, handle, sample);
  Host* host = Find(host_id);
  if (host == nullptr || !host->store.Has(handle)) return;
  host->pushed.emplace(host->store.labels(handle).Get(kMetricName));
  restless_[host_id] = host;
}

// True once the windows of `window` length can be trusted.
bool Shard::Settled(const Host& host, Micros window, Micros now) {
  return !host.expected || host.replayed || (host.first != 0 && host.first + window <= now);
}

bool Shard::Known(const Host& host, const Rule& rule, Micros now) {
  return host.up && Settled(host, rule.window, now);
}

bool Shard::AllKnown(Micros now) const {
  for (const auto& [id, host] : hosts_) {
    if (host->up && !Settled(*host, rules_->longest_window, now)) return false;
    if (!host->up && !host->seen && now - host->since < options_.absent_grace) return false;
  }
  return true;
}

Micros Shard::NewestLoss() const {
  Micros newest = 0;
  for (const auto& [id, host] : hosts_)
    if (!host->up) newest = std::max(newest, host->since);
  return newest;
}

Micros Shard::NextDue() const {
  Micros next = 0;
  auto at = [&next](Micros t) {
    if (t != 0 && (next == 0 || t < next)) next = t;
  };
  for (Micros due : group_due_) at(due == 0 ? 1 : due);
  if (watches_.size() > 0) at(watches_due_ == 0 ? 1 : watches_due_);
  for (const auto& [id, host] : restless_) {
    if (!host->pushed.empty()) at(host->pushed_at + options_.push_gap);
    at(host->fire_due);
  }
  return next;
}

// What single hosts wait for: pushed samples within the gap, `for` clocks.
void Shard::TickHosts(Micros now) {
  const auto waiting = restless_;
  for (const auto& [id, host] : waiting) {
    if (!host->pushed.empty() && now >= host->pushed_at + options_.push_gap) RunPushed(*host, now);
    if (host->fire_due != 0 && host->fire_due <= now) RunForClocks(*host, now);
    if (host->pushed.empty() && host->fire_due == 0) restless_.erase(id);
  }
}

void Shard::Tick(Micros now) {
  TickHosts(now);
  EvaluateGroups(now);
  if (watches_.size() > 0 && now >= watches_due_) {
    watches_due_ = now + options_.watch_every;
    RunWatches(now, nullptr);
  }
  if (now < trim_due_) return;
  trim_due_ = now + kMinute;
  for (auto& [id, host] : hosts_) host->store.Trim(now, rules_->retention);
}

void Shard::SetWatch(const v1::Watch& watch, Micros now) {
  const absl::Status status = watches_.Set(watch, *rules_, options_.watches);
  if (!status.ok()) {
    ++counters_.refused_watches;
    counters_.last_failure = absl::StrCat("watch ", watch.id(), ": ", status.message());
    v1::WatchEdge* edge = edges_.emplace_back().mutable_watch_edge();
    edge->set_watch(watch.id());
    edge->set_value(v1::WatchEdge::NO_DATA);
    return;
  }
  RunWatches(now, &watch.host_id());
}

void Shard::EndWatch(const std::string& id) { watches_.End(id); }

void Shard::RunWatches(Micros now, const std::string* host_id) {
  auto view = [&](const std::string& id) -> WatchList::View {
    if (id.empty()) return {all_.get()};
    Host* host = Find(id);
    const bool known = host != nullptr && host->up && (!host->expected || host->replayed);
    return {known ? &host->source : nullptr};
  };
  watches_.Run(*rules_, view, host_id, now, options_.eval, edges_);
}

std::vector<v1::Payload> Shard::TakeEdges() { return std::exchange(edges_, {}); }
std::vector<v1::RuleState> Shard::TakeRuleStates() { return std::exchange(states_, {}); }

ShardStats Shard::stats() const {
  ShardStats stats = counters_;
  stats.hosts = hosts_.size();
  stats.watches = watches_.size();
  for (const auto& [id, host] : hosts_) {
    const series::StoreStats s = host->store.stats();
    stats.series.appended += s.appended;
    stats.series.out_of_order += s.out_of_order;
    stats.series.refused_series += s.refused_series;
    stats.series.refused_samples += s.refused_samples;
    stats.series.evicted_chunks += s.evicted_chunks;
    stats.series.series += s.series;
    stats.series.bytes += s.bytes;
  }
  return stats;
}

// up{job}: 1 while the job's samples are recent, nothing when it has gone quiet, 0 for all while the host is
// down.
void Shard::MarkUp(Host& host, Micros at) {
  for (Host::Job& job : host.jobs) {
    if (host.up && &job == &host.jobs[0]) job.newest = at;
    const bool recent = host.up && job.newest + options_.up_recent >= at;
    if (job.up == series::kNoSeries) {
      Labels labels = host.info.labels;
      labels.Set(kMetricName, kUp);
      labels.Set("job", job.name);
      labels.Set("instance", host.info.name);
      job.up = host.store.SeriesFor(labels);
    }
    if (host.up && !recent) {
      host.store.End(job.up, at);
    } else {
      host.store.Append(job.up, {at, host.up ? 1.0 : 0.0});
    }
  }
}

}  // namespace quell::rules
