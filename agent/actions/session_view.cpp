#include "agent/actions/session_view.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/actions/statement_kind.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kTreeLines = 200;
constexpr size_t kMostDescribed = 400;
constexpr int kQueryIdSince = 140000;

// Columns of the sessions that become a PostgresSession; times in microseconds, as the server has them.
constexpr char kColumns[] = R"sql(
  a.pid,
  coalesce((extract(epoch FROM a.backend_start) * 1000000)::bigint, 0),
  coalesce((extract(epoch FROM a.xact_start) * 1000000)::bigint, 0),
  coalesce((extract(epoch FROM a.query_start) * 1000000)::bigint, 0),
  coalesce(a.datname, ''), coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
  coalesce(a.backend_type, ''), coalesce(host(a.client_addr), 'local'), left(a.query, 4096),
  coalesce(r.rolsuper, false), coalesce(r.rolreplication, false)
)sql";
constexpr char kFrom[] = R"sql(
  FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
)sql";
constexpr char kFilters[] = R"sql(
  WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND NOT r.rolsuper AND NOT r.rolreplication
    AND a.usename NOT IN ('quell_owner', 'quell_monitor', 'quell_remedy')
    AND ($1 = '' OR a.datname = $1) AND ($2 = '' OR a.usename = $2) AND ($3 = '' OR a.application_name = $3)
    AND ($4 = '' OR a.state = $4)
)sql";
constexpr char kTransactionAge[] = R"sql(
    AND ($5::bigint = 0 OR a.xact_start <= clock_timestamp() - make_interval(secs => $5::bigint))
  ORDER BY a.xact_start NULLS LAST, a.pid LIMIT 401
)sql";
constexpr char kStatementAge[] = R"sql(
    AND a.state IN ('active', 'fastpath function call')
    AND ($5::bigint = 0 OR a.query_start <= clock_timestamp() - make_interval(secs => $5::bigint))
  ORDER BY a.query_start, a.pid LIMIT 401
)sql";

int64_t Number(const std::string& text) {
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

v1::PostgresSession SessionOf(const PostgresRow& row, const LockTree& tree) {
  v1::PostgresSession session;
  session.set_pid(Number(row[0]));
  session.set_backend_start_us(Number(row[1]));
  session.set_xact_start_us(Number(row[2]));
  session.set_query_start_us(Number(row[3]));
  session.set_database(row[4]);
  session.set_role(row[5]);
  session.set_application(row[6]);
  session.set_state(row[7]);
  session.set_backend_type(row[8]);
  session.set_client(row[9]);
  // The statement of a session outside of a transaction is over.
  if (session.state() != "idle") session.set_kind(StatementKind(row[10]));
  session.set_superuser(row[11] == "t");
  session.set_replication(row[12] == "t");
  session.set_victims(tree.Victims(session.pid()));
  session.set_root(session.victims() > 0 && tree.WaitsFor(session.pid()) < 0);
  return session;
}

// A name that others chose, so that it can't look like more than one: quoted, and what can't be seen spelt
// out.
std::string Name(const std::string& text) {
  std::string out = "\"";
  for (std::string_view rest = text; !rest.empty();) {
    const CodePoint c = DecodeUtf8(rest);
    if (c.valid && (c.value == '"' || c.value == '\\')) out.push_back('\\');
    AppendVisible(&out, c, rest);
    rest.remove_prefix(c.size);
  }
  return out + "\"";
}

std::string PidArray(const std::vector<int64_t>& pids) {
  const size_t most = std::min(pids.size(), kMostDescribed);
  return absl::StrCat("{", absl::StrJoin(pids.begin(), pids.begin() + static_cast<std::ptrdiff_t>(most), ","),
                      "}");
}

absl::StatusOr<std::map<int64_t, std::string>> SessionLines(PostgresClient& client,
                                                            const std::vector<int64_t>& pids) {
  const char* query_id = client.server_version() >= kQueryIdSince ? "a.query_id::text" : "NULL";
  const std::string text = absl::StrCat(R"sql(SELECT a.pid, coalesce(a.usename, ''), coalesce(a.datname, ''),
      coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'local'), coalesce(a.state, a.backend_type, ''),
      coalesce(round(extract(epoch FROM clock_timestamp() - a.backend_start)::numeric, 1)::text, '-'),
      coalesce(round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1)::text, '-'),
      coalesce(round(extract(epoch FROM clock_timestamp() - a.query_start)::numeric, 1)::text, '-'),
      coalesce(a.wait_event_type || '/' || a.wait_event, '-'), left(a.query, 4096), coalesce()sql",
                                        query_id, R"sql(, '-')
    FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY($1::int[]))sql");
  QUELL_ASSIGN_OR_RETURN(const std::vector<PostgresRow> rows, client.Query(text, {PidArray(pids)}));
  std::map<int64_t, std::string> lines;
  for (const PostgresRow& row : rows) {
    lines[Number(row[0])] = absl::StrCat(
        "pid ", row[0], " user ", Name(row[1]), " database ", Name(row[2]), " application ", Name(row[3]),
        " from ", row[4], ", ", row[5], ", session ", row[6], " s, transaction ", row[7], " s, statement ",
        row[8], " s ", StatementTag(row[10]), " queryid ", row[11], ", waits ", row[9]);
  }
  return lines;
}

