// pm2.restart: what it refuses, told from lists; and against a real PM2.
#include "agent/actions/pm2_restart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Pm2Daemon;
using testing::HasSubstr;

v1::Pm2App App(int64_t pm_id, int64_t pid, const std::string& status) {
  v1::Pm2App app;
  app.set_name("portal");
  app.set_pm_id(pm_id);
  app.set_pid(pid);
  app.set_status(status);
  app.set_started_ms(1000 + pid);
  app.set_autorestart(true);
  return app;
}

v1::Pm2Restart Wanted(int64_t pm_id = -1, int64_t pid = 0, int64_t started_ms = 0) {
  v1::Pm2Restart wanted;
  wanted.set_user("deploy");
  wanted.set_app("portal");
  if (pm_id < 0) return wanted;
  v1::Pm2Process* process = wanted.add_expect();
  process->set_pm_id(pm_id);
  process->set_pid(pid);
  process->set_started_ms(started_ms);
  return wanted;
}

TEST(Pm2Restart, TakesTheProcessOfTheEvidence) {
  const Pm2Judgement judgement = JudgePm2Restart(Wanted(0, 50, 1050), {App(0, 50, "online")});
  EXPECT_EQ(judgement.reason, "");
  ASSERT_EQ(judgement.targets.size(), 1u);
}

TEST(Pm2Restart, RefusesWhatPm2HasHealed) {
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 40), {App(0, 50, "online")}).reason,
            "another process than the evidence: pid 50, was 40; it was started again since");
  EXPECT_THAT(JudgePm2Restart(Wanted(0, 50, 999), {App(0, 50, "online")}).reason,
              HasSubstr("started again since"));
  EXPECT_THAT(JudgePm2Restart(Wanted(1, 50), {App(0, 50, "online")}).reason,
              HasSubstr("no pm_id 1 any more"));
  EXPECT_THAT(JudgePm2Restart(Wanted(), {}).reason, HasSubstr("no app of that name"));
}

// Of an app that PM2 gave up the evidence is that there is no process, and which start was its last.
TEST(Pm2Restart, StartsAGivenUpAppUnlessSomebodyStartedItSince) {
  v1::Pm2App app = App(0, 0, "errored");
  app.set_started_ms(1000);
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 0, 1000), {app}).reason, "");
  app.set_status("waiting restart");
  app.set_pid(40);  // PM2 still lists the old one then
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 0, 1000), {app}).reason, "");
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 0, 1000), {App(0, 50, "online")}).reason,
            "another process than the evidence: pid 50, there was none; it was started again since");
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 0), {App(0, 50, "online")}).reason,
            "another process than the evidence: pid 50, there was none; it was started again since");
  // Started since, and given up again: that is another fault, with evidence of its own.
  app = App(0, 0, "errored");
  app.set_started_ms(2000);
  EXPECT_EQ(JudgePm2Restart(Wanted(0, 0, 1000), {app}).reason,
            "another process than the evidence: it was started again since");
}

// The evidence is of a start whose process id no list had told yet.
TEST(Pm2Restart, AStartAloneTellsTheProcess) {
  EXPECT_EQ(JudgePm2Restart(Wanted(0, -1, 1050), {App(0, 50, "online")}).reason, "");
  EXPECT_EQ(JudgePm2Restart(Wanted(0, -1, 1000), {App(0, 50, "online")}).reason,
            "another process than the evidence: pid 50; it was started again since");
  // It lived, and is stopped now: by hand.
  v1::Pm2App app = App(0, 0, "stopped");
  app.set_autorestart(false);
  EXPECT_THAT(JudgePm2Restart(Wanted(0, -1, 1000), {app}).reason, HasSubstr("stopped by hand"));
}

TEST(Pm2Restart, UndoesNothingThatSomebodyStopped) {
  EXPECT_THAT(JudgePm2Restart(Wanted(), {App(0, 0, "stopped")}).reason, HasSubstr("stopped by hand"));
  EXPECT_THAT(JudgePm2Restart(Wanted(), {App(0, 50, "stopping")}).reason, HasSubstr("stopped by hand"));
  // Of several processes only those are restarted that nobody stopped.
  const Pm2Judgement some = JudgePm2Restart(Wanted(), {App(0, 0, "stopped"), App(1, 51, "online")});
  ASSERT_EQ(some.targets.size(), 1u);
  EXPECT_EQ(some.targets[0].pm_id(), 1);
  // Without autorestart: alive in the evidence and stopped now is somebody's act, dead in the evidence is
  // PM2's.
  v1::Pm2App app = App(0, 0, "stopped");
  app.set_autorestart(false);
  for (const int code : {0, 1}) {  // a handler of SIGINT may well end with another code than 0
    app.set_exit_code(code);
    EXPECT_THAT(JudgePm2Restart(Wanted(0, 50), {app}).reason, HasSubstr("stopped by hand"));
    EXPECT_THAT(JudgePm2Restart(Wanted(0, 50, app.started_ms()), {app}).reason, HasSubstr("stopped by hand"));
    EXPECT_EQ(JudgePm2Restart(Wanted(0, 0, app.started_ms()), {app}).reason, "");
    EXPECT_THAT(JudgePm2Restart(Wanted(), {app}).reason, HasSubstr("stopped by hand"))
        << "no evidence is no evidence of a crash";
    // Of another process of the app there is evidence, of this one there is none.
    const Pm2Judgement other = JudgePm2Restart(Wanted(1, 51), {app, App(1, 51, "online")});
    ASSERT_EQ(other.targets.size(), 1u);
    EXPECT_EQ(other.targets[0].pm_id(), 1);
  }
  EXPECT_EQ(JudgePm2Restart(Wanted(), {App(0, 0, "errored")}).reason, "");
}

