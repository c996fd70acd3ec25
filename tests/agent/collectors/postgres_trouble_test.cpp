// The PostgreSQL collector when the server is in trouble: absent, late, restarting, full, locked, stopped, or
// not willing.
#include <pwd.h>
#include <signal.h>

#include "absl/strings/str_replace.h"
#include "tests/agent/collectors/postgres_fixture.h"

namespace quell::agent {
namespace {

using PostgresTroubleTest = PostgresTest;
using test::PostgresCluster;

TEST_F(PostgresTroubleTest, AbsentThenLate) {
  ASSERT_EQ(Collect(), absl::OkStatus());  // nobody there is a finding, not a failure
  EXPECT_EQ(sink_.Value("pg_up"), 0);
  EXPECT_EQ(sink_.values().size(), 2u);
  ASSERT_EQ(Collect(), absl::OkStatus());
  ASSERT_EQ(sink_.EventsOf("postgres.down"), 1) << "an edge is told once";
  EXPECT_EQ(sink_.events()[0].samples(0).series().name(), "pg_up");
  EXPECT_EQ(sink_.events()[0].samples(0).value(), 0);
  StartServer();
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
  EXPECT_EQ(sink_.EventsOf("postgres.up"), 1);
}

TEST_F(PostgresTroubleTest, RestartsFastAndImmediate) {
  StartServer();
  for (auto how : {PostgresCluster::Shutdown::kFast, PostgresCluster::Shutdown::kImmediate}) {
    ASSERT_EQ(Collect(), absl::OkStatus());
    const int downs = sink_.EventsOf("postgres.down"), ups = sink_.EventsOf("postgres.up");
    ASSERT_TRUE(cluster_->Stop(how).ok());
    ASSERT_EQ(Collect(), absl::OkStatus());
    EXPECT_EQ(sink_.Value("pg_up"), 0);
    EXPECT_TRUE(sink_.Names("pg_stat_activity_count").empty()) << "what was is no longer told";
    EXPECT_TRUE(sink_.Names("pg_settings_").empty());
    ASSERT_TRUE(cluster_->Run().ok());
    ASSERT_EQ(Collect(), absl::OkStatus());
    EXPECT_EQ(sink_.Value("pg_up"), 1);
    EXPECT_FALSE(sink_.Names("pg_settings_max_connections").empty());
    EXPECT_EQ(sink_.EventsOf("postgres.down"), downs + 1);
    EXPECT_EQ(sink_.EventsOf("postgres.up"), ups + 1);
  }
  // Between two collections: the connection is made anew at once.
  const double before = sink_.Value("pg_postmaster_start_time_seconds");
  ASSERT_TRUE(cluster_->Restart(PostgresCluster::Shutdown::kImmediate).ok());
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
  EXPECT_GT(sink_.Value("pg_postmaster_start_time_seconds"), before);
  EXPECT_EQ(sink_.EventsOf("postgres.down"), 2);
}

TEST_F(PostgresTroubleTest, FullOfConnectionsBeforeAndAfterOurs) {
  PostgresCluster::Options options;
  options.settings = {"max_connections = 12", "superuser_reserved_connections = 3"};
  StartServer(options);
  std::vector<std::unique_ptr<test::PostgresSession>> sessions;
  const auto fill = [&] {
    for (;;) {
      auto session = cluster_->Connect("shop", "boutique");
      if (!session.ok()) break;
      sessions.push_back(*std::move(session));
    }
  };
  // Ours is there already: it stays, and sees it coming.
  ASSERT_EQ(Collect(), absl::OkStatus());
  fill();
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
  EXPECT_EQ(sink_.Value("pg_stat_activity_count{datname=\"boutique\", server=\"main\", state=\"idle\"}"), 8);
  // It comes too late.
  collector_ = nullptr;
  ASSERT_TRUE(test::WaitFor([&] {
    fill();
    return sessions.size() == 9;
  }));
  ASSERT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 0);
  ASSERT_EQ(sink_.EventsOf("postgres.down"), 1);
  EXPECT_THAT(sink_.events().back().text(), testing::HasSubstr("53300"));
  sessions.clear();
  ASSERT_TRUE(test::WaitFor([&] { return Collect().ok() && sink_.Value("pg_up") == 1; }));
}

TEST_F(PostgresTroubleTest, AnExclusivelyLockedCatalogueCostsItsSectionAlone) {
  StartServer();
  ASSERT_EQ(Collect(), absl::OkStatus());
  auto holder = Session("postgres");
  ASSERT_TRUE(holder
                  ->Execute("BEGIN; LOCK TABLE orders; LOCK TABLE pg_database; LOCK TABLE pg_authid; "
                            "LOCK TABLE pg_class")
                  .ok());
  const int pid = holder->pid();
  clock_.Advance(kMinute + kSecond);  // all paces are due
  const Micros begun = RealClock().Monotonic();
  const absl::Status status = Collect();
  EXPECT_LT(RealClock().Monotonic() - begun, 5 * kSecond);
  EXPECT_FALSE(status.ok()) << "it tells that something is missing";
  EXPECT_EQ(sink_.Value("pg_up"), 1);
  EXPECT_EQ(sink_.Value("pg_exporter_last_scrape_error"), 1);
  EXPECT_GT(sink_.Value("pg_locks_count{datname=\"boutique\", mode=\"accessexclusivelock\""), 1);
  EXPECT_EQ(sink_.Names("pg_stat_activity_count").size(), 6u * 3) << "of boutique, postgres and template1";
  EXPECT_FALSE(sink_.Names("pg_stat_database_xact_commit").empty());
  EXPECT_TRUE(sink_.Names("pg_database_size_bytes").empty());

  // A new one can't even connect: that is told in time, too.
  auto late = MakePostgresCollector(Config());
  LiveSeries sink;
  const Micros second = RealClock().Monotonic();
  ASSERT_EQ(late->Collect(clock_, sink), absl::OkStatus());
  EXPECT_LT(RealClock().Monotonic() - second, 10 * kSecond);
  EXPECT_EQ(sink.Value("pg_up"), 0);
  EXPECT_GT(pid, 0);
  ASSERT_TRUE(holder->Execute("ROLLBACK").ok());
  clock_.Advance(10 * kMinute);
  EXPECT_TRUE(test::WaitFor([&] { return Collect().ok(); }));
  EXPECT_FALSE(sink_.Names("pg_database_size_bytes").empty());
}

// Its processes are there and do nothing: no answer is waited for without end.
TEST_F(PostgresTroubleTest, AStoppedServerIsDownInTime) {
  StartServer();
  ASSERT_EQ(Collect(), absl::OkStatus());
  const auto rows = cluster_->Psql("SELECT pid FROM pg_stat_activity WHERE usename = 'quell_monitor'");
  ASSERT_TRUE(rows.ok() && rows->size() == 1);
  const pid_t backend = std::stoi((*rows)[0][0]);
  ASSERT_EQ(kill(cluster_->pid(), SIGSTOP), 0);
  ASSERT_EQ(kill(backend, SIGSTOP), 0);
  const Micros begun = RealClock().Monotonic();
  EXPECT_EQ(Collect(), absl::OkStatus());
  EXPECT_LT(RealClock().Monotonic() - begun, 15 * kSecond);
  EXPECT_EQ(sink_.Value("pg_up"), 0);
  kill(backend, SIGCONT);
  kill(cluster_->pid(), SIGCONT);
  EXPECT_TRUE(test::WaitFor([&] { return Collect().ok() && sink_.Value("pg_up") == 1; }));
}

TEST_F(PostgresTroubleTest, ARefusalIsTheCollectorsFailureAndNotTheServers) {
  StartServer();
  PostgresConfig config = Config();
  config.dsn.user = "shop";  // no member of pg_monitor
  collector_ = MakePostgresCollector(config);
  absl::Status status = Collect();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("no member of pg_monitor"));
  config.dsn.user = "nobody_here";
  collector_ = MakePostgresCollector(config);
  status = Collect();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("28000"));
  config = Config();
  config.dsn.dbname = "no such; database";
  collector_ = MakePostgresCollector(config);
  status = Collect();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("3D000"));
  EXPECT_TRUE(sink_.values().empty()) << "whether the server is up is not claimed";
  EXPECT_TRUE(sink_.events().empty());
  // Not asked again each time.
  const size_t lines = cluster_->Log().size();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(Collect().ok());
  EXPECT_EQ(cluster_->Log().size(), lines);
  Psql("CREATE DATABASE \"no such; database\"");
  clock_.Advance(kMinute);
  EXPECT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
}

