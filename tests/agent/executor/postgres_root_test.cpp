// The programs beside a real PostgreSQL, with users of the system's own for looking and for acting, as on an
// installed host. Runs as root. The users exist in this process's own view of /etc/passwd alone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "tests/agent/executor/program.h"
#include "tests/support/quell_database.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Blocked;
using test::QuellDatabase;
using testing::HasSubstr;
using testing::Not;

constexpr uid_t kAgent = 59'901, kRemedy = 59'902;
constexpr char kIdent[] = "quell quell-agent quell_monitor\nquell quell-remedy quell_remedy\n";

// Before any thread or process of the tests exists, so that all of them see it.
void AddUsers(const test::TempDir& directory) {
  Require(unshare(CLONE_NEWNS) == 0, "a mount namespace of this test's own");
  Require(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "keeping mounts to itself");
  const std::string users =
      absl::StrCat("quell-agent:x:", kAgent, ":", kAgent, "::/:/usr/sbin/nologin\nquell-remedy:x:", kRemedy,
                   ":", kRemedy, "::/:/usr/sbin/nologin\n");
  const std::string passwd = directory.Write("passwd", users + test::ReadFile("/etc/passwd"));
  Require(mount(passwd.c_str(), "/etc/passwd", nullptr, MS_BIND, nullptr) == 0,
          "putting passwd in its place");
}

class PostgresPrograms : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    Require(geteuid() == 0, "this test is for root");
    directory_ = new test::TempDir();
    AddUsers(*directory_);
    database_ = new QuellDatabase(kIdent);
  }
  static void TearDownTestSuite() {
    delete database_;
    umount2("/etc/passwd", MNT_DETACH);
    delete directory_;
  }
  void SetUp() override {
    executor_ = std::make_unique<ExecutorProgram>(OwnUserName(), "/nonexistent");
    executor_->directory().Write(
        "agent.yaml",
        absl::StrCat("collectors:\n  postgres: [{name: main, dsn: \"host=",
                     database_->cluster().socket_directory(), " user=postgres dbname=shop\"}]\n"));
    executor_->Sanctions("- {action: postgres.terminate, connection: main, allow: {databases: [shop]}}\n");
  }
  v1::CommandBody Body(const Blocked& scene) {
    const v1::PostgresSession session = database_->Look(scene.root->pid());
    v1::CommandBody body = executor_->Body("", "");
    auto* wanted = body.mutable_action()->mutable_postgres_terminate();
    wanted->set_connection("main");
    wanted->set_pid(session.pid());
    wanted->set_backend_start_us(session.backend_start_us());
    wanted->set_xact_start_us(session.xact_start_us());
    return body;
  }
  // Whether psql as that user of the system gets in as that role, and its words.
  std::string Psql(uid_t uid, const std::string& role, const std::string& text) {
    SpawnOptions options;
    options.program = "/usr/lib/postgresql/15/bin/psql";
    options.argv = {"psql", "-X",   "-At", "-h", database_->cluster().socket_directory(), "-U", role,
                    "-d",   "shop", "-c",  text};
    options.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"};
    options.uid = uid;
    options.gid = uid;
    options.memory_limit = 0;
    auto child = RealProcess().Start(options);
    if (!child.ok()) return child.status().ToString();
    const ExitStatus exit = (*child)->Wait();
    return exit.output + exit.error_output;
  }

  static test::TempDir* directory_;
  static QuellDatabase* database_;
  std::unique_ptr<ExecutorProgram> executor_;
};
test::TempDir* PostgresPrograms::directory_ = nullptr;
QuellDatabase* PostgresPrograms::database_ = nullptr;

TEST_F(PostgresPrograms, EndTheRootBlockerAsUsersOfTheirOwn) {
  executor_->Start();
  auto agent = executor_->Connect();
  Blocked scene(*database_, 2);
  v1::CommandBody body = Body(scene);
  ASSERT_TRUE(executor_->Submit(*agent, body));
  const v1::CommandReport report = agent->AwaitOutcome(body.id());
  ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  ASSERT_EQ(report.sessions_size(), 1);
  EXPECT_EQ(report.sessions(0).role(), "web");
  EXPECT_THAT(report.evidence(0).content(), HasSubstr("2 wait for it"));
  EXPECT_FALSE(database_->Lives(*scene.root));
  for (auto& victim : scene.victims) EXPECT_TRUE(victim->End().ok());
  EXPECT_THAT(agent->bytes(), Not(HasSubstr(QuellDatabase::kCanary)));
  agent.reset();
  kill(executor_->pid(), SIGTERM);
  ExitStatus exit;
  ASSERT_TRUE(executor_->AwaitEnd(&exit));
  const std::string left = exit.output + exit.error_output + test::ReadFile(executor_->state() + "/journal");
  EXPECT_THAT(left, HasSubstr("postgres.terminate"));
  EXPECT_THAT(left, Not(HasSubstr(QuellDatabase::kCanary)));
}

TEST_F(PostgresPrograms, X14_OtherUsersOfTheSystemAreNeitherRole) {
  EXPECT_EQ(Psql(kAgent, "quell_monitor", "SELECT 7"), "7\n");
  EXPECT_EQ(Psql(kRemedy, "quell_remedy", "SELECT 7"), "7\n");
  for (const auto& [uid, role] :
       {std::pair(kAgent, "quell_remedy"), {kRemedy, "quell_monitor"}, {uid_t{65534}, "quell_remedy"}})
    EXPECT_THAT(Psql(uid, role, "SELECT 7"), HasSubstr("Peer authentication failed"));
  EXPECT_THAT(Psql(kAgent, "quell_monitor", "SELECT quell.terminate(1, NULL, NULL, NULL, 'terminate')"),
              HasSubstr("permission denied"));
}

// The intent is in the journal and the executor dies: unknown, and the same command is never begun again.
TEST_F(PostgresPrograms, KilledWhileTheWorkerRunsIsUnknown) {
  executor_->Start("worker_started");
  auto agent = executor_->Connect();
  Blocked scene(*database_, 1);
  v1::CommandBody body = Body(scene);
  ASSERT_TRUE(executor_->Submit(*agent, body));
  ExitStatus exit;
  ASSERT_TRUE(executor_->AwaitEnd(&exit));
  executor_->Start();
  const v1::CommandReport report = agent->AwaitOutcome(body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_EQ(report.sessions_size(), 1);
}

TEST_F(PostgresPrograms, TellHowLongItTakes) {
  executor_->Start();
  auto agent = executor_->Connect();
  std::vector<double> all, effect;
  for (int i = 0; i < 11; ++i) {
    Blocked scene(*database_, 1);
    v1::CommandBody body = Body(scene);
    const Micros began = RealClock().Monotonic();
    ASSERT_TRUE(executor_->Submit(*agent, body));
    const v1::CommandReport report = agent->AwaitOutcome(body.id());
    ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
    all.push_back(static_cast<double>(report.monotonic_us() - began) / kMillisecond);
    effect.push_back(
        static_cast<double>(report.monotonic_us() - agent->reports(body.id())[0].monotonic_us()) /
        kMillisecond);
    EXPECT_TRUE(scene.victims[0]->End().ok());
  }
  std::sort(all.begin(), all.end());
  std::sort(effect.begin(), effect.end());
  printf("command to seen as ended: p50 %.0f ms, longest %.0f ms; of that the effect's worker: p50 %.0f ms\n",
         all[5], all[10], effect[5]);
}

}  // namespace
}  // namespace quell::agent
