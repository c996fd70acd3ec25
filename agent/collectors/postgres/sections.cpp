#include "agent/collectors/postgres/sections.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/collectors/postgres/queries.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kOthers[] = "(others)";
constexpr size_t kMostRoles = 800, kMostRolesAtOnce = 200;
constexpr int kVersion14 = 140000, kVersion17 = 170000;

constexpr const char* kStates[] = {"active",
                                   "disabled",
                                   "fastpath function call",
                                   "idle",
                                   "idle in transaction",
                                   "idle in transaction (aborted)"};
constexpr const char* kModes[] = {
    "accessexclusivelock", "accesssharelock", "exclusivelock",         "rowexclusivelock",
    "rowsharelock",        "sharelock",       "sharerowexclusivelock", "shareupdateexclusivelock",
    "sireadlock"};

// In the order of the statements' columns.
constexpr const char* kDatabaseMetrics[] = {
    "pg_stat_database_numbackends",   "pg_stat_database_xact_commit",
    "pg_stat_database_xact_rollback", "pg_stat_database_blks_read",
    "pg_stat_database_blks_hit",      "pg_stat_database_tup_returned",
    "pg_stat_database_tup_fetched",   "pg_stat_database_tup_inserted",
    "pg_stat_database_tup_updated",   "pg_stat_database_tup_deleted",
    "pg_stat_database_conflicts",     "pg_stat_database_temp_files",
    "pg_stat_database_temp_bytes",    "pg_stat_database_deadlocks",
    "pg_stat_database_blk_read_time", "pg_stat_database_blk_write_time",
    "pg_stat_database_stats_reset",   "pg_stat_database_active_time_seconds_total"};
constexpr const char* kWriterMetrics12[] = {"pg_stat_archiver_archived_count",
                                            "pg_stat_archiver_failed_count",
                                            "pg_stat_archiver_last_archive_age",
                                            "pg_stat_bgwriter_buffers_alloc_total",
                                            "pg_stat_bgwriter_buffers_clean_total",
                                            "pg_stat_bgwriter_maxwritten_clean_total",
                                            "pg_stat_bgwriter_stats_reset_total",
                                            "pg_stat_bgwriter_checkpoints_timed_total",
                                            "pg_stat_bgwriter_checkpoints_req_total",
                                            "pg_stat_bgwriter_checkpoint_write_time_total",
                                            "pg_stat_bgwriter_checkpoint_sync_time_total",
                                            "pg_stat_bgwriter_buffers_checkpoint_total",
                                            "pg_stat_bgwriter_buffers_backend_total",
                                            "pg_stat_bgwriter_buffers_backend_fsync_total"};
constexpr const char* kWriterMetrics17[] = {
    "pg_stat_archiver_archived_count",          "pg_stat_archiver_failed_count",
    "pg_stat_archiver_last_archive_age",        "pg_stat_bgwriter_buffers_alloc_total",
    "pg_stat_bgwriter_buffers_clean_total",     "pg_stat_bgwriter_maxwritten_clean_total",
    "pg_stat_bgwriter_stats_reset_total",       "pg_stat_checkpointer_num_timed_total",
    "pg_stat_checkpointer_num_requested_total", "pg_stat_checkpointer_write_time_total",
    "pg_stat_checkpointer_sync_time_total",     "pg_stat_checkpointer_buffers_written_total"};
constexpr const char* kTableMetrics[] = {
    "pg_stat_user_tables_n_tup_ins",           "pg_stat_user_tables_n_tup_upd",
    "pg_stat_user_tables_n_tup_del",           "pg_stat_user_tables_n_tup_hot_upd",
    "pg_stat_user_tables_n_live_tup",          "pg_stat_user_tables_n_dead_tup",
    "pg_stat_user_tables_n_mod_since_analyze", "pg_stat_user_tables_last_autovacuum",
    "pg_stat_user_tables_last_autoanalyze"};

struct StateFigures {
  double sessions = 0;
  double oldest = 0;
};

