// The real Executor over the real actions and a real PostgreSQL: each worker's task runs when the test says
// so, inside this process, as the one user that the server's ident map takes for both of quell's roles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "agent/actions/action.h"
#include "tests/agent/executor/harness.h"
#include "tests/support/quell_database.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Blocked;
using test::QuellDatabase;
using testing::HasSubstr;
using testing::Not;

constexpr char kSanctions[] =
    "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, deny: {users: [backup]}, "
    "limits: {max_targets: 2, per_hour: 3}}\n"
    "- {action: postgres.cancel, connection: main, allow: {databases: [shop]}}\n";

class PostgresExecutor : public testing::Test {
 protected:
  static void SetUpTestSuite() { database_ = new QuellDatabase(); }
  static void TearDownTestSuite() {
    delete database_;
    database_ = nullptr;
  }
  void SetUp() override {
    world_.clock.JumpWall(RealClock().Wall() - world_.clock.Wall());
    world_.host.postgres = database_->Place();
    world_.host.Sanctions(kSanctions);
    executor_ = world_.Start();
  }

  v1::CommandBody Body(const v1::PostgresSession& session,
                       const std::string& by = "policy:terminate-root-blocker") {
    v1::CommandBody body = world_.Body(*executor_);
    body.set_requested_by(by);
    auto* wanted = body.mutable_action()->mutable_postgres_terminate();
    wanted->set_connection("main");
    wanted->set_pid(session.pid());
    wanted->set_backend_start_us(session.backend_start_us());
    wanted->set_xact_start_us(session.xact_start_us());
    return body;
  }
  v1::CommandBody ByPid(int64_t pid) {
    v1::PostgresSession session;
    session.set_pid(pid);
    return Body(session, "person:alice");
  }
  // Runs the task of the newest worker, and ends it.
  v1::WorkerTask Step() {
    const auto newest = world_.workers.running.rbegin();
    const v1::WorkerRequest request = newest->second.request;
    users_.push_back(newest->second.user.name);
    const auto action = FindAction(request.action().kind_case())->make();
    switch (request.task()) {
      case v1::WORKER_TASK_CHECK:
        world_.End(*executor_, action->Check(request, RealClock()));
        break;
      case v1::WORKER_TASK_EVIDENCE:
        world_.End(*executor_, action->Evidence(request, RealClock()));
        break;
      default:
        world_.End(*executor_, action->Run(request, RealClock()));
    }
    return request.task();
  }
  v1::CommandReport Carry(const v1::CommandBody& body) {
    executor_->Submit(world_.Sign(body));
    while (!world_.workers.running.empty()) Step();
    return LastReport(*executor_, body.id());
  }
  std::string Journal() { return *world_.disk.Read("/state/journal", 64 << 20); }

  static QuellDatabase* database_;
  World world_;
  std::unique_ptr<Executor> executor_;
  std::vector<std::string> users_;  // whom the workers ran as
};
QuellDatabase* PostgresExecutor::database_ = nullptr;

TEST_F(PostgresExecutor, EndsTheRootBlockerWithEvidenceAndNamesIt) {
  Blocked scene(*database_, 2);
  const v1::CommandReport report = Carry(Body(database_->Look(scene.root->pid())));
  ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  ASSERT_EQ(report.sessions_size(), 1);
  EXPECT_EQ(report.sessions(0).pid(), scene.root->pid());
  EXPECT_EQ(report.sessions(0).victims(), 2u);
  EXPECT_EQ(users_, (std::vector<std::string>{"quell-agent", "quell-agent", "quell-remedy"}));
  ASSERT_EQ(report.evidence_size(), 2);
  EXPECT_EQ(report.evidence(0).name(), "locks");
  EXPECT_EQ(report.evidence(1).name(), "sessions");
  EXPECT_THAT(report.evidence(0).content(), HasSubstr("2 wait for it"));
  EXPECT_FALSE(database_->Lives(*scene.root));
  for (auto& victim : scene.victims) EXPECT_TRUE(victim->End().ok());
}

