// The statements that the PostgreSQL collector sends: constant text, read-only, of statistics functions and
// views. None reads the column that holds sessions' statements. Where a view would join catalogues (and so
// wait for their locks) the function below it is asked, and names are looked up apart. Chosen by
// server_version_num: tested on 15; 12 to 14, 16 and 17 are expected to work.
#pragma once

namespace quell::agent::sql {

inline constexpr int kOldestVersion = 120000;

// may_read_all, so that sessions of others are not silently left out
inline constexpr char kCheck[] = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'usage')";

// start, in_recovery, lag, replayed
inline constexpr char kServer[] =
    "SELECT extract(epoch FROM pg_postmaster_start_time()), pg_is_in_recovery(),"
    " CASE WHEN NOT pg_is_in_recovery() THEN 0"
    " WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
    " ELSE greatest(0, coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)) END,"
    " extract(epoch FROM pg_last_xact_replay_timestamp())";

// datid, state, sessions, oldest transaction, oldest transaction and oldest statement of others
inline constexpr char kActivity[] =
    "SELECT datid, state, count(*), coalesce(max(extract(epoch FROM now() - xact_start)), 0),"
    " coalesce(max(extract(epoch FROM now() - xact_start)) FILTER (WHERE pid <> pg_backend_pid()), 0),"
    " coalesce(max(extract(epoch FROM now() - query_start))"
    " FILTER (WHERE pid <> pg_backend_pid() AND state = 'active'), 0)"
    " FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend' GROUP BY 1, 2";

// database, mode, locks, of them not granted
inline constexpr char kLocks[] =
    "SELECT database, mode, count(*), count(*) FILTER (WHERE NOT granted) FROM pg_lock_status() GROUP BY 1, "
    "2";

// pid, backend start, transaction start, datid, role, type, age, waiting, blockers. pg_blocking_pids stops
// all lockers for a moment, so that it is asked for 256 waiting sessions at most, those that wait longest
// first.
#define QUELL_PG_BLOCKING(order)                                                                            \
  "WITH waiting AS MATERIALIZED (SELECT pid, row_number() OVER (ORDER BY " order                            \
  ") AS place FROM pg_lock_status()"                                                                        \
  " WHERE NOT granted GROUP BY pid),"                                                                       \
  " chain AS MATERIALIZED (SELECT pid, CASE WHEN place <= 256 THEN pg_blocking_pids(pid) ELSE '{}' END AS " \
  "blockers"                                                                                                \
  " FROM waiting),"                                                                                         \
  " blocking AS MATERIALIZED (SELECT DISTINCT unnest(blockers) AS pid FROM chain)"                          \
  " SELECT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::bigint,"                                 \
  " (extract(epoch FROM a.xact_start) * 1000000)::bigint, a.datid, a.usesysid, a.backend_type,"             \
  " greatest(0, extract(epoch FROM now() - coalesce(a.xact_start, a.state_change, a.backend_start))),"      \
  " c.pid IS NOT NULL, coalesce(c.blockers, '{}')"                                                          \
  " FROM pg_stat_get_activity(NULL) a LEFT JOIN chain c ON c.pid = a.pid"                                   \
  " WHERE c.pid IS NOT NULL OR a.pid IN (SELECT pid FROM blocking)"
inline constexpr char kBlocking14[] = QUELL_PG_BLOCKING("min(waitstart)");
inline constexpr char kBlocking12[] = QUELL_PG_BLOCKING("pid");
#undef QUELL_PG_BLOCKING

// pid, backend start, transaction start, statement start, datid, role, type, age of the statement: clients'
// running statements, the oldest first; one more than are told of
inline constexpr char kLongQueries[] =
    "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint,"
    " coalesce((extract(epoch FROM xact_start) * 1000000)::bigint, 0),"
    " (extract(epoch FROM query_start) * 1000000)::bigint, datid, usesysid, backend_type,"
    " greatest(0, extract(epoch FROM now() - query_start)) FROM pg_stat_get_activity(NULL)"
    " WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()"
    " AND query_start IS NOT NULL ORDER BY query_start, pid LIMIT 41";

// oid, name, superuser, replication
inline constexpr char kRoles[] =
    "SELECT oid, rolname, rolsuper, rolreplication FROM pg_roles WHERE oid = ANY ($1::oid[])";

// datid, then one column per counter in the order of kDatabaseMetrics
#define QUELL_PG_DATABASE                                                                                    \
  "SELECT d, pg_stat_get_db_numbackends(d), pg_stat_get_db_xact_commit(d), pg_stat_get_db_xact_rollback(d)," \
  " pg_stat_get_db_blocks_fetched(d) - pg_stat_get_db_blocks_hit(d), pg_stat_get_db_blocks_hit(d),"          \
  " pg_stat_get_db_tuples_returned(d), pg_stat_get_db_tuples_fetched(d), pg_stat_get_db_tuples_inserted(d)," \
  " pg_stat_get_db_tuples_updated(d), pg_stat_get_db_tuples_deleted(d), pg_stat_get_db_conflict_all(d),"     \
  " pg_stat_get_db_temp_files(d), pg_stat_get_db_temp_bytes(d), pg_stat_get_db_deadlocks(d),"                \
  " pg_stat_get_db_blk_read_time(d), pg_stat_get_db_blk_write_time(d),"                                      \
  " coalesce(extract(epoch FROM pg_stat_get_db_stat_reset_time(d)), 0)"