// The unit of pg_settings ("8kB", "min") as a factor, and what its series' name ends with.
std::pair<double, std::string_view> UnitFactor(std::string_view unit) {
  double count = 1;
  size_t digits = 0;
  while (digits < unit.size() && unit[digits] >= '0' && unit[digits] <= '9') ++digits;
  if (digits > 0 && !absl::SimpleAtod({unit.data(), digits}, &count)) return {1, ""};
  static const auto& known =
      *new std::map<std::string_view, std::pair<double, std::string_view>>{{"B", {1, "_bytes"}},
                                                                           {"kB", {1024, "_bytes"}},
                                                                           {"MB", {1048576, "_bytes"}},
                                                                           {"GB", {1073741824, "_bytes"}},
                                                                           {"TB", {1099511627776, "_bytes"}},
                                                                           {"us", {1e-6, "_seconds"}},
                                                                           {"ms", {1e-3, "_seconds"}},
                                                                           {"s", {1, "_seconds"}},
                                                                           {"min", {60, "_seconds"}},
                                                                           {"h", {3600, "_seconds"}},
                                                                           {"d", {86400, "_seconds"}}};
  const auto found = known.find(unit.substr(digits));
  if (found == known.end()) return {1, ""};
  return {count * found->second.first, found->second.second};
}

// The rows' columns from `first` on, as one metric each.
template <typename Put>
void PutColumns(const PgRows& rows, int row, int first, const char* const* metrics, size_t n, Put put) {
  for (size_t i = 0; i < n && first + static_cast<int>(i) < rows.columns(); ++i)
    put(metrics[i], rows.Number(row, first + static_cast<int>(i)));
}

// Looks up the roots' roles; those known stay known when that fails.
absl::Status FindRoles(PgConnection& connection, PgScope& scope, const std::vector<NotableSession>& roots,
                       Micros now) {
  std::vector<int64_t> wanted;
  bool missing = false;
  for (const NotableSession& root : roots) {
    if (wanted.size() < kMostRolesAtOnce) wanted.push_back(root.session.role);
    missing = missing || scope.roles.count(root.session.role) == 0;
  }
  if (wanted.empty() || (!missing && now < scope.roles_due)) return absl::OkStatus();
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kRoles, {PgArray(wanted)}));
  if (scope.roles.size() > kMostRoles) scope.roles.clear();
  for (int i = 0; i < rows.size(); ++i)
    scope.roles[rows.Integer(i, 0)] = {rows.Text(i, 1), rows.Bool(i, 2), rows.Bool(i, 3)};
  scope.roles_due = now + kMinute;
  return absl::OkStatus();
}

// Its names, and why no remedy may end it; true when one may.
bool Name(NotableSession& notable, PgScope& scope) {
  const auto role = scope.roles.find(notable.session.role);
  const PgRole* known = role == scope.roles.end() ? nullptr : &role->second;
  if (known != nullptr) notable.usename = known->name;
  if (notable.session.database != 0) notable.datname = scope.DatabaseName(notable.session.database);
  notable.why = WhySpared(notable.session, known, scope.user);
  return notable.why.empty();
}

// Statements that run, the oldest first; those that are old enough. When the next will be is left in the
// scope.
absl::StatusOr<std::vector<NotableSession>> LookForLongQueries(PgConnection& connection, PgScope& scope) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kLongQueries));
  std::vector<NotableSession> found;
  for (int i = 0; i < rows.size(); ++i) {
    const double seconds = rows.Number(i, 7);
    const auto age = static_cast<Micros>(seconds * kSecond);
    if (age < scope.long_after) {
      scope.next_long = scope.long_after - age;
      break;
    }
    PgSession& s = found.emplace_back().session;
    s.pid = rows.Integer(i, 0);
    s.backend_start_us = rows.Integer(i, 1);
    s.xact_start_us = rows.Integer(i, 2);
    s.query_start_us = rows.Integer(i, 3);
    s.database = rows.Integer(i, 4);
    s.role = rows.Integer(i, 5);
    s.backend_type = rows.Text(i, 6);
    s.seconds = seconds;
  }
  return found;
}

absl::StatusOr<std::vector<NotableSession>> LookForRoots(PgConnection& connection) {
  const bool ordered = connection.version() >= kVersion14;
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(ordered ? sql::kBlocking14 : sql::kBlocking12));
  std::vector<PgSession> sessions;
  for (int i = 0; i < rows.size(); ++i) {
    PgSession& s = sessions.emplace_back();
    s.pid = rows.Integer(i, 0);
    s.backend_start_us = rows.Integer(i, 1);
    s.xact_start_us = rows.Integer(i, 2);
    s.database = rows.Integer(i, 3);
    s.role = rows.Integer(i, 4);
    s.backend_type = rows.Text(i, 5);
    s.seconds = rows.Number(i, 6);
    s.waiting = rows.Bool(i, 7);
    s.blockers = rows.Integers(i, 8);
  }
  return FindBlockingRoots(sessions);
}

