#include "tests/support/quell_database.h"

#include <pwd.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kHba[] =
    "local all quell_monitor,quell_remedy peer map=quell\n"
    "local all all trust\n"
    "local replication all trust\n";

constexpr char kTables[] =
    "CREATE ROLE web LOGIN; CREATE ROLE backup LOGIN; CREATE ROLE copier LOGIN REPLICATION;"
    "CREATE TABLE orders(id int PRIMARY KEY, n int, note text);"
    "INSERT INTO orders SELECT i, 0, repeat('x', 200) FROM generate_series(1, 20000) i;"
    "GRANT ALL ON orders TO PUBLIC; GRANT ALL ON SCHEMA public TO PUBLIC";

std::string OwnIdent() {
  const passwd* user = getpwuid(geteuid());
  Require(user != nullptr, "this test's user has a name");
  return absl::StrCat("quell ", user->pw_name, " quell_monitor\nquell ", user->pw_name, " quell_remedy\n");
}

int64_t Number(const std::string& text) {
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

}  // namespace

QuellDatabase::QuellDatabase(const std::string& ident) {
  PostgresCluster::Options options;
  options.hba = kHba;
  options.ident = ident.empty() ? OwnIdent() : ident;
  options.settings = {"autovacuum_naptime = 1s", "autovacuum_vacuum_cost_delay = 100ms",
                      "autovacuum_vacuum_cost_limit = 1", "autovacuum = off", "compute_query_id = on"};
  auto cluster = PostgresCluster::Start(directory_.path(), options);
  Require(cluster.ok(), cluster.status().ToString());
  cluster_ = *std::move(cluster);
  Require(cluster_->Psql("CREATE DATABASE shop").ok(), "making a database");
  const absl::Status tables = cluster_->Psql(kTables, "shop").status();
  Require(tables.ok(), tables.ToString());
  for (int times = 0; times < 2; ++times) {
    const absl::Status ran = cluster_->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "shop");
    Require(ran.ok(), ran.ToString());
  }
}

v1::PostgresPlace QuellDatabase::Place() const {
  v1::PostgresPlace place;
  place.set_host(cluster_->socket_directory());
  place.set_port(cluster_->port());
  place.set_dbname("shop");
  return place;
}

std::unique_ptr<PostgresSession> QuellDatabase::Open(const std::string& user, const std::string& application,
                                                     const std::string& database) {
  const std::string quoted = absl::StrReplaceAll(application, {{"\\", "\\\\"}, {"'", "\\'"}});
  auto session =
      PostgresSession::Open(absl::StrCat(cluster_->Dsn(user, database), " application_name='", quoted, "'"));
  Require(session.ok(), session.status().ToString());
  return *std::move(session);
}

std::string QuellDatabase::One(const std::string& query) {
  auto rows = cluster_->Psql(query, "shop");
  Require(rows.ok(), rows.status().ToString());
  return rows->empty() ? "" : (*rows)[0][0];
}

v1::PostgresSession QuellDatabase::Look(int pid) {
  auto rows = cluster_->Psql(absl::StrCat(
      "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint, (extract(epoch FROM xact_start) * "
      "1000000)::bigint, (extract(epoch FROM query_start) * 1000000)::bigint, datname, usename, "
      "application_name, "
      "state, backend_type FROM pg_stat_activity WHERE pid = ",
      pid));
  Require(rows.ok(), rows.status().ToString());
  v1::PostgresSession session;
  if (rows->empty()) return session;
  const auto& row = rows->front();
  session.set_pid(Number(row[0]));
  session.set_backend_start_us(Number(row[1]));
  session.set_xact_start_us(Number(row[2]));
  session.set_query_start_us(Number(row[3]));
  session.set_database(row[4]);
  session.set_role(row[5]);
  session.set_application(row[6]);
  session.set_state(row[7]);
  session.set_backend_type(row[8]);
  return session;
}

bool QuellDatabase::AwaitWaiting(int sessions) {
  return WaitFor([&] {
    return Number(One("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) == sessions;
  });
}

bool QuellDatabase::Lives(const PostgresSession& session) { return Look(session.pid()).pid() != 0; }

Blocked::Blocked(QuellDatabase& database, int count, const std::string& application)
    : root(database.Open("web", application)) {
  const std::string update =
      absl::StrCat("UPDATE orders SET n = n + 1, note = '", QuellDatabase::kCanary, "' WHERE id = 1");
  const auto begun = root->Execute("BEGIN; " + update);
  Require(begun.ok(), begun.status().ToString());
  for (int i = 0; i < count; ++i) {
    victims.push_back(database.Open("web", "victim"));
    victims.back()->Begin(update);
  }
  Require(database.AwaitWaiting(count), "sessions wait for the lock");
}

}  // namespace quell::test