TEST(Pm2Restart, NeverActsOnQuellItself) {
  v1::Pm2App app = App(0, 50, "online");
  app.set_exec_path("/usr/bin/quell-controller");
  EXPECT_THAT(JudgePm2Restart(Wanted(), {app}).reason, HasSubstr("never acts on itself"));
  EXPECT_THAT(JudgePm2Restart(Wanted(), {App(0, getppid(), "online")}).reason,
              HasSubstr("never acts on itself"));
}

class RealPm2 : public testing::Test {
 protected:
  void SetUp() override {
    auto daemon = Pm2Daemon::Start(
        directory_.path(), {{.name = "portal", .source = "setInterval(() => {}, 1000); console.log('here');"},
                            {.name = "other", .source = "setInterval(() => {}, 1000);"}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    request_.mutable_action()->mutable_pm2_restart()->set_user("somebody");
    request_.mutable_action()->mutable_pm2_restart()->set_app("portal");
    request_.set_pm2_home(daemon_->home());
    request_.set_target_uid(geteuid());
    request_.set_budget_ms(10'000);
    request_.set_budget_bytes(1 << 20);
  }
  void Expect(int64_t pid) {
    v1::Pm2Process* process = request_.mutable_action()->mutable_pm2_restart()->add_expect();
    process->set_pid(pid);
  }

  test::TempDir directory_;
  std::unique_ptr<Pm2Daemon> daemon_;
  std::unique_ptr<Action> action_ = MakePm2Restart();
  v1::WorkerRequest request_;
};

TEST_F(RealPm2, RestartsTheAppAndNoOther) {
  const pid_t before = daemon_->AppPid("portal");
  Expect(before);
  const v1::WorkerResult check = action_->Check(request_, RealClock());
  EXPECT_TRUE(check.ok()) << check.reason();
  EXPECT_EQ(check.before(0).pid(), before);
  const v1::WorkerResult run = action_->Run(request_, RealClock());
  EXPECT_TRUE(run.ok()) << run.reason();
  EXPECT_EQ(run.after(0).pid(), daemon_->AppPid("portal"));
  EXPECT_NE(run.after(0).pid(), before);
  EXPECT_EQ(daemon_->AppRestarts("portal"), 1);
  EXPECT_EQ(daemon_->AppRestarts("other"), 0);
  // The evidence is old now.
  const v1::WorkerResult again = action_->Run(request_, RealClock());
  EXPECT_FALSE(again.ok());
  EXPECT_EQ(again.refusal(), v1::REFUSAL_CHECK);
  EXPECT_EQ(daemon_->AppRestarts("portal"), 1);
}

TEST_F(RealPm2, StartsAGivenUpAppOnceAndNotOneThatAPersonStartedAgain) {
  const std::string source =
      "const fs = require('fs'); const f = __filename + '.ran';"
      "if (!fs.existsSync(f)) { fs.writeFileSync(f, ''); process.exit(3); } setInterval(() => {}, 1000);";
  ASSERT_TRUE(
      daemon_->StartApps({{.name = "fails", .source = source, .settings = R"({"autorestart": false})"}})
          .ok());
  ASSERT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("fails") == "stopped"; }));
  v1::Pm2Restart& restart = *request_.mutable_action()->mutable_pm2_restart();
  restart.set_app("fails");
  // Without evidence that it was gone, who stopped it is not known.
  EXPECT_THAT(action_->Check(request_, RealClock()).reason(), HasSubstr("stopped by hand"));
  restart.add_expect()->set_pm_id(2);
  const v1::WorkerResult check = action_->Check(request_, RealClock());
  ASSERT_TRUE(check.ok()) << check.reason();
  *restart.mutable_expect() = check.before();
  ASSERT_EQ(restart.expect_size(), 1);
  EXPECT_EQ(restart.expect(0).pid(), 0);
  EXPECT_GT(restart.expect(0).started_ms(), 0);
  const v1::WorkerResult again = action_->Check(request_, RealClock());
  EXPECT_TRUE(again.ok()) << again.reason();
  ASSERT_TRUE(daemon_->Command({"restart", "fails"}).ok());
  const pid_t theirs = daemon_->AppPid("fails");
  EXPECT_GT(theirs, 0);
  const v1::WorkerResult run = action_->Run(request_, RealClock());
  EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(run.reason(), HasSubstr("started again since"));
  EXPECT_EQ(daemon_->AppPid("fails"), theirs);
}