TEST_F(PostgresExecutor, X17_NoLiteralOfAStatementIsInReportsOrJournal) {
  Blocked scene(*database_, 1);
  auto secret = database_->Open("web");
  secret->Begin(absl::StrCat("SELECT pg_sleep(600), '", QuellDatabase::kCanary, "'"));
  executor_->Submit(world_.Sign(Body(database_->Look(scene.root->pid()))));
  std::string all;
  while (!world_.workers.running.empty()) {
    Step();
    executor_->OnAgentConnected();
    for (const auto& message : executor_->TakeMessages()) all += message.SerializeAsString();
  }
  EXPECT_THAT(all, HasSubstr("UPDATE"));
  EXPECT_THAT(all, Not(HasSubstr(QuellDatabase::kCanary)));
  EXPECT_THAT(Journal(), HasSubstr("shop"));
  EXPECT_THAT(Journal(), Not(HasSubstr(QuellDatabase::kCanary)));
}

TEST_F(PostgresExecutor, X16_PsqlDumpsAndDdlAreAPersonsToName) {
  Blocked scene(*database_, 1, "psql");
  const v1::PostgresSession session = database_->Look(scene.root->pid());
  v1::CommandReport report = Carry(Body(session));
  EXPECT_EQ(report.refusal(), v1::REFUSAL_SANCTION);
  EXPECT_EQ(report.reason(),
            absl::StrCat("pid ", session.pid(),
                         " (user web, database shop, application psql) is an interactive client: a "
                         "person has to ask for it by its pid"));
  EXPECT_EQ(report.sessions_size(), 1);
  ASSERT_TRUE(scene.root->Execute("SET application_name = 'web'; CREATE TABLE t(x int)").ok());
  EXPECT_THAT(Carry(Body(session)).reason(), HasSubstr("changing the schema"));
  EXPECT_TRUE(database_->Lives(*scene.root));
  report = Carry(ByPid(session.pid()));
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  EXPECT_FALSE(database_->Lives(*scene.root));
}

TEST_F(PostgresExecutor, RefuseWhatTheSanctionsDoNotName) {
  auto backup = database_->Open("backup");
  EXPECT_THAT(Carry(ByPid(backup->pid())).reason(), HasSubstr("is denied by sanctions.yaml:1"));
  auto elsewhere = database_->Open("web", "web", "postgres");
  EXPECT_THAT(Carry(ByPid(elsewhere->pid())).reason(), HasSubstr("is named by no sanction"));
  v1::CommandBody other = ByPid(elsewhere->pid());
  other.mutable_action()->mutable_postgres_terminate()->set_connection("second");
  v1::CommandReport report = Carry(other);
  EXPECT_EQ(report.refusal(), v1::REFUSAL_SANCTION);
  EXPECT_EQ(report.reason(), "no sanction names postgres.terminate on this target");
  world_.host.Sanctions(
      "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, limits: {min_age: "
      "1h}}\n");
  auto young = database_->Open("web");
  ASSERT_TRUE(young->Execute("BEGIN; SELECT 1").ok());
  EXPECT_THAT(Carry(ByPid(young->pid())).reason(), HasSubstr("is younger than the 3600 s"));
  EXPECT_TRUE(database_->Lives(*backup) && database_->Lives(*elsewhere) && database_->Lives(*young));
  EXPECT_EQ(world_.Effects(), 0);
}

