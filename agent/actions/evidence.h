// EvidenceCollector: gathers named items within a budget of time and bytes. What could not be had is an item
// too, with the reason. One thread, one collection.
#pragma once
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

class EvidenceCollector {
 public:
  // The budget runs from `began` (monotonic).
  EvidenceCollector(Clock& clock, Micros began, Micros budget, uint64_t bytes, v1::WorkerResult& result)
      : clock_(clock), end_(began + budget), bytes_left_(bytes), result_(result) {}

  Micros left() const { return end_ - clock_.Monotonic(); }
  // Calls `take` while there is time, and files its answer under `name`.
  template <typename Take>
  void Item(const std::string& name, Take take) {
    if (left() <= 0) return Missing(name, "the budget of time was used up");
    Add(name, take());
  }
  void Missing(const std::string& name, const std::string& why);

 private:
  void Add(const std::string& name, absl::StatusOr<std::string> content);

  Clock& clock_;
  const Micros end_;
  uint64_t bytes_left_;
  v1::WorkerResult& result_;
};

// The last `lines` lines of a log, read from its end: a regular file, no link followed, at most `bytes`.
absl::StatusOr<std::string> TailOfLog(const std::string& path, int lines, uint64_t bytes);

// Everything about one process of an app; `suffix` ("" or "/PM_ID") tells items of several apart.
void CollectProcess(EvidenceCollector& collector, const std::string& proc_root, int64_t pid,
                    const std::string& suffix);

}  // namespace quell::agent
