// Outbox: carries notices to their receivers, one thread and one queue each, so that a slow receiver delays
// no other. Owned by main; Send may be called by any thread and never blocks.
//
// It remembers nothing: the engine recorded the notice before it came here, and hands it in again after a
// restart. Bounds: 256 notices wait per receiver; what comes beyond is answered at once as not sent, to be
// tried again, and counted. An attempt takes at most `deadline`.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/base/queue.h"
#include "common/base/thread.h"
#include "controller/receivers/receiver.h"
#include "quell/v1/log.pb.h"

namespace quell::receivers {

using Receivers = std::map<std::string, std::unique_ptr<ReceiverPlugin>>;  // by name

struct OutboxOptions {
  std::string installation;
  Micros deadline = 10 * kSecond;  // of one attempt, a duration
};

class Outbox {
 public:
  // `told` gets the result of each notice that was handed in, from a receiver's thread or from Send itself.
  // It may be called by several threads at once, and must not call back.
  Outbox(Receivers receivers, OutboxOptions options, std::function<void(v1::NoticeResult)> told);
  // Waits for the attempts that run (at most one deadline). What still waits, and what comes later, is told
  // as not sent and not begun, so that the next start need not call it a repeat; whoever records results is
  // to be stopped after this.
  ~Outbox();
  void Stop();  // the same, earlier; idempotent

  void Send(const v1::Notice& notice);

  uint64_t sent() const { return sent_; }
  uint64_t failed() const { return failed_; }
  uint64_t refused() const { return refused_; }  // a full queue or no such receiver
  size_t waiting() const;

 private:
  struct Lane {
    std::unique_ptr<ReceiverPlugin> plugin;
    BoundedQueue<v1::Notice> queue{256};
    NamedThread thread;
  };
  void Run(Lane& lane);
  void NotBegun(const v1::Notice& notice);
  void Refuse(const v1::Notice& notice, std::string error, bool permanent);

  const OutboxOptions options_;
  const std::function<void(v1::NoticeResult)> told_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> sent_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> refused_{0};
  std::map<std::string, std::unique_ptr<Lane>> lanes_;  // not changed once the threads run
};

}  // namespace quell::receivers
