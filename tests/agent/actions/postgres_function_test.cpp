// quell.terminate of deploy/postgres/quell.sql, called directly as quell_remedy and as others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/support/quell_database.h"
#include "tests/support/wait.h"

namespace quell {
namespace {

using test::Blocked;
using test::QuellDatabase;
using testing::HasSubstr;

class TerminateFunction : public testing::Test {
 protected:
  static void SetUpTestSuite() { database_ = new QuellDatabase(); }
  static void TearDownTestSuite() {
    delete database_;
    database_ = nullptr;
  }
  void SetUp() override { remedy_ = database_->Open("quell_remedy", "quell-worker"); }

  // "done", or the reason.
  std::string Call(const std::string& arguments) {
    auto rows = remedy_->Execute("SELECT done, reason FROM quell.terminate(" + arguments + ")");
    if (!rows.ok()) return rows.status().ToString();
    if (rows->size() != 1) return "not one row";
    if ((*rows)[0][0] == "t") return (*rows)[0][1].empty() ? "done" : "done with a reason";
    return (*rows)[0][1];
  }
  static std::string Time(int64_t us) {
    if (us == 0) return "NULL";
    return "'" + absl::FormatTime("%Y-%m-%d %H:%M:%E6S+00", absl::FromUnixMicros(us), absl::UTCTimeZone()) +
           "'";
  }
  static std::string Arguments(const v1::PostgresSession& s, const std::string& mode, bool query = false) {
    return absl::StrCat(s.pid(), ", ", Time(s.backend_start_us()), ", ", Time(s.xact_start_us()), ", ",
                        query ? Time(s.query_start_us()) : "NULL", ", '", mode, "'");
  }

