// CollectorRunner: gives each collector a thread of its own and a pace, so that one that hangs or fails is
// told about and stops no other. It reports
//   - the events collector.failed, collector.hanging and collector.recovered {collector}, on the edge;
//   - the series quell_collector_up{collector} (1 when the last collection went well in time), job "agent",
//     each 5 s and on every change.
// Add before Start; Start and Stop once, by the owner's thread. A thread that hangs beyond Stop's patience is
// left behind: what it still holds lives on with it, and what it still produces goes nowhere.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/collectors/collector.h"
#include "agent/collectors/series_table.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

namespace quell::agent {

class CollectorRunner {
 public:
  CollectorRunner(Clock& clock, CollectorSink& sink, Micros stop_patience = 2 * kSecond);
  ~CollectorRunner();
  void Add(std::unique_ptr<Collector> collector);
  // Called by the watching thread after each look at all collectors that found one which does not hang.
  // Before Start; must be quick.
  void OnCycle(std::function<void()> on_cycle) { on_cycle_ = std::move(on_cycle); }
  void Start();
  void Stop();

 private:
  class Entry;
  void Watch();
  void Report(Micros now, bool changed);

  Clock& clock_;
  CollectorSink& sink_;
  const Micros stop_patience_;
  // Shared with each collector's thread, which may outlive this object when its collector hangs.
  std::vector<std::shared_ptr<Entry>> entries_;
  SeriesTable table_;
  std::function<void()> on_cycle_;
  Micros told_ = 0;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool started_ = false;
  NamedThread watch_;
};

}  // namespace quell::agent
