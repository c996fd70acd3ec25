// Migrations of a deployment's database, as names: those that a release brings along, and those that the
// database says were applied. A rollback behind one that was applied needs a person.
//
// The two are read by different workers: the release's as its owner, the database's as quell_monitor, which
// may read that table and change nothing. Neither follows the other's word; the executor compares.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

// The evidence item of a check that holds names, one a line.
inline constexpr char kMigrationsItem[] = "migrations";

// Names of the directories in prisma/migrations/ of an open release, sorted; without that directory those of
// migrations/. NotFound: it has neither. At most 5,000 and 128 KiB.
absl::StatusOr<std::vector<std::string>> ReleaseMigrations(int release);

// The answer of a check that only looks into the database: request.postgres() says where, the request's
// release which query; by default Prisma's own table, in schema public.
v1::WorkerResult AppliedMigrations(const v1::WorkerRequest& request, Clock& clock);

// Adds names to a check's result. A name with a line feed, or more than fit: the status says so.
absl::Status AddMigrations(const std::vector<std::string>& names, v1::WorkerResult& result);

}  // namespace quell::agent
