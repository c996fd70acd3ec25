// HostView: what the executor looks at on its host besides its own journal. Owned by main (or a test, or the
// simulator), outlives the Executor; called from the executor's one thread, never blocks on another process.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/executor/sanctions.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

struct HostUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
  std::string pm2_home;  // from agent.yaml, else ~/.pm2
};

class HostView {
 public:
  virtual ~HostView() = default;
  // The local stop file is there (or whether it is there can't be told).
  virtual bool Held() = 0;
  // Read anew at each call: a bad file refuses everything and never keeps the old.
  virtual SanctionsFile ReadSanctions() = 0;
  // From the host's own list of users; NotFound names the user.
  virtual absl::StatusOr<HostUser> FindUser(std::string_view name) = 0;
  // Where the PostgreSQL server of that name in agent.yaml listens; read anew at each call.
  virtual absl::StatusOr<v1::PostgresPlace> FindPostgres(std::string_view connection) = 0;
  // A statement that sanctions name by its file: root's own, at most 64 KiB.
  virtual absl::StatusOr<std::string> ReadQuery(const std::string& path) = 0;
  // Bytes of /proc/PID/stack, unparsed, when this process may read them and `pid` belongs to `uid`.
  virtual absl::StatusOr<std::string> KernelStack(int64_t pid, uid_t uid) = 0;
};

}  // namespace quell::agent
