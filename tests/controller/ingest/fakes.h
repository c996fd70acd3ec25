// Ports of ingest for tests: shards and hosts in memory, and an output that keeps what is sent. Thread-safe.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controller/ingest/ports.h"
#include "controller/ingest/registry.h"

namespace quell::ingest {

class MemoryDirectory final : public HostDirectory {
 public:
  absl::StatusOr<HostRecord> Find(const std::string& id) override {
    absl::MutexLock lock(&mutex_);
    if (revoked_.contains(id)) return absl::PermissionDeniedError("the agent " + id + " is revoked");
    auto found = hosts_.find(id);
    if (found == hosts_.end()) return absl::NotFoundError("no host with the id " + id + " is known here");
    return found->second;
  }
  void Revoke(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    revoked_.insert(id);
  }
  void Add(const std::string& id, const std::string& name) {
    absl::MutexLock lock(&mutex_);
    hosts_[id] = HostRecord{id, name, {}};
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, HostRecord> hosts_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> revoked_ ABSL_GUARDED_BY(mutex_);
};

// Takes down everything; says no where the test wants that.
class RecordingShard final : public ShardPort, public ShardRouter {
 public:
  struct Seen {
    std::vector<std::string> opened, closed, goodbyes, refused,
        histories;  // host ids (reasons for the last three)
    std::vector<v1::Heartbeat> heartbeats;
    std::map<std::string, std::vector<double>> values;  // by "host/metric": of every sample that came
    std::map<std::string, std::vector<Micros>> times;
    std::vector<bool> live;
    std::vector<std::string> kinds;  // of events
    std::vector<Micros> event_times;
    std::vector<std::string> outcomes;  // "host/outcome" of reports
    uint64_t events_through = 0, reports_through = 0;
    uint64_t samples = 0;
  };

  ShardPort& Of(const std::string&) override { return *this; }
  bool Opened(const HostRecord& host, uint64_t, const v1::Hello&, const std::string& history,
              Micros) override {
    absl::MutexLock lock(&mutex_);
    seen_.opened.push_back(host.id);
    if (!history.empty()) seen_.histories.push_back(history);
    return !full_;
  }
  void Closed(const std::string& host_id, uint64_t, Micros) override {
    absl::MutexLock lock(&mutex_);
    seen_.closed.push_back(host_id);
  }
  bool Heartbeat(const std::string&, const v1::Heartbeat& heartbeat, Micros) override {
    absl::MutexLock lock(&mutex_);
    seen_.heartbeats.push_back(heartbeat);
    return true;
  }
  void Goodbye(const std::string&, const std::string& why, Micros) override {
    absl::MutexLock lock(&mutex_);
    seen_.goodbyes.push_back(why);
  }
  bool Samples(const std::string& host_id, std::vector<SampleBatch> batches) override {
    absl::MutexLock lock(&mutex_);
    if (full_) return false;
    for (const SampleBatch& batch : batches) {
      if (batch.table->job != "quell") seen_.live.push_back(batch.live);
      for (size_t i = 0; i < batch.values.size(); ++i) {
        const std::string budget(batch.table->rows[i].labels.Get("budget"));
        const std::string key =
            host_id + "/" + batch.table->rows[i].name + (budget.empty() ? "" : "/" + budget);
        seen_.values[key].push_back(batch.values[i]);
        seen_.times[key].push_back(batch.at);
        ++seen_.samples;
      }
    }
    return true;
  }
  bool Events(const HostRecord&, std::vector<TimedEvent> events, uint64_t through) override {
    absl::MutexLock lock(&mutex_);
    if (full_) return false;
    for (const TimedEvent& event : events) {
      seen_.kinds.push_back(event.event.kind());
      seen_.event_times.push_back(event.at);
    }
    if (through != 0) seen_.events_through = through;
    return true;
  }
  bool Reports(const HostRecord& host, std::vector<TimedReport> reports, uint64_t through) override {
    absl::MutexLock lock(&mutex_);
    if (full_) return false;
    for (const TimedReport& report : reports)
      seen_.outcomes.push_back(host.id + "/" + v1::Outcome_Name(report.report.outcome()));
    seen_.reports_through = through;
    return true;
  }
  void Refused(const HostRecord&, const std::string& why, Micros) override {
    absl::MutexLock lock(&mutex_);
    seen_.refused.push_back(why);
  }

  Seen seen() const {
    absl::MutexLock lock(&mutex_);
    return seen_;
  }
  void set_full(bool full) {
    absl::MutexLock lock(&mutex_);
    full_ = full;
  }
  // Waits until what was seen is as `holds` says; false after 20 s.
  bool WaitFor(const std::function<bool(const Seen&)>& holds) {
    absl::MutexLock lock(&mutex_);
    auto condition = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return holds(seen_); };
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), absl::Seconds(20));
  }

 private:
  mutable absl::Mutex mutex_;
  Seen seen_ ABSL_GUARDED_BY(mutex_);
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
};

class RecordingOutput final : public SessionOutput {
 public:
  bool Send(v1::ControllerFrame frame) override {
    absl::MutexLock lock(&mutex_);
    if (ended_) return false;
    frames_.push_back(std::move(frame));
    return true;
  }
  void End(absl::Status why) override {
    absl::MutexLock lock(&mutex_);
    if (!ended_) ended_ = why;
  }
  std::vector<v1::ControllerFrame> frames() const {
    absl::MutexLock lock(&mutex_);
    return frames_;
  }
  v1::ControllerFrame last() const {
    absl::MutexLock lock(&mutex_);
    return frames_.empty() ? v1::ControllerFrame() : frames_.back();
  }
  std::optional<absl::Status> ended() const {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<v1::ControllerFrame> frames_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::ingest
