// The PostgreSQL collector over a real server: what it tells of, who blocks whom, and what never leaves the
// host.
#include <fstream>
#include <regex>
#include <set>

#include "common/metrics/metrics.h"
#include "common/wire/limits.h"
#include "tests/agent/collectors/postgres_fixture.h"

namespace quell::agent {
namespace {

TEST_F(PostgresTest, TellsUnderTheExportersNamesWithOneDescriptorEach) {
  StartServer();
  Psql("SELECT pg_create_physical_replication_slot('idle_slot', true)");
  ASSERT_EQ(Collect(), absl::OkStatus());
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up{server=\"main\"}"), 1);
  EXPECT_EQ(sink_.Value("pg_exporter_last_scrape_error"), 0);
  EXPECT_EQ(sink_.Value("pg_replication_is_replica"), 0);
  EXPECT_EQ(sink_.Value("pg_settings_max_connections"), 40);
  EXPECT_EQ(sink_.Value("pg_settings_shared_buffers_bytes"), 8 << 20);
  EXPECT_EQ(sink_.Value("pg_settings_fsync"), 0);
  EXPECT_EQ(sink_.Value("pg_replication_slots_active{server=\"main\", slot_name=\"idle_slot\"}"), 0);
  EXPECT_NEAR(sink_.Value("pg_postmaster_start_time_seconds"), static_cast<double>(RealClock().Wall()) / 1e6,
              60);
  EXPECT_EQ(sink_.Value("pg_stat_activity_count{datname=\"boutique\", server=\"main\", state=\"active\"}"),
            1);
  EXPECT_EQ(
      sink_.Value(
          "pg_stat_activity_count{datname=\"boutique\", server=\"main\", state=\"idle in transaction\"}"),
      0);
  EXPECT_GT(sink_.Value("pg_database_size_bytes{datname=\"boutique\""), 1 << 20);
  EXPECT_GE(sink_.Value("pg_stat_user_tables_n_tup_ins{datname=\"boutique\", relname=\"orders\""), 9);
  EXPECT_EQ(sink_.Names("pg_stat_user_tables_n_tup_ins").size(), 1u);
  EXPECT_EQ(sink_.Value("pg_lock_waiting"), 0);
  for (const Series& series : sink_.all()) {
    const MetricDescriptor* metric = FindMetric(series.name);
    ASSERT_NE(metric, nullptr) << series.name;
    EXPECT_EQ(series.labels.Get("server"), "main") << series.name;
    EXPECT_EQ(series.labels.Get("application_name"), "");
  }
}

// Each metric that the postgres mixin's alerts read, but for the one that no exporter has any more.
TEST_F(PostgresTest, FeedsThePostgresMixin) {
  StartServer();
  Psql("SELECT pg_create_physical_replication_slot('idle_slot', true)");
  ASSERT_EQ(Collect(), absl::OkStatus());
  std::ifstream file(QUELL_SOURCE_DIR "/../shared/conformance/rules/postgres-mixin-alerts.yml");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  ASSERT_FALSE(text.empty());
  const std::regex metric("\\bpg_[a-z_]+\\b");
  for (std::sregex_iterator it(text.begin(), text.end(), metric), end; it != end; ++it)
    EXPECT_TRUE(it->str() == "pg_replication_lag" || !sink_.Names(it->str() + "{").empty()) << it->str();
}

TEST_F(PostgresTest, TheRootOfAChainThreeDeepAndItsVictims) {
  StartServer();
  auto root = Session(), second = Session(), third = Session(), fourth = Session(), beside = Session();
  ASSERT_TRUE(root->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 1").ok());
  ASSERT_TRUE(second->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 2").ok());
  ASSERT_TRUE(third->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 3").ok());
  second->Begin("UPDATE orders SET x = 2 WHERE id = 1");
  ASSERT_TRUE(WaitForUngranted(1));
  third->Begin("UPDATE orders SET x = 2 WHERE id = 2");
  ASSERT_TRUE(WaitForUngranted(2));
  fourth->Begin("UPDATE orders SET x = 2 WHERE id = 3");
  ASSERT_TRUE(WaitForUngranted(3));
  beside->Begin("UPDATE orders SET x = 2 WHERE id = 1");
  ASSERT_TRUE(WaitForUngranted(4));

  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_lock_waiting"), 4);
  const auto rows =
      cluster_->Psql(absl::StrCat("SELECT (extract(epoch FROM backend_start) * 1000000)::bigint, "
                                  "(extract(epoch FROM xact_start) * 1000000)::bigint "
                                  "FROM pg_stat_activity WHERE pid = ",
                                  root->pid()));
  ASSERT_TRUE(rows.ok());
  const std::string labels =
      absl::StrCat("{backend_start=\"", (*rows)[0][0], "\", datname=\"boutique\", pid=\"", root->pid(),
                   "\", server=\"main\", usename=\"shop\", xact_start=\"", (*rows)[0][1], "\"}");
  EXPECT_EQ(sink_.Names("pg_blocking_root_victims"),
            std::vector<std::string>{"pg_blocking_root_victims" + labels});
  EXPECT_EQ(sink_.Value("pg_blocking_root_victims" + labels), 4);
  EXPECT_GT(sink_.Value("pg_blocking_root_seconds" + labels), 0);
  EXPECT_TRUE(sink_.Names("pg_blocking_root_spared_victims").empty());
  EXPECT_GT(sink_.Value("pg_stat_activity_max_tx_duration{datname=\"boutique\", server=\"main\", "
                        "state=\"idle in transaction\"}"),
            0);

  // Gone: told as 0 for a minute, then no more. The next one in the chain is a root of its own.
  ASSERT_TRUE(root->Execute("ROLLBACK").ok());
  ASSERT_TRUE(WaitForUngranted(3));
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_blocking_root_victims" + labels), 0);
  EXPECT_EQ(sink_.Value("pg_blocking_root_seconds" + labels), -1);
  EXPECT_EQ(sink_.Names("pg_blocking_root_victims").size(), 2u);
  clock_.Advance(kMinute + kSecond);
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_blocking_root_victims" + labels), -1);
}

TEST_F(PostgresTest, RootsThatNoRemedyEndsAreToldApart) {
  StartServer();
  Psql("CREATE ROLE copier LOGIN REPLICATION; ");
  Psql("GRANT ALL ON orders TO copier", "boutique");
  auto super = Session("postgres"), copier = Session("copier"), first = Session(), second = Session();
  ASSERT_TRUE(super->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 1").ok());
  ASSERT_TRUE(copier->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 2").ok());
  first->Begin("UPDATE orders SET x = 2 WHERE id = 1");
  second->Begin("UPDATE orders SET x = 2 WHERE id = 2");
  ASSERT_TRUE(WaitForUngranted(2));
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_TRUE(sink_.Names("pg_blocking_root_victims").empty());
  std::string all;
  for (const std::string& text : sink_.Names("pg_blocking_root_spared_victims")) all += text + "\n";
  EXPECT_THAT(
      all, testing::HasSubstr(absl::StrCat("pid=\"", super->pid(),
                                           "\", server=\"main\", usename=\"postgres\", why=\"superuser\"")));
  EXPECT_THAT(
      all, testing::HasSubstr(absl::StrCat("pid=\"", copier->pid(),
                                           "\", server=\"main\", usename=\"copier\", why=\"replication\"")));
}

// A statement that runs for too long is met when it does, by the names that a remedy takes; its end is told.
TEST_F(PostgresTest, ALongStatementIsToldWithItsSession) {
  StartServer();
  PostgresConfig config = Config();
  config.every = kMinute;
  config.long_query_after = kHour;
  collector_ = MakePostgresCollector(config);
  auto slow = Session(), super = Session("postgres"), idle = Session();
  ASSERT_TRUE(idle->Execute("BEGIN; SELECT 1").ok());
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(collector_->every(), kMinute) << "nothing runs";
  slow->Begin("SELECT pg_sleep(600)");
  super->Begin("SELECT pg_sleep(600)");
  ASSERT_TRUE(test::WaitFor([&] {
    auto rows = cluster_->Psql(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' "
        "AND query_start < now() - interval '200 ms'");
    return rows.ok() && (*rows)[0][0] == "2";
  }));
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_TRUE(sink_.Names("pg_long_query_seconds").empty());
  EXPECT_EQ(sink_.EventsOf("postgres.long_query"), 0);
  EXPECT_EQ(collector_->every(), kMinute) << "it is long until then";

  config.long_query_after = 100 * kMillisecond;
  collector_ = MakePostgresCollector(config);
  ASSERT_EQ(Collect(), absl::OkStatus());
  const auto rows =
      cluster_->Psql(absl::StrCat("SELECT (extract(epoch FROM backend_start) * 1000000)::bigint, "
                                  "(extract(epoch FROM xact_start) * 1000000)::bigint, "
                                  "(extract(epoch FROM query_start) * 1000000)::bigint "
                                  "FROM pg_stat_activity WHERE pid = ",
                                  slow->pid()));
  ASSERT_TRUE(rows.ok());
  const std::string labels =
      absl::StrCat("{backend_start=\"", (*rows)[0][0], "\", datname=\"boutique\", pid=\"", slow->pid(),
                   "\", query_start=\"", (*rows)[0][2],
                   "\", server=\"main\", usename=\"shop\", xact_start=\"", (*rows)[0][1], "\"}");
  EXPECT_EQ(sink_.Names("pg_long_query_seconds"), std::vector<std::string>{"pg_long_query_seconds" + labels});
  EXPECT_GE(sink_.Value("pg_long_query_seconds" + labels), 0.2);
  ASSERT_EQ(sink_.Names("pg_long_query_spared_seconds").size(), 1u);
  EXPECT_THAT(sink_.Names("pg_long_query_spared_seconds")[0], testing::HasSubstr("why=\"superuser\""));
  ASSERT_EQ(sink_.EventsOf("postgres.long_query"), 1) << "of what a remedy may end";
  EXPECT_EQ(sink_.events().back().samples(0).series().name(), "pg_long_query_seconds");

  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.EventsOf("postgres.long_query"), 1) << "once";
  slow->Cancel();
  EXPECT_FALSE(slow->End().ok());
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_long_query_seconds" + labels), 0);
  clock_.Advance(kMinute + kSecond);
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_long_query_seconds" + labels), -1);
  super->Cancel();
  EXPECT_FALSE(super->End().ok());
}

TEST_F(PostgresTest, TheNextLookIsWhenAStatementWillHaveRunForTooLong) {
  StartServer();
  PostgresConfig config = Config();
  config.every = kHour;
  config.long_query_after = kMinute;
  collector_ = MakePostgresCollector(config);
  auto slow = Session();
  slow->Begin("SELECT pg_sleep(600)");
  ASSERT_TRUE(
      test::WaitFor([&] { return Collect().ok() && sink_.Value("pg_longest_query_seconds") > 0.05; }));
  EXPECT_LT(collector_->every(), kMinute);
  EXPECT_GT(collector_->every(), 30 * kSecond);
  slow->Cancel();
  EXPECT_FALSE(slow->End().ok());
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(collector_->every(), kHour);
}

// An advisory lock of the session itself: its holder is in no transaction.
TEST_F(PostgresTest, ARootOutsideOfATransactionHasNoTransactionsStart) {
  StartServer();
  auto holder = Session(), waiter = Session();
  ASSERT_TRUE(holder->Execute("SELECT pg_advisory_lock(1)").ok());
  waiter->Begin("SELECT pg_advisory_lock(1)");
  ASSERT_TRUE(WaitForUngranted(1));
  ASSERT_EQ(Collect(), absl::OkStatus());
  ASSERT_EQ(sink_.Names("pg_blocking_root_victims").size(), 1u);
  EXPECT_THAT(sink_.Names("pg_blocking_root_victims")[0], testing::HasSubstr("xact_start=\"0\""));
}

// Text of queries, names that applications give themselves and data stay in the server.
TEST_F(PostgresTest, X17_NoTextOfAQueryLeavesTheHost) {
  StartServer();
  const std::string canary = "CANARY4711";
  auto holder = cluster_->Connect("shop", "boutique");
  ASSERT_TRUE(holder.ok());
  ASSERT_TRUE(
      (*holder)->Execute("SET application_name = 'app CANARY4711'; PREPARE p AS SELECT 'CANARY4711'").ok());
  ASSERT_TRUE((*holder)->Execute("BEGIN; UPDATE orders SET x = length('CANARY4711') WHERE id = 1").ok());
  auto waiter = Session();
  waiter->Begin("UPDATE orders SET x = length('CANARY4711') WHERE id = 1");
  ASSERT_TRUE(WaitForUngranted(1));
  auto wrong = Session();
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_FALSE(wrong->Execute("SELECT 'CANARY4711'::int").ok());
  ASSERT_EQ(Collect(), absl::OkStatus());
  clock_.Advance(kMinute + kSecond);
  ASSERT_EQ(Collect(), absl::OkStatus());
  ASSERT_THAT(cluster_->Log(), testing::HasSubstr(canary))
      << "the server logs it: the test is worth something";
  EXPECT_EQ(sink_.Value("pg_log_errors_total{server=\"main\", severity=\"ERROR\"}"), 1);
  EXPECT_EQ(sink_.Names("pg_blocking_root_victims").size(), 1u);
  for (const Series& series : sink_.all())
    EXPECT_EQ((series.name + series.labels.ToString()).find(canary), std::string::npos) << series.name;
  for (const v1::Event& event : sink_.events())
    EXPECT_EQ(event.SerializeAsString().find(canary), std::string::npos) << event.kind();
}

TEST_F(PostgresTest, ErrorsOfTheServersLogAreCountedOverItsRotation) {
  StartServer();
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_log_readable"), 1);
  auto session = Session();
  const auto errors = [&] { return sink_.Value("pg_log_errors_total{server=\"main\", severity=\"ERROR\"}"); };
  ASSERT_FALSE(session->Execute("SELECT 1 / 0").ok());
  ASSERT_TRUE(test::WaitFor([&] { return Collect().ok() && errors() == 1; }));
  const auto file = cluster_->Psql("SELECT pg_current_logfile()");
  ASSERT_TRUE(file.ok());
  Psql("ALTER SYSTEM SET log_filename = 'another.log'");
  Psql("SELECT pg_reload_conf()");
  ASSERT_TRUE(test::WaitFor([&] {
    auto now = cluster_->Psql("SELECT pg_current_logfile()");
    return now.ok() && (*now)[0][0] != (*file)[0][0];
  }));
  ASSERT_FALSE(session->Execute("SELECT 1 / 0").ok());
  clock_.Advance(20 * kSecond);  // the path is asked for again
  ASSERT_TRUE(test::WaitFor([&] { return Collect().ok() && errors() == 2; })) << errors();
}

TEST_F(PostgresTest, HostileNamesAreValuesOfLabelsAndNothingElse) {
  StartServer();
  // 63 bytes are what PostgreSQL keeps of a name.
  const std::string names[] = {"; id",
                               "$(touch x)",
                               "a\"b'c\\d",
                               "line\nfeed\ttab",
                               "\xE2\x80\xAE"
                               "bidi",
                               std::string(63, 'n'),
                               "{server=\"other\"}",
                               "''"};
  int n = 0;
  for (const std::string& name : names) {
    auto made = cluster_->Connect();
    ASSERT_TRUE(made.ok());
    const auto quote = [](std::string text) {
      for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, "\"");
      return "\"" + text + "\"";
    };
    ASSERT_TRUE((*made)->Execute("CREATE DATABASE " + quote(name)).ok()) << name;
    ASSERT_TRUE((*made)->Execute("CREATE ROLE " + quote(name) + " LOGIN").ok()) << name;
    Psql("CREATE TABLE " + quote(name) + "(x int); INSERT INTO " + quote(name) + " VALUES (1)", "boutique");
    Psql("GRANT ALL ON orders TO " + quote(name), "boutique");
    ++n;
  }
  // What a session says of itself can be long; the server keeps 63 bytes.
  auto loud = cluster_->Connect(names[3], "boutique");
  ASSERT_TRUE(loud.ok()) << loud.status();
  ASSERT_TRUE((*loud)->Execute("SET application_name = '" + std::string(64 << 10, 'L') + "'").ok());
  ASSERT_TRUE((*loud)->Execute("BEGIN; UPDATE orders SET x = 1 WHERE id = 1").ok());
  auto waiter = Session();
  waiter->Begin("UPDATE orders SET x = 2 /* " + std::string(64 << 10, 'q') + " */ WHERE id = 1");
  ASSERT_TRUE(WaitForUngranted(1));
  ASSERT_EQ(Collect(), absl::OkStatus());
  for (const std::string& name : names) {
    const std::string label = Labels({{"datname", name}, {"server", "main"}}).ToString();
    EXPECT_GT(sink_.Value("pg_database_size_bytes" + label), 0) << name;
    const std::string table =
        Labels({{"datname", "boutique"}, {"relname", name}, {"schemaname", "public"}, {"server", "main"}})
            .ToString();
    EXPECT_EQ(sink_.Value("pg_stat_user_tables_n_tup_ins" + table), 1) << name;
  }
  ASSERT_EQ(sink_.Names("pg_blocking_root_victims").size(), 1u);
  for (const Series& series : sink_.all())
    for (const auto& [label, value] : series.labels) {
      ASSERT_LE(value.size(), wire::kMaxLabelBytes);
      EXPECT_EQ(value.find("LLL"), std::string::npos);
      EXPECT_TRUE(label != "server" || value == "main") << value;
    }
}

TEST_F(PostgresTest, ManyTablesAndDatabasesAreBounded) {
  StartServer();
  Psql(
      "DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT g FROM generate_series(1, "
      "%s) g', i, "
      "i); END LOOP; END $$",
      "boutique");
  ASSERT_EQ(Collect(), absl::OkStatus());
  ASSERT_TRUE(test::WaitFor([&] {
    clock_.Advance(kMinute);
    return Collect().ok() &&
           sink_.Value("pg_stat_user_tables_n_tup_ins{datname=\"boutique\", relname=\"t120\"") == 120;
  }));
  EXPECT_EQ(sink_.Names("pg_stat_user_tables_n_tup_ins").size(), 50u);
  EXPECT_EQ(sink_.Value("pg_stat_user_tables_n_tup_ins{datname=\"boutique\", relname=\"t70\""), -1);
}

TEST_F(PostgresTest, AReplicaTellsThatItIsOneAndItsPrimarySeesIt) {
  StartServer();
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_TRUE(sink_.Names("pg_stat_replication_pg_wal_lsn_diff").empty());
  const test::TempDir elsewhere;
  auto replica = test::PostgresCluster::StartReplica(elsewhere.path(), *cluster_);
  ASSERT_TRUE(replica.ok()) << replica.status();
  ASSERT_TRUE(test::WaitFor([&] {
    return Collect().ok() &&
           !sink_.Names("pg_stat_replication_pg_wal_lsn_diff{pid=").empty();  // by the socket: no address
  }));
  PostgresConfig config = Config();
  config.name = "copy";
  config.dsn.host = (*replica)->socket_directory();
  LiveSeries sink;
  auto collector = MakePostgresCollector(config);
  ASSERT_EQ(collector->Collect(clock_, sink), absl::OkStatus());
  EXPECT_EQ(sink.Value("pg_replication_is_replica{server=\"copy\"}"), 1);
  EXPECT_GE(sink.Value("pg_replication_lag_seconds{server=\"copy\"}"), 0);
}

}  // namespace
}  // namespace quell::agent
