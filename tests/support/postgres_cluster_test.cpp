// The tests' own PostgreSQL, and deploy/postgres/quell.sql in it.
#include "tests/support/postgres_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

class PostgresClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PostgresCluster::Available()) << "run deploy/dependencies test";
    auto cluster = PostgresCluster::Start(directory_.path());
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }
  std::string One(const std::string& query) {
    auto rows = cluster_->Psql(query);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() && !rows->empty() ? (*rows)[0][0] : "";
  }
  TempDir directory_;
  std::unique_ptr<PostgresCluster> cluster_;
};

TEST_F(PostgresClusterTest, RestartsAndEnds) {
  EXPECT_EQ(One("SHOW server_version_num").substr(0, 2), "15");
  ASSERT_TRUE(cluster_->Psql("CREATE TABLE kept(x int)").ok());
  for (auto how : {PostgresCluster::Shutdown::kFast, PostgresCluster::Shutdown::kImmediate}) {
    ASSERT_TRUE(cluster_->Restart(how).ok());
    EXPECT_EQ(One("SELECT count(*) FROM kept"), "0");
  }
  const pid_t pid = cluster_->pid();
  cluster_ = nullptr;
  EXPECT_NE(kill(pid, 0), 0);
}

TEST_F(PostgresClusterTest, ASessionWaitsForALockAndCanBeCancelled) {
  auto holder = cluster_->Connect();
  auto waiter = cluster_->Connect();
  ASSERT_TRUE(holder.ok() && waiter.ok());
  ASSERT_TRUE(cluster_->Psql("CREATE TABLE t(x int)").ok());
  ASSERT_TRUE((*holder)->Execute("BEGIN; LOCK TABLE t").ok());
  (*waiter)->Begin("SELECT * FROM t");
  EXPECT_TRUE(WaitFor([&] { return One("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1"; }));
  (*waiter)->Cancel();
  EXPECT_FALSE((*waiter)->End().ok());
}

TEST_F(PostgresClusterTest, QuellSqlRunsTwiceAndInAnotherDatabase) {
  ASSERT_TRUE(cluster_->Psql("CREATE DATABASE other").ok());
  for (const char* database : {"postgres", "postgres", "other"}) {
    const absl::Status status = cluster_->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", database);
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(
      One("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'quell%' AND "
          "rolcanlogin AND NOT rolsuper"),
      "quell_monitor quell_remedy");
  ASSERT_TRUE(cluster_->Psql("CREATE TABLE secret(x int)").ok());
  auto monitor = cluster_->Connect("quell_monitor");
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  EXPECT_FALSE((*monitor)->Execute("SELECT * FROM public.secret").ok());
  EXPECT_FALSE((*monitor)->Execute("CREATE TEMP TABLE t(x int)").ok());
  EXPECT_FALSE((*monitor)->Execute("SELECT pg_sleep(20)").ok());  // statement_timeout
  auto remedy = cluster_->Connect("quell_remedy");
  ASSERT_TRUE(remedy.ok()) << remedy.status();
  EXPECT_FALSE((*remedy)->Execute("SELECT * FROM public.secret").ok());
}

}  // namespace
}  // namespace quell::test
