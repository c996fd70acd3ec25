// The collector `pm2`: the apps of every configured PM2 user, from the frames of that user's reader (state
// and events) and from /proc (CPU, memory, whether the process is there). app_state.h says what its series
// mean.
//
// Attach may be called by any thread, whenever a reader is handed over; a second one for the same user takes
// the first one's place. A thread of its own reads the frames and pushes events as they come; Collect runs on
// the runner's thread. The sink outlives the collector.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/collectors/collector.h"
#include "agent/collectors/host/proc_file.h"
#include "agent/collectors/key_memory.h"
#include "agent/collectors/pm2/app_state.h"
#include "agent/collectors/pm2/frame_reader.h"
#include "agent/collectors/pm2/processes.h"
#include "agent/collectors/series_table.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

namespace quell::agent {

class Pm2Collector final : public Collector {
 public:
  static constexpr Micros kReaderGrace = 10 * kSecond;  // for a reader to come, or come back
  static constexpr Micros kSilence = 45 * kSecond;      // a reader tells something each 15 s
  // Events pushed per user: a burst, and then so many a second. More are counted, not pushed: apps that do
  // nothing but crash are told by their series all the same.
  static constexpr double kEventBurst = 300;
  static constexpr double kEventsPerSecond = 20;

  // `users` are those a reader is expected for. `memory`: a file of this collector's own for what PM2's list
  // doesn't say; empty: nothing outlives the process.
  Pm2Collector(std::string root, std::vector<std::string> users, Micros every, Clock& clock,
               CollectorSink& sink, Disk& disk = RealDisk(), std::string memory = "");
  ~Pm2Collector() override;

  // Takes over `fd`, a connected stream socket to that user's quell-pm2-reader. A user that is not expected
  // is refused and the descriptor closed.
  void Attach(const std::string& user, int fd);

  std::string_view name() const override { return "pm2"; }
  Micros every() const override { return every_; }
  Micros patience() const override { return every_ + 2 * kSecond; }
  absl::Status Collect(Clock& clock, CollectorSink& sink) override;

 private:
  struct User {
    std::unique_ptr<FrameReader> reader;  // nullptr: none is attached
    Micros heard = 0;                     // monotonic; the last frame, or when a reader was last expected
    std::string error;                    // why its reader was let go
    bool blind = false;                   // its series have ended
    Pm2State state;
    Processes processes;
    uint64_t dropped = 0;   // events that readers dropped
    uint64_t withheld = 0;  // events over the budget
    double budget = kEventBurst;
    Micros budget_at = 0;  // monotonic; when `budget` was right
    explicit User(std::string root) : processes(std::move(root)) {}
  };

  void Listen();
  void Serve(const std::string& name, User& user, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(const std::string& name, User& user, const v1::ReaderFrame& frame, Micros now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether one more event may be pushed now; takes it from the budget.
  static bool MayPush(User& user, Micros now);
  void Push(const std::string& name, User& user, const AppChange& change, Micros now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutUser(const std::string& name, User& user, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Recall(const std::string& name, User& user) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(const std::string& name, const User& user) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake();

  const std::string root_;
  const Micros every_;
  Clock& clock_;
  CollectorSink& sink_;
  int wake_fd_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, User> users_ ABSL_GUARDED_BY(mutex_);
  SeriesTable table_ ABSL_GUARDED_BY(mutex_);
  // "USER/PM_ID" -> "DAEMON_PID STARTED_MS NAME"
  KeyMemory memory_ ABSL_GUARDED_BY(mutex_);
  Micros collected_ ABSL_GUARDED_BY(mutex_) = 0;  // monotonic; time of the last collection
  NamedThread thread_;
};

}  // namespace quell::agent