// With a session's labels, as remedies take them; of a statement, its start too.
void PutSession(std::string_view metric, const PgScope& scope, const NotableSession& notable, double value,
                SeriesTable& table) {
  const PgSession& s = notable.session;
  const std::string pid = absl::StrCat(s.pid), begun = absl::StrCat(s.backend_start_us);
  const std::string transaction = absl::StrCat(s.xact_start_us);
  const std::string statement = s.query_start_us == 0 ? "" : absl::StrCat(s.query_start_us);
  table.Put(metric,
            {{"backend_start", begun},
             {"datname", notable.datname},
             {"pid", pid},
             {"query_start", statement},
             {"server", scope.server},
             {"usename", notable.usename},
             {"why", notable.why},
             {"xact_start", transaction}},
            value);
}

void PutRoots(const PgScope& scope, SeriesTable& table) {
  for (const auto& [key, told] : scope.roots.told()) {
    PutSession("pg_blocking_root_victims", scope, told.notable, told.notable.victims, table);
    if (told.gone_since == 0)
      PutSession("pg_blocking_root_seconds", scope, told.notable, told.notable.session.seconds, table);
  }
  for (const auto& [key, told] : scope.spared.told())
    PutSession("pg_blocking_root_spared_victims", scope, told.notable, told.notable.victims, table);
}

}  // namespace

std::vector<int64_t> PgScope::DatabaseIds() const {
  std::vector<int64_t> out;
  for (const auto& [oid, name] : databases) out.push_back(oid);
  return out;
}

std::string PgScope::DatabaseName(int64_t oid) {
  const auto found = databases.find(oid);
  if (found != databases.end()) return found->second;
  if (!others) names_wanted = true;
  return kOthers;
}

absl::Status ReadServer(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kServer));
  if (rows.size() != 1) return absl::InternalError("the server tells nothing of itself");
  const auto put = [&](std::string_view metric, double value) {
    table.Put(metric, {{"server", scope.server}}, value);
  };
  put("pg_postmaster_start_time_seconds", rows.Number(0, 0));
  put("pg_replication_is_replica", rows.Bool(0, 1) ? 1 : 0);
  put("pg_replication_lag_seconds", rows.Number(0, 2));
  if (!rows.IsNull(0, 3)) put("pg_replication_last_replay_seconds", rows.Number(0, 3));
  return absl::OkStatus();
}

absl::Status ReadActivity(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kActivity));
  std::map<std::pair<std::string, std::string>, StateFigures> figures;
  for (const auto& [oid, name] : scope.databases)
    for (const char* state : kStates) figures[{name, state}] = {};
  double transaction = 0, statement = 0;
  for (int i = 0; i < rows.size(); ++i) {
    if (rows.IsNull(i, 0)) continue;  // it is only just coming, and in no database yet
    const std::string state = rows.IsNull(i, 1) ? "active" : rows.Text(i, 1);
    StateFigures& f = figures[{scope.DatabaseName(rows.Integer(i, 0)), state}];
    f.sessions += rows.Number(i, 2);
    f.oldest = std::max(f.oldest, rows.Number(i, 3));
    transaction = std::max(transaction, rows.Number(i, 4));
    statement = std::max(statement, rows.Number(i, 5));
  }
  for (const auto& [key, f] : figures) {
    const auto put = [&, &name = key.first, &state = key.second](std::string_view metric, double value) {
      table.Put(metric, {{"datname", name}, {"server", scope.server}, {"state", state}}, value);
    };
    put("pg_stat_activity_count", f.sessions);
    put("pg_stat_activity_max_tx_duration", f.oldest);
  }
  table.Put("pg_longest_transaction_seconds", {{"server", scope.server}}, transaction);
  table.Put("pg_longest_query_seconds", {{"server", scope.server}}, statement);
  scope.longest = statement;
  return absl::OkStatus();
}

