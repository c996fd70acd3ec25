// What is read from a PostgreSQL server, in sections: each sends one statement or two and puts its series
// into a table. A section that fails puts nothing, so its series end; the others go on. Used by one
// collector, one thread.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agent/collectors/postgres/blocking.h"
#include "agent/collectors/postgres/connection.h"
#include "agent/collectors/series_table.h"

namespace quell::agent {

// What the sections of one server share. Bounds: 50 databases by name (those made first; what belongs to
// others is summed up under "(others)"), 50 tables, 20 replicas, 20 slots, 20 blocking roots and as many
// spared, 20 long statements and as many spared.
struct PgScope {
  static constexpr size_t kMostDatabases = 50;
  std::string server;  // the label: the entry's name
  std::string user;    // the role we come as
  std::string own_database;
  std::map<int64_t, std::string> databases;  // oid -> name, each name once
  bool others = false;                       // there are more databases than that
  bool names_wanted = true;                  // an unknown database was met: look again
  std::map<int64_t, PgRole> roles;           // oid -> role, of sessions that blocked; at most 1000
  Micros roles_due = 0;                      // monotonic: when they are to be looked up anew
  double waiting = -1;                       // locks not granted; -1: this collection could not tell
  SessionMemory roots, spared;
  Micros long_after = 0;  // a statement of that age is told of by itself
  SessionMemory long_queries, long_spared;
  double longest = 0;  // age of the oldest statement, in seconds; 0: this collection could not tell
  Micros next_long =
      -1;  // when the next statement will be that old unless it ends, from this collection on; -1: none

  std::vector<int64_t> DatabaseIds() const;
  // The name for a label; "(others)" for one that is not among those told of.
  std::string DatabaseName(int64_t oid);
};

// Each collection.
absl::Status ReadServer(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadActivity(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadLocks(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadBlocking(PgConnection& connection, PgScope& scope, SeriesTable& table, Micros now);
absl::Status ReadLongQueries(PgConnection& connection, PgScope& scope, SeriesTable& table, Micros now);
absl::Status ReadDatabases(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadReplication(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadWriter(PgConnection& connection, PgScope& scope, SeriesTable& table);
// Slower.
absl::Status ReadTables(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadSettings(PgConnection& connection, PgScope& scope, SeriesTable& table);
absl::Status ReadSizes(PgConnection& connection, PgScope& scope, SeriesTable& table);
// The databases' names, into `scope`; puts their connection limits.
absl::Status ReadNames(PgConnection& connection, PgScope& scope, SeriesTable& table);

// A setting in base units under postgres_exporter's name: shared_buffers of 1024 in 8kB is
// {"pg_settings_shared_buffers_bytes", 8388608}; -1 and 0 stay. `type` is pg_settings' vartype.
std::pair<std::string, double> SettingSeries(std::string_view name, std::string_view value,
                                             std::string_view unit, std::string_view type);

}  // namespace quell::agent
