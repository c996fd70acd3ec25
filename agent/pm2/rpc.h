// Pm2Client: calls a PM2 daemon over $PM2_HOME/rpc.sock. A wrong request can take the daemon and all its apps
// down, so requests are fixed templates into which only integers go, and absolute paths as JSON strings; what
// the daemon's `methods` answer lacks or lists with other parameters is not called. Nothing is written to a
// daemon of another user than the wanted one. Owned by one object, used by one thread.
//
//   auto client = Pm2Client::Connect(home, uid, 2 * kSecond, RealClock());
//   auto apps = (*client)->ListApps();
//   auto done = (*client)->Restart((*apps)[0].pm_id(), 5 * kSecond);
#pragma once
#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/pm2/amp.h"
#include "agent/pm2/socket.h"
#include "agent/pm2/start_config.h"
#include "common/base/clock.h"
#include "quell/v1/reader.pb.h"

namespace quell::pm2 {

inline constexpr Micros kReadDeadline = 5 * kSecond;

// What calling may cost at most: stop takes up to the app's kill_timeout (1.6 s by default) twice, then the
// start. `kill_timeout` in µs.
inline constexpr Micros RestartDeadline(Micros kill_timeout = 1600 * kMillisecond) {
  return 2 * kill_timeout + 4 * kSecond;
}

// Where a process is to be started from.
struct StartPaths {
  std::string exec_path;
  std::string cwd;
  std::string cwd_key;  // the configured cwd; empty: stays as it is
  std::string pwd;      // of its environment, likewise
};

class Pm2Client {
 public:
  // Connects, checks that the peer's uid is `uid` before the first byte, asks for the methods.
  // NotFound: no socket. Unavailable: nobody listens (a stale socket), or the connection ended.
  // PermissionDenied: not ours to open, or the daemon is another user's. DeadlineExceeded: no answer.
  static absl::StatusOr<std::unique_ptr<Pm2Client>> Connect(const std::string& home, uid_t uid, Micros within,
                                                            Clock& clock);

  // Every app, allow-listed fields only, in the daemon's order. At most kMaxApps.
  absl::StatusOr<std::vector<v1::Pm2App>> ListApps(Micros within = kReadDeadline);
  // The version in memory.
  absl::StatusOr<std::string> Version(Micros within = kReadDeadline);
  // restartProcessId: stops the process when it runs, starts it again with its own configuration and
  // environment. OK once spawned (fork) or its worker is online (cluster). Unimplemented: the daemon lists no
  // such method. Aborted: the daemon's own error, with its text. DeadlineExceeded, Unavailable: nobody knows
  // whether it was done.
  absl::Status Restart(int64_t pm_id, Micros within);
  // The same from other paths, which PM2 keeps for later starts; all else of its configuration and
  // environment stays, and never leaves the daemon. InvalidArgument, and nothing sent: a path that is not
  // absolute, not UTF-8 or longer than 4,096 bytes.
  absl::Status RestartFrom(int64_t pm_id, const StartPaths& paths, Micros within);
  // What every app is started with; see start_config.h.
  absl::StatusOr<std::vector<StartConfig>> ListStartConfigs(std::string_view mention,
                                                            Micros within = kReadDeadline);

  pid_t peer_pid() const { return socket_.peer_pid(); }

 private:
  Pm2Client(Pm2Socket socket, Clock& clock) : socket_(std::move(socket)), clock_(clock) {}
  absl::Status LearnMethods(Micros within);
  absl::StatusOr<std::string> Call(std::string_view method, std::string_view json, Micros within);
  absl::StatusOr<std::string> Exchange(std::string_view json, Micros within);

  Pm2Socket socket_;
  Clock& clock_;
  AmpParser parser_;
  absl::Status broken_;  // after which nothing more is sent
  std::set<std::string, std::less<>> methods_;
  int64_t next_id_ = 0;
};

// The request's JSON; golden bytes in the tests.
std::string MethodsJson();
std::string ListJson();
std::string VersionJson();
std::string RestartJson(int64_t pm_id);
std::string RestartFromJson(int64_t pm_id, const StartPaths& paths);

}  // namespace quell::pm2