absl::Status ReadLocks(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  scope.waiting = -1;
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kLocks));
  std::map<std::pair<std::string, std::string>, double> counts;
  for (const auto& [oid, name] : scope.databases)
    for (const char* mode : kModes) counts[{name, mode}] = 0;
  scope.waiting = 0;
  for (int i = 0; i < rows.size(); ++i) {
    scope.waiting += rows.Number(i, 3);
    const int64_t database = rows.Integer(i, 0);
    if (database == 0) continue;  // of no database: transactions' own, shared catalogues
    std::string mode = rows.Text(i, 1);
    for (char& c : mode) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    counts[{scope.DatabaseName(database), mode}] += rows.Number(i, 2);
  }
  for (const auto& [key, count] : counts)
    table.Put("pg_locks_count", {{"datname", key.first}, {"mode", key.second}, {"server", scope.server}},
              count);
  table.Put("pg_lock_waiting", {{"server", scope.server}}, scope.waiting);
  return absl::OkStatus();
}

absl::Status ReadBlocking(PgConnection& connection, PgScope& scope, SeriesTable& table, Micros now) {
  if (scope.waiting < 0) return absl::OkStatus();
  std::vector<NotableSession> roots, plain, spared;
  if (scope.waiting > 0) {
    QUELL_ASSIGN_OR_RETURN(roots, LookForRoots(connection));
    // Without names a root is told of all the same, as one to be spared.
    if (const absl::Status found = FindRoles(connection, scope, roots, now); connection.broken())
      return found;
  }
  for (NotableSession& root : roots) (Name(root, scope) ? plain : spared).push_back(root);
  scope.roots.Update(plain, now);
  scope.spared.Update(spared, now);
  PutRoots(scope, table);
  return absl::OkStatus();
}

// Asked only while a statement is old enough: else the oldest one's age, known already, says when to look
// again.
absl::Status ReadLongQueries(PgConnection& connection, PgScope& scope, SeriesTable& table, Micros now) {
  std::vector<NotableSession> found, plain, spared;
  const auto longest = static_cast<Micros>(scope.longest * kSecond);
  scope.next_long = scope.longest > 0 ? std::max<Micros>(scope.long_after - longest, 0) : -1;
  if (scope.longest > 0 && longest >= scope.long_after) {
    scope.next_long = -1;
    QUELL_ASSIGN_OR_RETURN(found, LookForLongQueries(connection, scope));
    if (const absl::Status named = FindRoles(connection, scope, found, now); connection.broken())
      return named;
  }
  for (NotableSession& one : found) (Name(one, scope) ? plain : spared).push_back(one);
  scope.long_queries.Update(plain, now);
  scope.long_spared.Update(spared, now);
  for (const auto& [key, told] : scope.long_queries.told())
    PutSession("pg_long_query_seconds", scope, told.notable, told.notable.session.seconds, table);
  for (const auto& [key, told] : scope.long_spared.told())
    PutSession("pg_long_query_spared_seconds", scope, told.notable, told.notable.session.seconds, table);
  return absl::OkStatus();
}

absl::Status ReadDatabases(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  const char* query = connection.version() >= kVersion14 ? sql::kDatabase14 : sql::kDatabase12;
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(query, {PgArray(scope.DatabaseIds())}));
  for (int i = 0; i < rows.size(); ++i) {
    const std::string id = rows.Text(i, 0), name = scope.DatabaseName(rows.Integer(i, 0));
    PutColumns(rows, i, 1, kDatabaseMetrics, std::size(kDatabaseMetrics),
               [&](const char* metric, double value) {
                 table.Put(metric, {{"datid", id}, {"datname", name}, {"server", scope.server}}, value);
               });
  }
  return absl::OkStatus();
}

