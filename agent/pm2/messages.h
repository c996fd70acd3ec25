// What is taken from PM2's JSON, by allow-list, in one pass that stores nothing else: an app's environment
// lies in the same objects (twice), and must not so much as be held. Every field may be missing, a number may
// be a string, and any environment variable can shadow a key. Pure, any thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "quell/v1/reader.pb.h"

namespace quell::pm2 {

inline constexpr int kMaxJsonDepth = 32;
inline constexpr size_t kMaxApps = 2000;      // per daemon
inline constexpr size_t kMaxTextBytes = 256;  // of a name, version, signal …; longer ones are cut
inline constexpr size_t kMaxPathBytes = 4096;

// Replies of rpc.sock, `{"args":[value]}`. Aborted with the daemon's text for `{"error":…}`; InvalidArgument
// for what is not JSON, too deep, or of another shape.
absl::StatusOr<std::vector<v1::Pm2App>> ParseListReply(std::string_view json);
absl::StatusOr<std::string> ParseTextReply(std::string_view json);
absl::Status ParseDoneReply(std::string_view json);
// Names of methods in the `methods` reply whose parameters are `params`, callback included, or not told.
struct MethodShape {
  std::string name;
  size_t params = 0;  // 0: not told
};
absl::StatusOr<std::vector<MethodShape>> ParseMethodsReply(std::string_view json);

// Body of process:event on pub.sock. NotFound for the old worker of a reload (its pm_id is no number).
absl::StatusOr<v1::Pm2Event> ParseProcessEvent(std::string_view json);

// "App [web:0] exited with code [0] via signal [SIGKILL]" in the daemon's own log.
struct ExitLine {
  int64_t pm_id = -1;
  int64_t exit_code = 0;
  std::string signal;
};
// Body of log:PM2: the exits it tells of, in order; others of its lines are left.
absl::StatusOr<std::vector<ExitLine>> ParseDaemonLog(std::string_view json);

}  // namespace quell::pm2
