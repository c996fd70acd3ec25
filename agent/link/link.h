// Link: the loop that keeps one stream to one of the controllers: dial, run a LinkSession over it, back off
// with jitter, dial again. Owned by main; one thread of its own. A failed attempt is always told in the log,
// with its reason.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/link/executor_port.h"
#include "agent/link/session.h"
#include "common/base/clock.h"
#include "common/base/net.h"
#include "common/base/thread.h"

namespace quell::agent {

struct LinkOptions {
  std::vector<std::string> addresses;      // tried in turn
  Micros connect_deadline = 10 * kSecond;  // until the controller's welcome
  Micros backoff_least = kSecond;
  Micros backoff_most = 30 * kSecond;
  Micros goodbye_most = 3 * kSecond;  // how long a stop may take
  std::function<void()> on_cycle;     // after each turn of the loop, by its thread; must be quick
};

// How long to wait before the next attempt: doubling from `least` to `most`, of which half is by chance.
// random: 0 to 1.
Micros BackoffDelay(const LinkOptions& options, int failures, double random);

class Link {
 public:
  // All of them outlive the link. Takes the spool's wake and the executor's callbacks.
  Link(LinkOptions options, AgentFacts facts, Clock& clock, Spool& spool, ExecutorPort& executor,
       HeadMemory& head, FrameDialer& dialer, IdentityPort* identity = nullptr);
  ~Link();
  void Start();
  // Says goodbye with this reason if a stream is open, ends it, joins. Idempotent.
  void Stop(const std::string& why);

  bool connected() const { return connected_; }
  std::string last_error() const;  // of the newest attempt that failed

 private:
  void Run();
  absl::Status RunStream(const std::string& address, bool* welcomed);
  absl::Status RunSession(FrameStream& stream, LinkSession& session, const std::string& address);
  absl::Status ReadAll(FrameStream& stream, LinkSession& session, const std::string& address);
  void WriteAll(FrameStream& stream, LinkSession& session);
  void SayGoodbye(FrameStream& stream);
  void Wake();
  bool stopping() const;
  LinkSession::Times Now() { return {clock_.Monotonic(), clock_.Wall()}; }

  const LinkOptions options_;
  const AgentFacts facts_;
  Clock& clock_;
  Spool& spool_;
  ExecutorPort& executor_;
  HeadMemory& head_;
  FrameDialer& dialer_;
  IdentityPort* const identity_;  // null: nothing renews
  std::atomic<bool> connected_{false};
  std::atomic<bool> status_changed_{false};
  mutable absl::Mutex mutex_;
  FrameStream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string goodbye_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  NamedThread thread_;
};

}  // namespace quell::agent