TEST_F(RealPm2, LeavesAloneWhatSomebodyStopped) {
  ASSERT_TRUE(daemon_->Command({"stop", "portal"}).ok());
  const v1::WorkerResult run = action_->Run(request_, RealClock());
  EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(run.reason(), HasSubstr("stopped by hand"));
  EXPECT_EQ(daemon_->AppStatus("portal"), "stopped");
}

// It hangs, and ends with an error when it is told to end.
TEST_F(RealPm2, LeavesAloneWhatSomebodyStoppedThoughItsExitCodeSaysFailure) {
  ASSERT_TRUE(daemon_
                  ->StartApps({{.name = "sulks",
                                .source = "process.on('SIGINT', () => process.exit(1));"
                                          "console.log('up'); setInterval(() => {}, 1000);",
                                .settings = R"({"autorestart": false})"}})
                  .ok());
  v1::Pm2Restart& restart = *request_.mutable_action()->mutable_pm2_restart();
  restart.set_app("sulks");
  ASSERT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("sulks") == "online"; }));
  const v1::WorkerResult alive = action_->Check(request_, RealClock());
  ASSERT_TRUE(alive.ok()) << alive.reason();
  *restart.mutable_expect() = alive.before();
  ASSERT_TRUE(daemon_->Command({"stop", "sulks"}).ok());
  const v1::WorkerResult run = action_->Run(request_, RealClock());
  EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(run.reason(), HasSubstr("stopped by hand"));
  EXPECT_EQ(daemon_->AppStatus("sulks"), "stopped");
}

TEST_F(RealPm2, RefusesWhenHealedByPm2ItselfAfterACrash) {
  const pid_t before = daemon_->AppPid("portal");
  Expect(before);
  kill(before, SIGKILL);
  ASSERT_TRUE(
      test::WaitFor([&] { return daemon_->AppPid("portal") > 0 && daemon_->AppPid("portal") != before; }));
  const v1::WorkerResult check = action_->Check(request_, RealClock());
  EXPECT_EQ(check.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(check.reason(), HasSubstr("another process than the evidence"));
}

TEST_F(RealPm2, SpeaksToNoDaemonOfAnotherUserAndNoneThatIsGone) {
  request_.set_target_uid(geteuid() + 1);
  EXPECT_EQ(action_->Check(request_, RealClock()).refusal(), v1::REFUSAL_CHECK);
  request_.set_target_uid(geteuid());
  daemon_->KillDaemon();
  EXPECT_TRUE(test::WaitFor([&] { return !action_->Check(request_, RealClock()).ok(); }));
  const v1::WorkerResult run = action_->Run(request_, RealClock());
  EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(run.reason(), HasSubstr("does not answer"));
}

TEST_F(RealPm2, ReportsAFailureWhenTheAppDoesNotComeBack) {
  ASSERT_TRUE(daemon_
                  ->StartApps({{.name = "once",
                                .source = "const fs = require('fs'); const f = __filename + '.ran';"
                                          "if (fs.existsSync(f)) process.exit(1);"
                                          "fs.writeFileSync(f, ''); setInterval(() => {}, 1000);",
                                .settings = R"({"autorestart": false})"}})
                  .ok());
  request_.mutable_action()->mutable_pm2_restart()->set_app("once");
  ASSERT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("once") == "online"; }));
  const v1::WorkerResult first = action_->Run(request_, RealClock());
  // It may be seen online for the moment that node takes to start; a later look tells.
  EXPECT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("once") == "stopped"; }));
  EXPECT_EQ(first.refusal(), v1::REFUSAL_UNSPECIFIED);
  EXPECT_EQ(daemon_->AppRestarts("once"), 1);
}

TEST_F(RealPm2, TakesEvidenceWithinItsBudgetAlsoOfAHungApp) {
  const pid_t pid = daemon_->AppPid("portal");
  kill(pid, SIGSTOP);
  request_.set_budget_ms(2000);
  const Micros began = RealClock().Monotonic();
  const v1::WorkerResult result = action_->Evidence(request_, RealClock());
  kill(pid, SIGCONT);
  EXPECT_LT(RealClock().Monotonic() - began, 2 * kSecond);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.evidence_size(), 8);
  EXPECT_THAT(result.evidence(3).content(), HasSubstr("State:\tT"));
}

TEST_F(RealPm2, TakesEvidenceOfTheExpectedProcessWhenTheDaemonHangs) {
  const pid_t pid = daemon_->AppPid("portal");
  Expect(pid);
  kill(daemon_->pid(), SIGSTOP);
  request_.set_budget_ms(1000);
  const v1::WorkerResult result = action_->Evidence(request_, RealClock());
  kill(daemon_->pid(), SIGCONT);
  bool has_status = false;
  for (const v1::EvidenceItem& item : result.evidence()) {
    if (item.name() == "describe") {
      EXPECT_THAT(item.missing(), HasSubstr("does not answer"));
    }
    has_status = has_status || (item.name() == "proc.status" && !item.content().empty());
  }
  EXPECT_TRUE(has_status);
}

}  // namespace
}  // namespace quell::agent
