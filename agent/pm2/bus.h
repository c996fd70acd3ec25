// Pm2Bus: reads a PM2 daemon's pub.sock. It never writes there (malformed input takes the daemon down) and
// skips the bodies of what it doesn't want by their length, since a subscriber that lags makes the daemon
// hold its queue in memory without limit: one that can't keep up closes. Owned and used by one thread.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/pm2/amp.h"
#include "agent/pm2/messages.h"
#include "agent/pm2/socket.h"
#include "common/base/clock.h"
#include "quell/v1/reader.pb.h"

namespace quell::pm2 {

struct DaemonKilled {};  // pm2:kill: the daemon was told to go, and stops its apps
using BusMessage = std::variant<v1::Pm2Event, ExitLine, DaemonKilled>;

class Pm2Bus {
 public:
  // Connects and checks the peer, as Pm2Client does. `behind` is how long the socket may never be found
  // empty before Read gives up with ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Pm2Bus>> Connect(const std::string& home, uid_t uid, Micros within,
                                                         Clock& clock, Micros behind = 5 * kSecond);

  // Waits until `deadline` (monotonic) for bytes and hands over the messages in them. DeadlineExceeded:
  // nothing came. Unavailable, InvalidArgument, ResourceExhausted: the connection is over, messages may be
  // missing.
  absl::Status Read(Micros deadline, const std::function<void(BusMessage&&)>& on_message);

  int fd() const { return socket_.fd(); }
  pid_t peer_pid() const { return socket_.peer_pid(); }
  uint64_t malformed() const { return malformed_; }  // bodies that could not be read, skipped

 private:
  Pm2Bus(Pm2Socket socket, Clock& clock, Micros behind);
  void Take(AmpFrame&& frame, const std::function<void(BusMessage&&)>& on_message);

  Pm2Socket socket_;
  Clock& clock_;
  const Micros behind_;
  AmpParser parser_;
  Micros full_since_ = 0;  // monotonic; since when every read has filled the buffer; 0: the last one didn't
  uint64_t malformed_ = 0;
};

}  // namespace quell::pm2
