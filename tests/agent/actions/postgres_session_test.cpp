// postgres.terminate and postgres.cancel as a worker runs them, against a real server.
#include "agent/actions/postgres_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "tests/support/quell_database.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Blocked;
using test::QuellDatabase;
using testing::HasSubstr;
using testing::Not;

constexpr char kPrograms[] = "/usr/lib/postgresql/15/bin/";

class PostgresActions : public testing::Test {
 protected:
  static void SetUpTestSuite() { database_ = new QuellDatabase(); }
  static void TearDownTestSuite() {
    delete database_;
    database_ = nullptr;
  }

  static v1::WorkerRequest Request(const v1::Action& action) {
    v1::WorkerRequest request;
    *request.mutable_action() = action;
    *request.mutable_postgres() = database_->Place();
    request.set_budget_ms(10'000);
    request.set_budget_bytes(1 << 20);
    return request;
  }
  // What a policy asks for about the session as it is now.
  static v1::WorkerRequest Terminate(const v1::PostgresSession& session) {
    v1::Action action;
    auto* wanted = action.mutable_postgres_terminate();
    wanted->set_connection("main");
    wanted->set_pid(session.pid());
    wanted->set_backend_start_us(session.backend_start_us());
    wanted->set_xact_start_us(session.xact_start_us());
    return Request(action);
  }
  static v1::WorkerRequest Cancel(const v1::PostgresSession& session) {
    v1::Action action;
    auto* wanted = action.mutable_postgres_cancel();
    wanted->set_connection("main");
    wanted->set_pid(session.pid());
    wanted->set_query_start_us(session.query_start_us());
    return Request(action);
  }
  // What a person asks for: --pid alone.
  static v1::WorkerRequest ByPid(int64_t pid) {
    v1::Action action;
    action.mutable_postgres_terminate()->set_connection("main");
    action.mutable_postgres_terminate()->set_pid(pid);
    v1::WorkerRequest request = Request(action);
    request.set_by_person(true);
    return request;
  }
  static v1::WorkerResult Check(const v1::WorkerRequest& request) {
    return MakePostgresSession()->Check(request, RealClock());
  }
  static v1::WorkerResult Run(v1::WorkerRequest request, const v1::WorkerResult& checked) {
    *request.mutable_sessions() = checked.sessions();
    return MakePostgresSession()->Run(request, RealClock());
  }
  static std::string Evidence(v1::WorkerRequest request, const v1::WorkerResult& checked) {
    *request.mutable_sessions() = checked.sessions();
    request.set_budget_ms(5000);
    std::string text;
    const v1::WorkerResult taken = MakePostgresSession()->Evidence(request, RealClock());
    for (const auto& item : taken.evidence())
      absl::StrAppend(&text, item.name(), ":\n", item.content(), item.missing(), "\n");
    return text;
  }
  static int64_t PidOf(const std::string& backend_type) {
    const std::string pid = database_->One("SELECT pid FROM pg_stat_activity WHERE backend_type = '" +
                                           backend_type + "' LIMIT 1");
    return pid.empty() ? 0 : std::stoll(pid);
  }
  static std::unique_ptr<ChildProcess> Program(const std::string& name, std::vector<std::string> arguments) {
    SpawnOptions options;
    options.program = kPrograms + name;
    options.argv = {name};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"};
    options.memory_limit = 0;
    options.deadline = kMinute;
    auto child = RealProcess().Start(options);
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  static QuellDatabase* database_;
};
QuellDatabase* PostgresActions::database_ = nullptr;

TEST_F(PostgresActions, TheRootBlockerAloneIsTerminatedAndItsVictimsGoOn) {
  Blocked scene(*database_, 2);
  const v1::WorkerRequest request = Terminate(database_->Look(scene.root->pid()));
  const v1::WorkerResult checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.reason();
  ASSERT_EQ(checked.sessions_size(), 1);
  EXPECT_TRUE(checked.sessions(0).root());
  EXPECT_EQ(checked.sessions(0).victims(), 2u);
  EXPECT_EQ(checked.sessions(0).role(), "web");
  EXPECT_EQ(checked.sessions(0).database(), "shop");
  EXPECT_EQ(checked.sessions(0).client(), "local");

  const std::string evidence = Evidence(request, checked);
  EXPECT_THAT(evidence,
              HasSubstr(absl::StrCat("locks:\npid ", scene.root->pid(), " user \"web\" database \"shop\"")));
  EXPECT_THAT(evidence, HasSubstr("2 wait for it\n"));
  EXPECT_THAT(evidence, HasSubstr(absl::StrCat("\n  pid ", scene.victims[0]->pid())));
  EXPECT_THAT(evidence, HasSubstr("wants ShareLock on transactionid"));
  EXPECT_THAT(evidence, HasSubstr("RowExclusiveLock on \"public\".\"orders\""));
  EXPECT_THAT(evidence, HasSubstr("UPDATE queryid "));
  EXPECT_THAT(evidence, HasSubstr("\nsessions:\npid "));
  EXPECT_THAT(evidence, Not(HasSubstr(QuellDatabase::kCanary)));
  EXPECT_THAT(checked.SerializeAsString(), Not(HasSubstr(QuellDatabase::kCanary)));

  const Micros began = RealClock().Monotonic();
  const v1::WorkerResult result = Run(request, checked);
  printf("terminated, and seen to have ended, in %.1f ms\n",
         static_cast<double>(RealClock().Monotonic() - began) / kMillisecond);
  ASSERT_TRUE(result.ok()) << result.reason();
  EXPECT_EQ(result.sessions_size(), 1);
  EXPECT_FALSE(database_->Lives(*scene.root));
  for (auto& victim : scene.victims) EXPECT_TRUE(victim->End().ok());
  EXPECT_EQ(database_->One("SELECT n FROM orders WHERE id = 1"), "2");
}

TEST_F(PostgresActions, X16_ANumberThatIsUsedAgainIsRefused) {
  Blocked scene(*database_, 1);
  v1::PostgresSession session = database_->Look(scene.root->pid());
  session.set_backend_start_us(session.backend_start_us() - 1);
  EXPECT_THAT(Check(Terminate(session)).reason(), HasSubstr("is another session now"));
  // The effect compares by itself.
  v1::WorkerResult checked = Check(ByPid(scene.root->pid()));
  ASSERT_TRUE(checked.ok()) << checked.reason();
  checked.mutable_sessions(0)->set_backend_start_us(session.backend_start_us());
  const v1::WorkerResult result = Run(ByPid(scene.root->pid()), checked);
  EXPECT_EQ(result.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(result.reason(), HasSubstr("is another session now"));
  EXPECT_TRUE(database_->Lives(*scene.root));
  EXPECT_EQ(Check(ByPid(999'999)).reason(), "there is no session with pid 999999 any more");
}

TEST_F(PostgresActions, X16_ATransactionThatEndedBeforeCheckOrBeforeTheEffectIsRefused) {
  Blocked scene(*database_, 1);
  const v1::WorkerRequest request = Terminate(database_->Look(scene.root->pid()));
  const v1::WorkerResult checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.reason();
  ASSERT_TRUE(scene.root->Execute("COMMIT").ok());
  ASSERT_TRUE(scene.root->Execute("BEGIN; SELECT 1").ok());
  EXPECT_THAT(Check(request).reason(), HasSubstr("the transaction of pid"));
  const v1::WorkerResult result = Run(request, checked);
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(result.reason(), HasSubstr("that was meant has ended"));
  EXPECT_TRUE(scene.root->Execute("SELECT 1").ok());
}

TEST_F(PostgresActions, X16_CancelsTheStatementThatWasMeantAndNoLaterOne) {
  auto session = database_->Open("web");
  session->Begin("SELECT pg_sleep(600)");
  const int pid = session->pid();
  ASSERT_TRUE(test::WaitFor([&] { return database_->Look(pid).state() == "active"; }));
  const v1::WorkerRequest request = Cancel(database_->Look(pid));
  const v1::WorkerResult checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.reason();
  const v1::WorkerResult result = Run(request, checked);
  ASSERT_TRUE(result.ok()) << result.reason();
  EXPECT_FALSE(session->End().ok());
  EXPECT_TRUE(database_->Lives(*session));
  EXPECT_THAT(Check(request).reason(), HasSubstr("runs no statement"));

  auto other = database_->Open("web");
  other->Begin("SELECT pg_sleep(600)");
  ASSERT_TRUE(test::WaitFor([&] { return database_->Look(other->pid()).state() == "active"; }));
  v1::PostgresSession earlier = database_->Look(other->pid());
  const v1::WorkerResult known = Check(Cancel(earlier));
  ASSERT_TRUE(known.ok()) << known.reason();
  earlier.set_query_start_us(earlier.query_start_us() - 1);
  EXPECT_THAT(Check(Cancel(earlier)).reason(), HasSubstr("another one since"));
  v1::WorkerResult stale = known;
  stale.mutable_sessions(0)->set_query_start_us(earlier.query_start_us());
  EXPECT_THAT(Run(Cancel(earlier), stale).reason(), HasSubstr("the statement of pid"));
  EXPECT_EQ(database_->Look(other->pid()).state(), "active");
}

TEST_F(PostgresActions, APolicyEndsOnlyWhatStillBlocksAndIsTheRoot) {
  Blocked scene(*database_, 1);
  auto middle = database_->Open("web", "middle");
  ASSERT_TRUE(middle->Execute("BEGIN; UPDATE orders SET n = 5 WHERE id = 2").ok());
  auto last = database_->Open("web", "last");
  last->Begin("UPDATE orders SET n = 6 WHERE id = 2");
  ASSERT_TRUE(database_->AwaitWaiting(2));
  middle->Begin("UPDATE orders SET n = 7 WHERE id = 1");
  ASSERT_TRUE(database_->AwaitWaiting(3));
  const v1::PostgresSession between = database_->Look(middle->pid());
  EXPECT_THAT(Check(Terminate(between)).reason(), HasSubstr("it is not the root of what is blocked"));
  const v1::PostgresSession root = database_->Look(scene.root->pid());
  EXPECT_TRUE(Check(Terminate(root)).ok());
  ASSERT_TRUE(scene.root->Execute("COMMIT; BEGIN; SELECT 1").ok());
  EXPECT_THAT(Check(Terminate(database_->Look(scene.root->pid()))).reason(),
              HasSubstr("nobody waits for pid"));
  EXPECT_TRUE(Check(ByPid(scene.root->pid())).ok());
}

TEST_F(PostgresActions, X16_SuperusersAndTheServersOwnProcessesAreRefused) {
  auto superuser = database_->Open("postgres");
  ASSERT_TRUE(superuser->Execute("BEGIN; SELECT 1").ok());
  auto replicating = database_->Open("copier");
  EXPECT_THAT(Check(ByPid(superuser->pid())).reason(), HasSubstr("is a superuser's session"));
  EXPECT_THAT(Check(ByPid(replicating->pid())).reason(), HasSubstr("may replicate"));
  EXPECT_THAT(Check(ByPid(PidOf("checkpointer"))).reason(),
              HasSubstr("is no client's session, but of type checkpointer"));
  // A Check that lied would not help: the server's function looks for itself.
  for (const int pid : {superuser->pid(), replicating->pid()}) {
    v1::WorkerResult lie;
    *lie.add_sessions() = database_->Look(pid);
    const v1::WorkerResult result = Run(ByPid(pid), lie);
    EXPECT_EQ(result.refusal(), v1::REFUSAL_CHECK) << result.reason();
  }
  EXPECT_TRUE(database_->Lives(*superuser));
  EXPECT_TRUE(database_->Lives(*replicating));
}

TEST_F(PostgresActions, X16_ASessionOfAnotherUserOrDatabaseThanWasSaidIsRefused) {
  auto session = database_->Open("backup");
  v1::WorkerResult lie;
  *lie.add_sessions() = database_->Look(session->pid());
  lie.mutable_sessions(0)->set_role("web");
  EXPECT_THAT(Run(ByPid(session->pid()), lie).reason(), HasSubstr("of another user or database"));
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(PostgresActions, X16_AWalsenderIsRefused) {
  const test::TempDir directory;
  auto receiver =
      Program("pg_receivewal", {"-D", directory.path(), "-h", database_->cluster().socket_directory(), "-p",
                                absl::StrCat(database_->cluster().port()), "-U", "copier", "-n"});
  ASSERT_TRUE(test::WaitFor([] { return PidOf("walsender") != 0; }));
  const int64_t pid = PidOf("walsender");
  EXPECT_THAT(Check(ByPid(pid)).reason(), HasSubstr("is no client's session, but of type walsender"));
  v1::WorkerResult lie;
  *lie.add_sessions() = database_->Look(static_cast<int>(pid));
  EXPECT_EQ(Run(ByPid(pid), lie).refusal(), v1::REFUSAL_CHECK);
  EXPECT_EQ(PidOf("walsender"), pid);
  receiver->Kill();
  receiver->Wait();
}

TEST_F(PostgresActions, X16_AutovacuumIsRefused) {
  database_->One("UPDATE orders SET n = n WHERE id > 10 RETURNING 1");
  database_->One(
      "ALTER TABLE orders SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)");
  database_->One("ALTER SYSTEM SET autovacuum = on");
  database_->One("SELECT pg_reload_conf()");
  ASSERT_TRUE(test::WaitFor([] { return PidOf("autovacuum worker") != 0; }));
  const int64_t pid = PidOf("autovacuum worker");
  EXPECT_THAT(Check(ByPid(pid)).reason(), HasSubstr("is no client's session, but of type autovacuum worker"));
  v1::WorkerResult lie;
  *lie.add_sessions() = database_->Look(static_cast<int>(pid));
  EXPECT_EQ(Run(ByPid(pid), lie).refusal(), v1::REFUSAL_CHECK);
  EXPECT_NE(database_->Look(static_cast<int>(pid)).pid(), 0);
  database_->One("ALTER SYSTEM SET autovacuum = off");
  database_->One("SELECT pg_reload_conf()");
}

TEST_F(PostgresActions, TellDumpsAndChangesOfTheSchemaByTheirStatements) {
  // Nobody reads what it writes, so it stays where it is, in COPY.
  auto dump =
      Program("pg_dump", {"-h", database_->cluster().socket_directory(), "-p",
                          absl::StrCat(database_->cluster().port()), "-U", "web", "-t", "orders", "shop"});
  const auto copying = [] {
    const std::string pid = database_->One(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_dump' AND query LIKE 'COPY%' AND "
        "state = 'active'");
    return pid.empty() ? int64_t{0} : int64_t{std::stoll(pid)};
  };
  ASSERT_TRUE(test::WaitFor([&] { return copying() != 0; }));
  const v1::WorkerResult dumping = Check(ByPid(copying()));
  ASSERT_TRUE(dumping.ok()) << dumping.reason();
  EXPECT_EQ(dumping.sessions(0).kind(), "copy");
  EXPECT_EQ(dumping.sessions(0).application(), "pg_dump");
  dump->Kill();
  dump->Wait();

  auto session = database_->Open("web");
  ASSERT_TRUE(session->Execute("BEGIN; CREATE TABLE later(x int)").ok());
  EXPECT_EQ(Check(ByPid(session->pid())).sessions(0).kind(), "ddl");
  ASSERT_TRUE(session->Execute("COMMIT").ok());
  EXPECT_EQ(Check(ByPid(session->pid())).sessions(0).kind(), "");  // it is over
}

TEST_F(PostgresActions, X16_HostileNamesAreDataOnly) {
  const std::string names[] = {"; id", "$(touch x)", "a'b\"c\\", "x\ny", "\u202e evil", "quell_monitor "};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    auto admin = database_->Open("postgres");
    const auto made =
        admin->Execute("SELECT format('CREATE ROLE %I LOGIN', " + std::string("E'") +
                       absl::StrReplaceAll(name, {{"\\", "\\\\"}, {"'", "\\'"}, {"\n", "\\n"}}) + "')");
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_TRUE(admin->Execute((*made)[0][0]).ok());
    auto session = database_->Open(name, name);
    ASSERT_TRUE(session->Execute("BEGIN; SELECT 1").ok());
    const v1::WorkerRequest request = ByPid(session->pid());
    const v1::WorkerResult checked = Check(request);
    ASSERT_TRUE(checked.ok()) << checked.reason();
    EXPECT_EQ(checked.sessions(0).role(), name);
    const std::string evidence = Evidence(request, checked);
    EXPECT_EQ(evidence.find("x\ny"), std::string::npos);
    EXPECT_EQ(evidence.find("\u202e"), std::string::npos);
    EXPECT_TRUE(Run(request, checked).ok());
    EXPECT_FALSE(database_->Lives(*session));
  }
}

TEST_F(PostgresActions, X16_ANameThatClaimsToBeQuellsProtectsNothingAndExposesNobody) {
  Blocked scene(*database_, 1, "quell-worker");
  auto bystander = database_->Open("web", "web");
  const v1::WorkerRequest request = Terminate(database_->Look(scene.root->pid()));
  const v1::WorkerResult checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.reason();
  EXPECT_TRUE(Run(request, checked).ok());
  EXPECT_FALSE(database_->Lives(*scene.root));
  EXPECT_TRUE(database_->Lives(*bystander));
}

TEST_F(PostgresActions, FindByFiltersWhatAPersonMeans) {
  auto old = database_->Open("backup", "nightly");
  ASSERT_TRUE(old->Execute("BEGIN; SELECT 1").ok());
  auto idle = database_->Open("backup", "nightly");
  auto superuser = database_->Open("postgres", "nightly");
  v1::Action action;
  auto* wanted = action.mutable_postgres_terminate();
  wanted->set_connection("main");
  wanted->set_application("nightly");
  v1::WorkerRequest request = Request(action);
  request.set_by_person(true);
  EXPECT_EQ(Check(request).sessions_size(), 2);
  request.mutable_action()->mutable_postgres_terminate()->set_state("idle in transaction");
  v1::WorkerResult checked = Check(request);
  ASSERT_EQ(checked.sessions_size(), 1) << checked.reason();
  EXPECT_EQ(checked.sessions(0).pid(), old->pid());
  request.mutable_action()->mutable_postgres_terminate()->set_min_age_s(3600);
  EXPECT_EQ(Check(request).reason(), "no session matches");
  request.mutable_action()->mutable_postgres_terminate()->clear_min_age_s();
  request.mutable_action()->mutable_postgres_terminate()->clear_state();
  const v1::WorkerResult both = Check(request);
  const v1::WorkerResult result = Run(request, both);
  ASSERT_TRUE(result.ok()) << result.reason();
  EXPECT_THAT(result.reason(), HasSubstr("ended: pid "));
  EXPECT_FALSE(database_->Lives(*old));
  EXPECT_FALSE(database_->Lives(*idle));
  EXPECT_TRUE(database_->Lives(*superuser));
}

TEST_F(PostgresActions, OfSeveralThoseThatEndedByThemselvesAreNamed) {
  auto first = database_->Open("backup", "several");
  auto second = database_->Open("backup", "several");
  v1::WorkerRequest request = ByPid(first->pid());
  v1::WorkerResult checked;
  *checked.add_sessions() = database_->Look(first->pid());
  *checked.add_sessions() = database_->Look(second->pid());
  const int gone = first->pid();
  first.reset();
  ASSERT_TRUE(test::WaitFor([&] { return database_->Look(gone).pid() == 0; }));
  const v1::WorkerResult result = Run(request, checked);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.reason(),
            absl::StrCat("ended: pid ", second->pid(), "; pid ", gone, " has ended by itself"));
}

// A deadline that is over before anything is done.
TEST_F(PostgresActions, ASessionThatWasNotReachedIsNoSuccess) {
  auto session = database_->Open("web");
  v1::WorkerRequest request = ByPid(session->pid());
  const v1::WorkerResult checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.reason();
  request.set_budget_ms(0);
  const v1::WorkerResult result = Run(request, checked);
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.refusal(), v1::REFUSAL_CHECK);
  EXPECT_EQ(result.reason(), absl::StrCat("pid ", session->pid(), " was not reached"));
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(PostgresActions, AServerThatIsNotThereIsARefusal) {
  v1::WorkerRequest request = ByPid(1);
  request.mutable_postgres()->set_host("/nonexistent");
  EXPECT_THAT(Check(request).reason(), HasSubstr("PostgreSQL at main: connecting as quell_monitor: "));
  request.mutable_postgres()->set_host("127.0.0.1");
  EXPECT_THAT(Check(request).reason(), HasSubstr("Unix socket alone"));
  const v1::WorkerResult evidence = MakePostgresSession()->Evidence(request, RealClock());
  EXPECT_EQ(evidence.evidence_size(), 2);
  EXPECT_THAT(evidence.evidence(0).missing(), HasSubstr("Unix socket alone"));
}

}  // namespace
}  // namespace quell::agent