  static QuellDatabase* database_;
  std::unique_ptr<test::PostgresSession> remedy_;
};
QuellDatabase* TerminateFunction::database_ = nullptr;

TEST_F(TerminateFunction, EndsExactlyTheSessionThatIsMeant) {
  Blocked scene(*database_, 1);
  const v1::PostgresSession root = database_->Look(scene.root->pid());
  EXPECT_EQ(Call(Arguments(root, "ended")), "still_there");
  for (int wrong = 0; wrong < 4; ++wrong) {
    v1::PostgresSession other = root;
    if (wrong == 0) other.set_pid(999'999);
    if (wrong == 1) other.set_backend_start_us(root.backend_start_us() + 1);
    if (wrong == 2) other.set_xact_start_us(root.xact_start_us() - 1);
    if (wrong == 3) other.set_xact_start_us(0);
    static constexpr const char* kReasons[] = {"gone", "other_session", "other_transaction",
                                               "other_transaction"};
    EXPECT_EQ(Call(Arguments(other, "terminate")), kReasons[wrong]);
  }
  v1::PostgresSession query = root;
  query.set_query_start_us(root.query_start_us() + 1);
  EXPECT_EQ(Call(Arguments(query, "terminate", true)), "other_query");
  EXPECT_EQ(Call(Arguments(root, "cancel", true)), "not_active");
  EXPECT_TRUE(database_->Lives(*scene.root));
  EXPECT_EQ(Call(Arguments(root, "terminate", true)), "done");
  EXPECT_TRUE(test::WaitFor([&] { return Call(Arguments(root, "ended")) == "done"; }));
  EXPECT_FALSE(database_->Lives(*scene.root));
}

TEST_F(TerminateFunction, RefusesEveryWrongArgument) {
  auto session = database_->Open("web");
  ASSERT_TRUE(session->Execute("BEGIN; SELECT 1").ok());
  const v1::PostgresSession s = database_->Look(session->pid());
  const std::string rest =
      absl::StrCat(", ", Time(s.backend_start_us()), ", ", Time(s.xact_start_us()), ", NULL, ");
  EXPECT_EQ(Call("NULL" + rest + "'terminate'"), "gone");
  EXPECT_EQ(Call("0" + rest + "'terminate'"), "gone");
  EXPECT_EQ(Call("-1" + rest + "'terminate'"), "gone");
  EXPECT_EQ(Call("2147483647" + rest + "'terminate'"), "gone");
  EXPECT_EQ(Call(absl::StrCat(s.pid(), rest, "NULL")), "mode");
  for (const char* mode :
       {"''", "'TERMINATE'", "'terminate '", "'kill'", "'terminate''; DROP TABLE orders; --'"})
    EXPECT_EQ(Call(absl::StrCat(s.pid(), rest, mode)), "mode") << mode;
  const std::string pid = absl::StrCat(s.pid());
  EXPECT_EQ(Call(pid + ", NULL, NULL, NULL, 'terminate'"), "other_session");
  EXPECT_EQ(Call(pid + ", 'infinity', '-infinity', NULL, 'terminate'"), "other_session");
  EXPECT_EQ(Call(absl::StrCat(pid, ", ", Time(s.backend_start_us()), ", NULL, NULL, 'terminate'")),
            "other_transaction");
  EXPECT_EQ(Call(absl::StrCat(pid, ", ", Time(s.backend_start_us()), ", 'infinity', NULL, 'cancel'")),
            "other_transaction");
  EXPECT_THAT(Call("2147483648" + rest + "'terminate'"), HasSubstr("42883"));  // there is no such function
  EXPECT_TRUE(session->Execute("SELECT 1").ok());
}

TEST_F(TerminateFunction, X16_RefusesWhatIsNoClientsSessionOfAnOrdinaryUser) {
  auto superuser = database_->Open("postgres");
  auto replicating = database_->Open("copier");
  auto monitor = database_->Open("quell_monitor");
  auto other_remedy = database_->Open("quell_remedy");
  EXPECT_EQ(Call(Arguments(database_->Look(superuser->pid()), "terminate")), "superuser");
  EXPECT_EQ(Call(Arguments(database_->Look(replicating->pid()), "terminate")), "replication");
  EXPECT_EQ(Call(Arguments(database_->Look(monitor->pid()), "terminate")), "own");
  EXPECT_EQ(Call(Arguments(database_->Look(other_remedy->pid()), "terminate")), "own");
  EXPECT_EQ(Call(Arguments(database_->Look(remedy_->pid()), "terminate")), "own");
  for (const char* type :
       {"checkpointer", "background writer", "walwriter", "logical replication launcher"}) {
    const std::string pid =
        database_->One(absl::StrCat("SELECT pid FROM pg_stat_activity WHERE backend_type = '", type, "'"));
    ASSERT_FALSE(pid.empty()) << type;
    EXPECT_EQ(Call(Arguments(database_->Look(std::stoi(pid)), "terminate")), "not_client") << type;
  }
  // One who took on a lesser user after coming as a superuser stays one.
  ASSERT_TRUE(superuser->Execute("SET SESSION AUTHORIZATION web; BEGIN; SELECT 1").ok());
  EXPECT_EQ(Call(Arguments(database_->Look(superuser->pid()), "terminate")), "superuser");
}

TEST_F(TerminateFunction, LooksAnewWithinATransactionThatLookedBefore) {
  auto session = database_->Open("web");
  ASSERT_TRUE(session->Execute("BEGIN; SELECT 1").ok());
  const v1::PostgresSession s = database_->Look(session->pid());
  ASSERT_TRUE(
      remedy_->Execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_stat_activity").ok());
  ASSERT_TRUE(session->Execute("COMMIT; BEGIN; SELECT 1").ok());
  EXPECT_EQ(Call(Arguments(s, "terminate")), "other_transaction");
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(TerminateFunction, IsForQuellRemedyAloneWhichCanDoNothingElse) {
  auto web = database_->Open("web");
  auto monitor = database_->Open("quell_monitor");
  for (auto* session : {web.get(), monitor.get()}) {
    const auto refused = session->Execute("SELECT quell.terminate(1, NULL, NULL, NULL, 'terminate')");
    EXPECT_THAT(refused.status().ToString(), HasSubstr("permission denied"));
  }
  for (const char* text :
       {"SELECT count(*) FROM pg_authid", "CREATE TABLE quell.x(y int)", "SET ROLE quell_owner",
        "CREATE FUNCTION quell.now() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION quell.terminate"}) {
    EXPECT_FALSE(remedy_->Execute(text).ok()) << text;
  }
  const std::string kill = absl::StrCat("SELECT pg_terminate_backend(", web->pid(), ")");
  EXPECT_THAT(remedy_->Execute(kill).status().ToString(), HasSubstr("must be a member"));
  EXPECT_TRUE(database_->Lives(*web));
}

// What others put where names are looked up changes nothing.
TEST_F(TerminateFunction, X16_NamesThatStandInTheWayAreNotFound) {
  auto web = database_->Open("web");
  ASSERT_TRUE(web->Execute("CREATE FUNCTION public.pg_terminate_backend(int) RETURNS boolean LANGUAGE sql AS "
                           "'SELECT true'; CREATE VIEW public.pg_stat_activity AS SELECT 1 AS pid")
                  .ok());
  ASSERT_TRUE(
      remedy_->Execute("CREATE TEMP TABLE pg_roles(oid oid, rolsuper boolean, rolreplication boolean)").ok());
  ASSERT_TRUE(remedy_->Execute("SET search_path = public, pg_temp, pg_catalog").ok());
  auto superuser = database_->Open("postgres");
  EXPECT_EQ(Call(Arguments(database_->Look(superuser->pid()), "terminate")), "superuser");
  auto session = database_->Open("web");
  ASSERT_TRUE(session->Execute("BEGIN; SELECT 1").ok());
  EXPECT_EQ(Call(Arguments(database_->Look(session->pid()), "terminate")), "done");
  EXPECT_TRUE(test::WaitFor([&] { return !database_->Lives(*session); }));
}

}  // namespace
}  // namespace quell