// "RowExclusiveLock on public.orders" and the like, per pid; `granted` or waited for.
absl::StatusOr<std::map<int64_t, std::set<std::string>>> LockLines(PostgresClient& client,
                                                                   const std::vector<int64_t>& pids,
                                                                   bool granted) {
  constexpr char kText[] = R"sql(SELECT DISTINCT l.pid, l.mode, l.locktype, coalesce(n.nspname, ''),
      coalesce(c.relname, ''), coalesce(l.relation::bigint::text, ''), coalesce(d.datname, '')
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database
    LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND d.datname = current_database()
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = ANY($1::int[]) AND l.granted = $2::boolean AND (NOT l.granted OR l.locktype IN ('relation', 'advisory'))
    ORDER BY 1, 2 LIMIT 2000)sql";
  QUELL_ASSIGN_OR_RETURN(const std::vector<PostgresRow> rows,
                         client.Query(kText, {PidArray(pids), granted ? "true" : "false"}));
  std::map<int64_t, std::set<std::string>> locks;
  for (const PostgresRow& row : rows) {
    std::string what = row[2];
    if (!row[4].empty()) {
      what = absl::StrCat(Name(row[3]), ".", Name(row[4]));
    } else if (!row[5].empty()) {
      what = absl::StrCat(row[2], " ", row[5], " of database ", Name(row[6]));
    }
    locks[Number(row[0])].insert(absl::StrCat(row[1], " on ", what));
  }
  return locks;
}

}  // namespace

absl::StatusOr<std::vector<v1::PostgresSession>> FindSessions(PostgresClient& client,
                                                              const SessionTarget& target,
                                                              const LockTree& tree) {
  std::string text = absl::StrCat("SELECT ", kColumns, kFrom);
  std::vector<std::string> parameters;
  if (target.named()) {
    absl::StrAppend(&text, " WHERE a.pid = $1::int");
    parameters = {absl::StrCat(target.pid)};
  } else {
    absl::StrAppend(&text, kFilters, target.cancel ? kStatementAge : kTransactionAge);
    parameters = {target.database, target.role, target.application, target.state,
                  absl::StrCat(target.min_age_s)};
  }
  QUELL_ASSIGN_OR_RETURN(const std::vector<PostgresRow> rows, client.Query(text, parameters));
  if (rows.size() > kMostFound) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", kMostFound, " sessions match"));
  }
  std::vector<v1::PostgresSession> sessions;
  for (const PostgresRow& row : rows) sessions.push_back(SessionOf(row, tree));
  return sessions;
}

absl::StatusOr<LockTree> ReadLockTree(PostgresClient& client) {
  constexpr char kText[] = R"sql(SELECT w.pid, b.pid
    FROM (SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.wait_event_type = 'Lock'
          ORDER BY a.query_start LIMIT 500) w, unnest(pg_blocking_pids(w.pid)) AS b(pid) LIMIT 20000)sql";
  QUELL_ASSIGN_OR_RETURN(const std::vector<PostgresRow> rows, client.Query(kText, {}));
  std::vector<LockEdge> edges;
  for (const PostgresRow& row : rows) edges.push_back({Number(row[0]), Number(row[1])});
  return LockTree(edges);
}

absl::StatusOr<std::string> DescribeLocks(PostgresClient& client, const LockTree& tree,
                                          const std::vector<int64_t>& pids) {
  const std::set<int64_t> all = tree.Pids();
  std::vector<int64_t> in_tree(all.begin(), all.end());
  QUELL_ASSIGN_OR_RETURN(const auto lines, SessionLines(client, in_tree));
  QUELL_ASSIGN_OR_RETURN(const auto wanted, LockLines(client, in_tree, false));
  std::vector<int64_t> holders = tree.Roots();
  holders.insert(holders.end(), pids.begin(), pids.end());
  QUELL_ASSIGN_OR_RETURN(const auto held, LockLines(client, holders, true));
  std::string text = tree.Draw(
      [&](int64_t pid) -> std::string {
        if (pid == 0) return "a prepared transaction, which no process owns";
        const auto line = lines.find(pid);
        std::string out = line == lines.end() ? absl::StrCat("pid ", pid, ", ended meanwhile") : line->second;
        if (const auto lock = wanted.find(pid); lock != wanted.end())
          absl::StrAppend(&out, ", wants ", absl::StrJoin(lock->second, ", "));
        if (const uint32_t victims = tree.Victims(pid); victims > 0)
          absl::StrAppend(&out, ", ", victims, " wait for it");
        return out;
      },
      kTreeLines);
  if (text.empty()) text = "nobody waits for a lock\n";
  for (const auto& [pid, locks] : held)
    absl::StrAppend(&text, "pid ", pid, " holds ", absl::StrJoin(locks, ", "), "\n");
  return text;
}

absl::StatusOr<std::string> DescribeSessions(PostgresClient& client, const std::vector<int64_t>& pids) {
  QUELL_ASSIGN_OR_RETURN(const auto lines, SessionLines(client, pids));
  std::string text;
  for (const auto& [pid, line] : lines) absl::StrAppend(&text, line, "\n");
  return text;
}

}  // namespace quell::agent
