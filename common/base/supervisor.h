// What the service manager is told over $NOTIFY_SOCKET (sd_notify(3)): ready, stopping, and that work goes
// on. The protocol is one datagram, so it is spoken here: libsystemd would bring five compression and cipher
// libraries, 0.5 MB of memory each, into programs that root runs. Without a manager nothing happens.
#pragma once
#include <atomic>
#include <cstddef>
#include <string_view>

#include "common/base/clock.h"

namespace quell {

// "READY=1", "STOPPING=1". False when no manager listens or it took nothing. Any thread.
bool TellSupervisor(std::string_view state);

// The watchdog of the service manager (WatchdogSec=), fed by work that was completed and never by a timer:
// only when every one of the program's loops has come round since the last feeding, and at most each eighth
// of the manager's patience. Owned by main; Completed may be called by any thread and is quick.
class Watchdog {
 public:
  // At most 32 parts. patience: by default the manager's, of $WATCHDOG_USEC and $WATCHDOG_PID; 0: no
  // watchdog.
  Watchdog(Clock& clock, size_t parts);
  Watchdog(Clock& clock, size_t parts, Micros patience);
  void Completed(size_t part);

 private:
  Clock& clock_;
  const uint32_t all_;
  const Micros patience_;
  std::atomic<uint32_t> completed_{0};
  std::atomic<Micros> fed_{0};
};

}  // namespace quell
