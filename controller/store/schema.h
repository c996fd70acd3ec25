// The tables of the log's database and how they came to be: numbered forward migrations. Store thread only.
//
//   log        seq, header, payload        the records; header bytes are chained as stored, never
//   re-serialised groups     first, last, epoch, head, …  one signed row per commit snapshots  the last
//   three, signed rows       the projection that lists read; may be dropped and rebuilt rule_state, blobs,
//   meta
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/store/sqlite.h"

namespace quell::store {

struct Migration {
  int number;      // schema version that it leads to
  int min_reader;  // the least schema version a program must know to open the result
  const char* sql;
};
const std::vector<Migration>& Migrations();

// The layout of `rows`. A database that has another one gets an empty one, to be filled by
// RebuildProjections.
inline constexpr int kProjectionVersion = 1;
// Whether `rows` is there, in this program's layout, and complete.
absl::StatusOr<bool> HasProjection(Database& db);
// An empty `rows` in this program's layout.
absl::Status ResetProjection(Database& db);

// Brings a database to this program's schema, all in one transaction; refuses one whose min_reader is above
// it. `migrations` is an argument so that tests can be an older or a newer program.
absl::Status Migrate(Database& db, const std::vector<Migration>& migrations);

// FailedPrecondition when this is no log of ours, or one that needs a newer program.
absl::Status CheckReadable(Database& db, const std::vector<Migration>& migrations);

absl::StatusOr<int64_t> MetaInt(Database& db, std::string_view key);  // NotFound when absent
absl::Status SetMetaInt(Database& db, std::string_view key, int64_t value);
absl::StatusOr<std::string> MetaBytes(Database& db, std::string_view key);  // "" when absent
absl::Status SetMetaBytes(Database& db, std::string_view key, std::string_view value);

}  // namespace quell::store
