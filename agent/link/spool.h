// Spool: what the agent keeps for its controller. Owned by main, outlives collectors and link. Thread-safe;
// no call waits for the network, those that add an event or a report wait for one write to the disk (no
// sync).
//
//   samples   10 min or 16 MiB in memory, oldest dropped and counted; kept after sending, so that they can be
//   sent
//             again to a controller that lost them
//   events    32 MiB on disk, oldest dropped and counted; sent until acknowledged
//   reports   32 MiB on disk, never dropped: when full, AddReport refuses and no new command is taken
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/collectors/collector.h"
#include "agent/link/segment_log.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/telemetry.pb.h"

namespace quell::agent {

class Spool final : public CollectorSink {
 public:
  struct Options {
    std::string directory;  // exists
    std::string boot_id;
    Micros sample_age = 10 * kMinute;
    uint64_t sample_bytes = 16ull << 20;
    uint64_t event_bytes = 32ull << 20;
    uint64_t report_bytes = 32ull << 20;
    uint64_t segment_bytes = 1 << 20;
  };
  struct Counts {
    uint64_t samples_dropped = 0;  // single values
    uint64_t events_dropped = 0;
    uint64_t reports_refused = 0;  // AddReport said no
    uint64_t damaged = 0;          // entries that could not be read back
  };
  struct StoredSample {
    uint64_t index = 0;                            // counts up, in order of arrival
    std::shared_ptr<const Collection> collection;  // shared with sessions that are just writing it
  };

  static absl::StatusOr<std::unique_ptr<Spool>> Open(Disk& disk, Clock& clock, Options options);

  // CollectorSink.
  void Add(Collection collection) override;
  void Add(v1::Event event) override;

  // Keeps a report until the controller has acknowledged it. The report gets the spool's own number as seq;
  // the journal's is remembered. A report that is kept already (same journal seq, id and outcome) is fine.
  // ResourceExhausted when full, the disk's error otherwise: the executor will bring it again.
  // Until it has, nothing with a higher number of the journal counts as done: the executor would forget this
  // one.
  absl::Status AddReport(v1::CommandReport report);
  // The executor has connected, and brings everything again that is not done, lowest number first.
  void ExecutorConnected();

  // Called, from any thread, after something was added. Set once, before anything is added.
  void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }

  // For sessions. Events and reports are synced before they are handed out.
  std::vector<StoredSample> Samples(uint64_t from_index, size_t items) const;
  // Index of the first sample taken at `monotonic` or later; that of the next one when there is none.
  uint64_t FirstSampleAt(Micros monotonic) const;
  uint64_t next_sample() const;
  Micros oldest_sample() const;  // 0 when there is none
  std::vector<v1::Event> Events(uint64_t after, size_t items, size_t bytes);
  std::vector<v1::CommandReport> Reports(uint64_t after, size_t items, size_t bytes);
  void AcknowledgeEvents(uint64_t seq);
  // The journal's numbers up to which the executor may forget its reports; 0: nothing new.
  uint64_t AcknowledgeReports(uint64_t seq);
  bool results_full() const;
  uint64_t events_acknowledged() const;
  uint64_t reports_acknowledged() const;
  Counts counts() const;

 private:
  Spool(Clock& clock, Options options) : clock_(clock), options_(std::move(options)) {}
  uint64_t CostOf(const Collection& collection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropOldestSample() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TrimSamples(Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static std::string ReportKey(const v1::CommandReport& report);
  uint64_t JournalDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() const {
    if (wake_) wake_();
  }

  struct Held {
    std::shared_ptr<const Collection> collection;
    uint64_t cost = 0;
  };
  struct ListUse {
    uint64_t samples = 0;
    uint64_t bytes = 0;
  };

  Clock& clock_;
  const Options options_;
  std::function<void()> wake_;
  mutable absl::Mutex mutex_;
  std::deque<Held> samples_ ABSL_GUARDED_BY(mutex_);
  uint64_t first_sample_ ABSL_GUARDED_BY(mutex_) = 0;  // index of samples_.front()
  uint64_t sample_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<const void*, ListUse> lists_ ABSL_GUARDED_BY(mutex_);  // series lists in use, each counted once
  std::unique_ptr<SegmentLog> events_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<SegmentLog> reports_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> report_keys_ ABSL_GUARDED_BY(mutex_);  // key -> spool number, of those kept
  std::deque<std::string> recent_keys_
      ABSL_GUARDED_BY(mutex_);  // of those acknowledged lately, at most 1,000
  std::map<uint64_t, uint64_t> journal_
      ABSL_GUARDED_BY(mutex_);  // journal seq -> spool number; 0: done; kNotKept
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

// Cuts a report's evidence so that the whole report fits one frame, longest items first, and marks what was
// cut.
void FitReport(v1::CommandReport& report);

}  // namespace quell::agent
