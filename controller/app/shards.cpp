#include "controller/app/shards.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "controller/catalogue/match.h"
#include "controller/promql/source.h"
#include "controller/signals/correlation.h"

namespace quell::app {
namespace {

constexpr absl::Duration kPartTimeout = absl::Seconds(2);
constexpr size_t kMostSamplesPerRead = 5'000'000;

// The newest word about a watch is what counts.
std::string WatchTask(const std::string& id) { return "watch " + id; }

}  // namespace

// One source over all shards. Each part is copied out by its own thread; a part that does not answer makes
// the whole reading invalid, for rules are never evaluated on a part.
class Shards::Fan final : public promql::SeriesSource {
 public:
  explicit Fan(std::vector<std::unique_ptr<ShardThread>>& threads) : threads_(threads) {}

  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    for (auto& thread : threads_) {
      Copied copied;
      const bool ran = thread->RunAndWait(
          [&](HostShard& shard, Micros) {
            shard.rules().source().Select(
                matchers, from, to, read, [&](const Labels& labels, std::span<const Sample> samples) {
                  copied.count += samples.size();
                  copied.series.emplace_back(labels, std::vector<Sample>(samples.begin(), samples.end()));
                  return copied.count <= kMostSamplesPerRead;
                });
          },
          kPartTimeout);
      if (!ran || copied.count > kMostSamplesPerRead) {
        complete_ = false;
        return false;
      }
      for (const auto& [labels, samples] : copied.series) {
        if (!visit(labels, samples)) return false;
      }
    }
    return true;
  }
  bool complete() const override { return complete_; }

 private:
  struct Copied {
    std::vector<std::pair<Labels, std::vector<Sample>>> series;
    size_t count = 0;
  };
  std::vector<std::unique_ptr<ShardThread>>& threads_;
  mutable bool complete_ = true;
};

Shards::Shards(size_t count, std::shared_ptr<const rules::RuleSet> rules, fleet::Liveness::Options liveness,
               NowFunction now, PostFunction deliver)
    : now_(std::move(now)) {
  const PostFunction post = [this, deliver = std::move(deliver)](InputClass c, EngineInput input) {
    if (input.payload.has_signal_edge()) NameService(*input.payload.mutable_signal_edge()->mutable_signal());
    return deliver(c, std::move(input));
  };
  for (size_t i = 0; i < count; ++i) {
    threads_.push_back(std::make_unique<ShardThread>(
        absl::StrCat("shard-", i), std::make_unique<HostShard>(rules, rules::ShardOptions{}, liveness), now_,
        post, [](HostShard& shard, Micros at) { shard.Tick(at); }));
  }
  auto global = std::make_unique<rules::GlobalRules>(rules, promql::EvalOptions{},
                                                     [this](std::string_view name) { return HostOf(name); });
  global_ = std::make_unique<RuleThread<rules::GlobalRules>>(
      "global-rules", std::move(global), now_, post,
      [this](rules::GlobalRules& subject, Micros at) { GlobalTick(subject, at); });
}

Shards::~Shards() { Stop(); }

void Shards::Restore(const std::vector<v1::RuleState>& states, const std::map<std::string, v1::Host>& hosts,
                     Micros now) {
  std::map<ShardThread*, std::vector<v1::RuleState>> parts;
  std::vector<v1::RuleState> global;
  for (const v1::RuleState& state : states) {
    (state.host_id().empty() ? global : parts[&Of(state.host_id())]).push_back(state);
  }
  for (auto& [thread, part] : parts) thread->subject().rules().Restore(part, now);
  global_->subject().Restore(global, now);
  for (const auto& [id, host] : hosts) {
    // Of one that enrolled and never came nothing is expected yet.
    if (host.revoked() || host.deleted() || host.first_seen_us() == 0) continue;
    Of(id).subject().Restore(host, now);
    NoteHost(id, host.name(), {host.labels().begin(), host.labels().end()});
  }
}

void Shards::Start() {
  for (auto& thread : threads_) thread->Start();
  global_->Start();
}

void Shards::Stop() {
  global_->Stop();  // first: it waits for the others
  for (auto& thread : threads_) thread->Stop();
}

ShardThread& Shards::Of(const std::string& host_id) {
  return *threads_[absl::Hash<std::string>{}(host_id) % threads_.size()];
}

void Shards::Take(const v1::Host& host) {
  if (HostOf(host.name()) == host.id())
    NoteHost(host.id(), host.name(), {host.labels().begin(), host.labels().end()});
  Of(host.id()).Submit([host](HostShard& shard, Micros now) {
    host.revoked() || host.deleted() ? shard.Remove(host.id(), now) : shard.Relabel(host, now);
  });
}