absl::Status ReadReplication(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows replicas, connection.Query(sql::kReplication));
  for (int i = 0; i < replicas.size(); ++i) {
    const std::string pid = replicas.Text(i, 0), client = replicas.Text(i, 1);
    const std::string slot = replicas.Text(i, 2), state = replicas.Text(i, 3);
    const auto put = [&](std::string_view metric, double value) {
      table.Put(metric,
                {{"client_addr", client},
                 {"pid", pid},
                 {"server", scope.server},
                 {"slot_name", slot},
                 {"state", state}},
                value);
    };
    put("pg_stat_replication_pg_wal_lsn_diff", replicas.Number(i, 4));
    put("pg_stat_replication_replay_lag_seconds", replicas.Number(i, 5));
  }
  QUELL_ASSIGN_OR_RETURN(const PgRows slots, connection.Query(sql::kSlots));
  for (int i = 0; i < slots.size(); ++i) {
    const std::string slot = slots.Text(i, 0);
    const std::string database = slots.IsNull(i, 1) ? "" : scope.DatabaseName(slots.Integer(i, 1));
    const auto put = [&](std::string_view metric, double value) {
      table.Put(metric, {{"database", database}, {"server", scope.server}, {"slot_name", slot}}, value);
    };
    put("pg_replication_slots_active", slots.Bool(i, 2) ? 1 : 0);
    put("pg_replication_slots_pg_wal_lsn_diff", slots.Number(i, 3));
  }
  return absl::OkStatus();
}

absl::Status ReadWriter(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  const bool apart = connection.version() >= kVersion17;  // the checkpointer has a view of its own
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(apart ? sql::kWriter17 : sql::kWriter12));
  if (rows.size() != 1) return absl::InternalError("the server tells nothing of its checkpoints");
  const auto put = [&](const char* metric, double value) {
    table.Put(metric, {{"server", scope.server}}, value);
  };
  if (apart)
    PutColumns(rows, 0, 0, kWriterMetrics17, std::size(kWriterMetrics17), put);
  else
    PutColumns(rows, 0, 0, kWriterMetrics12, std::size(kWriterMetrics12), put);
  return absl::OkStatus();
}

absl::Status ReadTables(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kTables));
  std::set<std::pair<std::string, std::string>> seen;  // as with databases' names
  for (int i = 0; i < rows.size(); ++i) {
    const std::string schema = rows.Text(i, 0), name = rows.Text(i, 1);
    if (!seen.emplace(schema, name).second) continue;
    PutColumns(rows, i, 2, kTableMetrics, std::size(kTableMetrics), [&](const char* metric, double value) {
      table.Put(metric,
                {{"datname", scope.own_database},
                 {"relname", name},
                 {"schemaname", schema},
                 {"server", scope.server}},
                value);
    });
  }
  return absl::OkStatus();
}

absl::Status ReadSettings(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kSettings));
  for (int i = 0; i < rows.size(); ++i) {
    const auto [name, value] =
        SettingSeries(rows.Text(i, 0), rows.Text(i, 1), rows.Text(i, 2), rows.Text(i, 3));
    table.Put(name, {{"server", scope.server}}, value);
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kSizes, {PgArray(scope.DatabaseIds())}));
  for (int i = 0; i < rows.size(); ++i)
    table.Put("pg_database_size_bytes",
              {{"datname", scope.DatabaseName(rows.Integer(i, 0))}, {"server", scope.server}},
              rows.Number(i, 1));
  return absl::OkStatus();
}

absl::Status ReadNames(PgConnection& connection, PgScope& scope, SeriesTable& table) {
  QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection.Query(sql::kDatabases));
  scope.databases.clear();
  scope.names_wanted = false;
  scope.others = rows.size() > static_cast<int>(PgScope::kMostDatabases);
  std::set<std::string> seen;  // bytes that are no UTF-8 can make two names one
  for (int i = 0; i < rows.size() && scope.databases.size() < PgScope::kMostDatabases; ++i) {
    const std::string name = rows.Text(i, 1);
    if (!seen.insert(name).second) {
      scope.others = true;
      continue;
    }
    scope.databases[rows.Integer(i, 0)] = name;
    table.Put("pg_database_connection_limit", {{"datname", name}, {"server", scope.server}},
              rows.Number(i, 2));
  }
  return absl::OkStatus();
}

std::pair<std::string, double> SettingSeries(std::string_view name, std::string_view value,
                                             std::string_view unit, std::string_view type) {
  const auto [factor, ending] = UnitFactor(unit);
  double number = 0;
  if (type == "bool")
    number = value == "on" ? 1 : 0;
  else if (absl::SimpleAtod({value.data(), value.size()}, &number) && number > 0)
    number *= factor;
  return {absl::StrCat("pg_settings_", absl::string_view(name.data(), name.size()),
                       absl::string_view(ending.data(), ending.size())),
          number};
}

}  // namespace quell::agent