TEST_F(PostgresExecutor, X09_AControllersPolicyEndsNothingByFilterOrByPidAlone) {
  auto session = database_->Open("web");
  v1::CommandBody body = ByPid(session->pid());
  body.set_requested_by("policy:made-up");
  EXPECT_THAT(Carry(body).reason(), HasSubstr("a policy names a session by pid, backend_start_us"));
  body = ByPid(0);
  body.mutable_action()->mutable_postgres_terminate()->set_role("web");
  body.set_requested_by("policy:made-up");
  EXPECT_THAT(Carry(body).reason(), HasSubstr("only a person may say by filters"));
  EXPECT_TRUE(world_.workers.effects.empty());
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(PostgresExecutor, MaxTargetsRefusesAllAndAPersonsFilterSparesWhatItMust) {
  std::vector<std::unique_ptr<test::PostgresSession>> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(database_->Open("web", "crowd"));
  v1::CommandBody body = ByPid(0);
  body.mutable_action()->mutable_postgres_terminate()->set_application("crowd");
  EXPECT_EQ(Carry(body).reason(), "sanctions.yaml:1 allows 2 sessions in one command, and 3 match");
  ASSERT_TRUE(sessions[0]->Execute("BEGIN; CREATE TABLE more(x int)").ok());
  body.set_id(RandomBytes(16));
  const v1::CommandReport report = Carry(body);
  ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  EXPECT_EQ(report.sessions_size(), 2);
  EXPECT_THAT(report.reason(), HasSubstr(absl::StrCat("left alone: pid ", sessions[0]->pid())));
  EXPECT_TRUE(database_->Lives(*sessions[0]));
  EXPECT_FALSE(database_->Lives(*sessions[1]));
  EXPECT_FALSE(database_->Lives(*sessions[2]));
}

TEST_F(PostgresExecutor, PerHourHoldsOverARestartOfTheExecutor) {
  for (int i = 0; i < 3; ++i) {
    auto session = database_->Open("web");
    ASSERT_EQ(Carry(ByPid(session->pid())).outcome(), v1::OUTCOME_SUCCEEDED);
    executor_ = world_.Start();
  }
  auto session = database_->Open("web");
  EXPECT_EQ(Carry(ByPid(session->pid())).reason(), "sanctions.yaml:1 allows 3 an hour, and there were 3");
  EXPECT_TRUE(database_->Lives(*session));
  world_.clock.Advance(kHour + kMinute);
  executor_->Tick();
  EXPECT_EQ(Carry(ByPid(session->pid())).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(PostgresExecutor, APersonsPidIsPinnedToWhatCheckFound) {
  auto session = database_->Open("web");
  ASSERT_TRUE(session->Execute("BEGIN; SELECT 1").ok());
  const v1::CommandBody body = ByPid(session->pid());
  executor_->Submit(world_.Sign(body));
  ASSERT_EQ(Step(), v1::WORKER_TASK_CHECK);
  ASSERT_TRUE(session->Execute("COMMIT; BEGIN; SELECT 1").ok());
  while (!world_.workers.running.empty()) Step();
  const v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_THAT(report.reason(), HasSubstr("that was meant has ended"));
  EXPECT_TRUE(session->Execute("SELECT 1").ok());
}

TEST_F(PostgresExecutor, SanctionsThatTightenAfterCheckAreKept) {
  auto session = database_->Open("web");
  const v1::CommandBody body = ByPid(session->pid());
  executor_->Submit(world_.Sign(body));
  ASSERT_EQ(Step(), v1::WORKER_TASK_CHECK);
  world_.host.Sanctions(std::string(kSanctions) +
                        "- {action: postgres.terminate, connection: main, deny: {users: [web]}}\n");
  while (!world_.workers.running.empty()) Step();
  EXPECT_THAT(LastReport(*executor_, body.id()).reason(), HasSubstr("is denied by sanctions.yaml:3"));
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(PostgresExecutor, AWorkerThatIsKilledMidwayIsUnknownAndNeverRunAgain) {
  auto session = database_->Open("web");
  const v1::CommandBody body = ByPid(session->pid());
  executor_->Submit(world_.Sign(body));
  ASSERT_EQ(Step(), v1::WORKER_TASK_CHECK);
  ASSERT_EQ(Step(), v1::WORKER_TASK_EVIDENCE);
  world_.EndAbruptly(*executor_, 9);
  v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_EQ(report.sessions_size(), 1);
  Carry(body);
  EXPECT_EQ(world_.Effects(), 1);
}

TEST_F(PostgresExecutor, ADryRunNamesTheSessionsAndTouchesNone) {
  auto session = database_->Open("web");
  v1::CommandBody body = ByPid(session->pid());
  body.set_dry_run(true);
  const v1::CommandReport report = Carry(body);
  EXPECT_EQ(report.outcome(), v1::OUTCOME_DRY_RUN);
  ASSERT_EQ(report.sessions_size(), 1);
  EXPECT_EQ(report.sessions(0).role(), "web");
  EXPECT_TRUE(database_->Lives(*session));
}

TEST_F(PostgresExecutor, CancelsAStatementAndLeavesTheSession) {
  auto session = database_->Open("web");
  session->Begin("SELECT pg_sleep(600)");
  ASSERT_TRUE(test::WaitFor([&] { return database_->Look(session->pid()).state() == "active"; }));
  v1::CommandBody body = world_.Body(*executor_);
  body.set_requested_by("policy:cancel-long");
  const v1::PostgresSession now = database_->Look(session->pid());
  auto* wanted = body.mutable_action()->mutable_postgres_cancel();
  wanted->set_connection("main");
  wanted->set_pid(now.pid());
  wanted->set_backend_start_us(now.backend_start_us());
  wanted->set_xact_start_us(now.xact_start_us());
  wanted->set_query_start_us(now.query_start_us());
  const v1::CommandReport report = Carry(body);
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  EXPECT_FALSE(session->End().ok());
  EXPECT_TRUE(session->Execute("SELECT 1").ok());
}

}  // namespace
}  // namespace quell::agent