void Shards::NoteHost(const std::string& host_id, const std::string& name,
                      std::map<std::string, std::string> labels) {
  absl::MutexLock lock(&names_mutex_);
  hosts_by_name_[name] = {host_id, std::move(labels)};
}

std::string Shards::HostOf(std::string_view instance) const {
  absl::MutexLock lock(&names_mutex_);
  auto found = hosts_by_name_.find(instance);
  return found == hosts_by_name_.end() ? "" : found->second.id;
}

void Shards::SetCatalogue(std::shared_ptr<const catalogue::Catalogue> catalogue) {
  absl::MutexLock lock(&names_mutex_);
  catalogue_ = std::move(catalogue);
}

void Shards::NameService(v1::Signal& signal) const {
  const std::string_view instance = signals::LabelOf(signal, "instance");
  std::shared_ptr<const catalogue::Catalogue> catalogue;
  std::map<std::string, std::string> labels;
  {
    absl::MutexLock lock(&names_mutex_);
    if (catalogue_ == nullptr) return;
    catalogue = catalogue_;
    if (auto host = hosts_by_name_.find(instance); host != hosts_by_name_.end()) labels = host->second.labels;
  }
  catalogue::Name(*catalogue, instance.empty() ? nullptr : &labels, signal);
}

void Shards::Load(std::shared_ptr<const rules::RuleSet> rules) {
  for (auto& thread : threads_) {
    thread->SubmitSurely("rules", [rules](HostShard& shard, Micros now) { shard.rules().Load(rules, now); });
  }
  global_->SubmitSurely("rules",
                        [rules](rules::GlobalRules& global, Micros now) { global.Load(rules, now); });
}

void Shards::SetWatch(const v1::Watch& watch) {
  const std::string name = WatchTask(watch.id());
  if (watch.host_id().empty()) {
    global_->SubmitSurely(name,
                          [watch](rules::GlobalRules& global, Micros now) { global.SetWatch(watch, now); });
    return;
  }
  Of(watch.host_id()).SubmitSurely(name, [watch](HostShard& shard, Micros now) {
    shard.rules().SetWatch(watch, now);
  });
}

void Shards::EndWatch(const std::string& id) {
  const std::string name = WatchTask(id);
  global_->SubmitSurely(name, [id](rules::GlobalRules& global, Micros) { global.EndWatch(id); });
  for (auto& thread : threads_) {
    thread->SubmitSurely(name, [id](HostShard& shard, Micros) { shard.rules().EndWatch(id); });
  }
}

absl::StatusOr<promql::Value> Shards::Query(const promql::Expr& expr, Micros at) {
  Fan fan(threads_);
  auto value = promql::Evaluate(expr, at, fan);
  if (!fan.complete())
    return absl::UnavailableError("not every shard answered in time; ask again or for less");
  return value;
}

absl::StatusOr<promql::Value> Shards::QueryRange(const promql::Expr& expr, Micros from, Micros to,
                                                 Micros step) {
  Fan fan(threads_);
  auto value = promql::EvaluateRange(expr, from, to, step, fan);
  if (!fan.complete())
    return absl::UnavailableError("not every shard answered in time; ask again or for less");
  return value;
}

void Shards::GlobalTick(rules::GlobalRules& global, Micros now) {
  bool complete = true;
  Micros newest_loss = 0;
  for (auto& thread : threads_) {
    bool known = false;
    Micros loss = 0;
    const bool ran = thread->RunAndWait(
        [&](HostShard& shard, Micros at) {
          known = shard.rules().AllKnown(at);
          loss = shard.rules().NewestLoss();
        },
        kPartTimeout);
    complete = complete && ran && known;
    newest_loss = std::max(newest_loss, loss);
  }
  Fan fan(threads_);
  global.Tick(now, fan, complete, newest_loss);
}

Micros Shards::DataAge(Micros now) {
  Micros age = -1;
  for (auto& thread : threads_) {
    Micros oldest = 0;
    const bool ran =
        thread->RunAndWait([&](HostShard& shard, Micros) { oldest = shard.StalestSample(); }, kPartTimeout);
    if (ran && oldest != 0) age = std::max(age, now - oldest);
  }
  return age;
}

std::vector<rules::ShardStats> Shards::Stats() {
  std::vector<rules::ShardStats> all;
  for (auto& thread : threads_) {
    rules::ShardStats stats;
    if (thread->RunAndWait([&](HostShard& shard, Micros) { stats = shard.rules().stats(); }, kPartTimeout))
      all.push_back(stats);
  }
  return all;
}

uint64_t Shards::refused() const {
  uint64_t all = global_->refused();
  for (const auto& thread : threads_) all += thread->refused();
  return all;
}

uint64_t Shards::shed() const {
  uint64_t all = 0;
  for (const auto& thread : threads_) all += thread->shed();
  return all;
}

}  // namespace quell::app