// deploy/postgres/pg_hba.conf and pg_ident.conf, with whom the test runs as in the agent's place.
TEST_F(PostgresTroubleTest, TheMapLetsTheAgentsUserInAsTheMonitorAlone) {
  const passwd* us = getpwuid(geteuid());
  ASSERT_NE(us, nullptr);
  PostgresCluster::Options options;
  options.hba =
      "local all postgres trust\n" + test::ReadFile(QUELL_SOURCE_DIR "/deploy/postgres/pg_hba.conf");
  options.ident = absl::StrReplaceAll(test::ReadFile(QUELL_SOURCE_DIR "/deploy/postgres/pg_ident.conf"),
                                      {{"quell-agent", us->pw_name}});
  StartServer(options);
  EXPECT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
  EXPECT_FALSE(cluster_->Connect("quell_remedy", "boutique").ok());
  EXPECT_FALSE(cluster_->Connect("shop", "boutique").ok());
}

TEST_F(PostgresTroubleTest, ByTcpWithAPasswordFromAFile) {
  PostgresCluster::Options options;
  options.tcp = true;
  options.hba = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
  StartServer(options);
  Psql("ALTER ROLE quell_monitor PASSWORD 'pa ss=''\\w'");
  PostgresConfig config = Config();
  config.dsn.host = "127.0.0.1";
  config.dsn.port = cluster_->port();
  config.password_file = directory_.Path("password");
  collector_ = MakePostgresCollector(config);
  EXPECT_TRUE(absl::IsFailedPrecondition(Collect())) << "there is no such file";
  directory_.Write("password", "wrong\n", 0600);
  clock_.Advance(kMinute);
  absl::Status status = Collect();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::Not(testing::HasSubstr("wrong")));
  directory_.Write("password", "pa ss='\\w\n", 0600);
  clock_.Advance(kMinute);
  EXPECT_EQ(Collect(), absl::OkStatus());
  EXPECT_EQ(sink_.Value("pg_up"), 1);
}

}  // namespace
}  // namespace quell::agent
