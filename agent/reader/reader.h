// Reader: watches one PM2 daemon (one user's, one home) and tells the agent: the list each 15 s and after
// whatever may have changed it (at most once a second), events as they happen, and when the daemon is absent,
// late or another one. Two threads: the bus is drained by one that does nothing else; Run() is the other.
#pragma once
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/pm2/bus.h"
#include "agent/pm2/rpc.h"
#include "agent/reader/exit_join.h"
#include "agent/reader/frame_writer.h"
#include "common/base/clock.h"

namespace quell::reader {

struct ReaderOptions {
  std::string home;
  uid_t uid = 0;
  Micros list_every = 15 * kSecond;
  Micros list_gap = kSecond;                // at least this between two lists
  Micros retry_least = 200 * kMillisecond;  // back-off while the daemon is away
  Micros retry_most = 2 * kSecond;
  Micros answer_within = pm2::kReadDeadline;
};

class Reader {
 public:
  Reader(ReaderOptions options, Clock& clock, FrameWriter& writer);
  void Run();   // until Stop
  void Stop();  // any thread

 private:
  // The list's side.
  void TellList();
  absl::StatusOr<v1::ReaderFrame> AskList();
  void TellDown(const absl::Status& why);
  // Waits until a list is due or wanted; false when stopped.
  bool AwaitList();

  // The bus' side.
  void RunBus();
  void ReadBus(pm2::Pm2Bus& bus);
  void Take(pm2::BusMessage&& message);
  void SendEvents(std::vector<v1::Pm2Event> events, bool gap);
  bool Pause(Micros d);
  bool PauseBus(Micros* retry);
  bool stopped();
  void WantList();

  const ReaderOptions options_;
  Clock& clock_;
  FrameWriter& writer_;

  std::unique_ptr<pm2::Pm2Client> client_;
  std::string version_;
  Micros last_list_ = 0;    // monotonic; when the last one was asked for
  Micros retry_ = 0;        // 0: the daemon answers
  std::string told_error_;  // what the last frame said, so that the log has it once

  ExitJoin join_;
  std::string bus_told_;  // the last refusal logged

  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool daemon_back_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quell::reader
