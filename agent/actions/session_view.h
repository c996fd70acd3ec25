// SessionView: what a worker reads of a PostgreSQL server's sessions, and what it may say of them. A
// statement's text stays in here: its kind, first keyword and queryid come out. Functions over one
// connection; one thread.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/actions/lock_tree.h"
#include "agent/actions/postgres_client.h"
#include "agent/actions/session_target.h"
#include "quell/v1/commands.pb.h"

namespace quell::agent {

inline constexpr size_t kMostFound = 400;  // sessions that one command may speak of

// The sessions that `target` speaks of: one by pid, whatever it is; or those of clients that match every
// filter, without superusers, replication and quell's own, oldest first. `victims` and `root` come from
// `tree`. ResourceExhausted: more than kMostFound match.
absl::StatusOr<std::vector<v1::PostgresSession>> FindSessions(PostgresClient& client,
                                                              const SessionTarget& target,
                                                              const LockTree& tree);

// Who waits for whom; of the 500 that have waited longest.
absl::StatusOr<LockTree> ReadLockTree(PostgresClient& client);

// The evidence: the lock tree, one session per line with what it waits for; then what its roots and `pids`
// hold.
absl::StatusOr<std::string> DescribeLocks(PostgresClient& client, const LockTree& tree,
                                          const std::vector<int64_t>& pids);
// One line for each of `pids` that is there, with its user, database, ages, state and statement's keyword and
// queryid.
absl::StatusOr<std::string> DescribeSessions(PostgresClient& client, const std::vector<int64_t>& pids);

}  // namespace quell::agent