#define QUELL_PG_FROM_DATABASES " FROM unnest($1::oid[]) AS d"
inline constexpr char kDatabase14[] =
    QUELL_PG_DATABASE ", pg_stat_get_db_active_time(d) / 1000" QUELL_PG_FROM_DATABASES;
inline constexpr char kDatabase12[] = QUELL_PG_DATABASE QUELL_PG_FROM_DATABASES;
#undef QUELL_PG_DATABASE
#undef QUELL_PG_FROM_DATABASES

#define QUELL_PG_LSN \
  "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"
// pid, client, slot, state, bytes behind, seconds behind
inline constexpr char kReplication[] =
    "SELECT s.pid, host(a.client_addr), r.slot_name, s.state, coalesce(pg_wal_lsn_diff(" QUELL_PG_LSN
    ", s.replay_lsn), 0), coalesce(extract(epoch FROM s.replay_lag), 0) FROM pg_stat_get_wal_senders() s"
    " JOIN pg_stat_get_activity(NULL) a ON a.pid = s.pid"
    " LEFT JOIN pg_get_replication_slots() r ON r.active_pid = s.pid ORDER BY s.pid LIMIT 20";
// name, datoid, active, bytes kept for it
inline constexpr char kSlots[] =
    "SELECT slot_name, datoid, active, coalesce(pg_wal_lsn_diff(" QUELL_PG_LSN
    ", restart_lsn), 0) FROM pg_get_replication_slots() ORDER BY slot_name LIMIT 20";
#undef QUELL_PG_LSN

// one column per counter in the order of kWriterMetrics; before 17 and from 17 on
#define QUELL_PG_ARCHIVER \
  "SELECT a.archived_count, a.failed_count, coalesce(extract(epoch FROM now() - a.last_archived_time), 0),"
inline constexpr char kWriter12[] = QUELL_PG_ARCHIVER
    " b.buffers_alloc, b.buffers_clean, b.maxwritten_clean, extract(epoch FROM b.stats_reset),"
    " b.checkpoints_timed, b.checkpoints_req, b.checkpoint_write_time, b.checkpoint_sync_time, "
    "b.buffers_checkpoint,"
    " b.buffers_backend, b.buffers_backend_fsync FROM pg_stat_archiver a, pg_stat_bgwriter b";
inline constexpr char kWriter17[] = QUELL_PG_ARCHIVER
    " b.buffers_alloc, b.buffers_clean, b.maxwritten_clean, extract(epoch FROM b.stats_reset),"
    " c.num_timed, c.num_requested, c.write_time, c.sync_time, c.buffers_written"
    " FROM pg_stat_archiver a, pg_stat_bgwriter b, pg_stat_checkpointer c";
#undef QUELL_PG_ARCHIVER

// Where the server writes its text log; NULL when something else does that for it.
inline constexpr char kLogFile[] =
    "SELECT CASE WHEN f LIKE '/%' THEN f ELSE current_setting('data_directory') || '/' || f END"
    " FROM pg_current_logfile('stderr') AS f";

// oid, name, connection limit; one more than is told of
inline constexpr char kDatabases[] =
    "SELECT oid, datname, datconnlimit FROM pg_database WHERE datallowconn ORDER BY oid LIMIT 51";
// datid, bytes
inline constexpr char kSizes[] =
    "SELECT oid, pg_database_size(oid) FROM pg_database WHERE oid = ANY ($1::oid[])";
// name, value, unit, type
inline constexpr char kSettings[] =
    "SELECT name, setting, unit, vartype FROM pg_settings WHERE name IN ('max_connections',"
    " 'superuser_reserved_connections', 'reserved_connections', 'max_locks_per_transaction',"
    " 'autovacuum_vacuum_threshold', 'autovacuum_vacuum_scale_factor', 'autovacuum_analyze_threshold',"
    " 'shared_buffers', 'work_mem', 'statement_timeout', 'idle_in_transaction_session_timeout', 'fsync') "
    "ORDER BY name";
// schema, table, then one column per counter in the order of kTableMetrics: the 50 tables with the most
// writes
inline constexpr char kTables[] =
    "SELECT n.nspname, c.relname, t.ins, t.upd, t.del, pg_stat_get_tuples_hot_updated(c.oid),"
    " pg_stat_get_live_tuples(c.oid), pg_stat_get_dead_tuples(c.oid), pg_stat_get_mod_since_analyze(c.oid),"
    " coalesce(extract(epoch FROM pg_stat_get_last_autovacuum_time(c.oid)), 0),"
    " coalesce(extract(epoch FROM pg_stat_get_last_autoanalyze_time(c.oid)), 0)"
    " FROM (SELECT * FROM (SELECT oid, pg_stat_get_tuples_inserted(oid) AS ins, "
    "pg_stat_get_tuples_updated(oid) AS upd,"
    " pg_stat_get_tuples_deleted(oid) AS del FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384) w"
    " ORDER BY ins + upd + del DESC, oid LIMIT 50) t"
    " JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY c.oid";

}  // namespace quell::agent::sql
