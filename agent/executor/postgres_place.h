// Where a PostgreSQL server listens, from agent.yaml: `connection:` names an entry of collectors.postgres,
// and host, port and dbname of its dsn are all that is taken. Functions over the file system; any thread.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

// Reads the file as ReadGuardedFile does. NotFound: no entry has that name. FailedPrecondition: its server is
// not reached by a Unix socket, or the dsn says no database.
absl::StatusOr<v1::PostgresPlace> ReadPostgresPlace(const std::string& agent_yaml, uid_t owner,
                                                    std::string_view name);

// Host, port and database of a dsn (common/config/postgres_dsn.h) whose host is a socket's directory. Pure.
absl::StatusOr<v1::PostgresPlace> ParsePostgresPlace(std::string_view dsn);

}  // namespace quell::agent
