// release.rollback by the programs themselves: an executor that records, a worker as the deployment's owner,
// a real PM2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/agent/actions/release_scene.h"
#include "tests/agent/executor/program.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Pm2Daemon;
using testing::HasSubstr;
using testing::Not;

constexpr uid_t kNobody = 65534;
constexpr char kCanary[] = "canary-91ab";

class ReleasePrograms : public testing::Test {
 protected:
  // 1.8.1 was recorded while it ran; then 1.8.2 was deployed, and runs.
  void Deploy(bool as_another_user) {
    user_ = as_another_user ? "nobody" : OwnUserName();
    Pm2Daemon::Options options;
    if (as_another_user) options.uid = options.gid = kNobody;
    for (const char* release : {"1.8.1", "1.8.2"}) scene_.Add(release);
    scene_.PointTo("1.8.1");
    GiveAway(options.uid);
    ASSERT_EQ(chown(pm2_directory_.path().c_str(), options.uid, options.gid), 0);  // -1: stays as it is
    auto daemon = Pm2Daemon::Start(
        pm2_directory_.path(),
        {{.name = "portal",
          .settings = absl::StrCat(R"({"script": ")", scene_.PathOf("1.8.2"), R"(/server.js", "cwd": ")",
                                   scene_.PathOf("1.8.2"), "\"}"),
          .environment = {{"API_KEY", kCanary}}}},
        options);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    executor_ = std::make_unique<ExecutorProgram>(user_, daemon_->home());
    executor_->Sanctions(absl::StrCat("- {action: release.rollback, user: ", user_,
                                      ", deployment: portal, path: ", scene_.path(),
                                      ", layout: releases, app: portal}\n"));
    executor_->Start();
    ASSERT_TRUE(test::WaitFor([&] { return Book().find("1.8.1") != std::string::npos; }));
    scene_.PointTo("1.8.2");
    GiveAway(options.uid);
  }
  void GiveAway(uid_t uid) {
    if (uid == static_cast<uid_t>(-1)) return;
    ASSERT_EQ(lchown(scene_.path().c_str(), uid, uid), 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scene_.path())) {
      ASSERT_EQ(lchown(entry.path().c_str(), uid, uid), 0);
    }
  }
  std::string Book() { return test::ReadFile(executor_->state() + "/releases"); }
  v1::CommandBody Body(const std::string& to = "previous", const std::string& by = "policy:test") {
    v1::CommandBody body = executor_->Body("portal", "");
    v1::ReleaseRollback& rollback = *body.mutable_action()->mutable_release_rollback();
    rollback.set_user(user_);
    rollback.set_deployment("portal");
    rollback.set_to(to);
    body.set_requested_by(by);
    return body;
  }
  std::string RunsIn() {
    char text[4096];
    const ssize_t n =
        readlink(absl::StrCat("/proc/", daemon_->AppPid("portal"), "/cwd").c_str(), text, sizeof text);
    return n < 0 ? "" : std::string(text, static_cast<size_t>(n));
  }
  void GoesBackAndForth() {
    auto agent = executor_->Connect();
    const pid_t before = daemon_->AppPid("portal");
    v1::CommandBody body = Body();
    ASSERT_TRUE(executor_->Submit(*agent, body));
    const v1::CommandReport report = agent->AwaitOutcome(body.id(), 60 * kSecond);
    ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
    EXPECT_EQ(scene_.Current(), "releases/1.8.1");
    EXPECT_EQ(RunsIn(), scene_.PathOf("1.8.1"));
    EXPECT_EQ(report.release().from().name(), "1.8.2");
    EXPECT_EQ(report.release().to().name(), "1.8.1");
    EXPECT_EQ(report.release().running(), scene_.PathOf("1.8.1"));
    EXPECT_EQ(report.before(0).pid(), before);
    EXPECT_EQ(report.after(0).pid(), daemon_->AppPid("portal"));
    ASSERT_GT(report.evidence_size(), 3);
    EXPECT_EQ(report.evidence(0).name(), "releases");
    struct stat st {};
    ASSERT_EQ(lstat((scene_.path() + "/current").c_str(), &st), 0);
    struct stat owner {};
    ASSERT_EQ(lstat(scene_.path().c_str(), &owner), 0);
    EXPECT_EQ(st.st_uid, owner.st_uid);  // the owner's own link
    // Without a person it ends here; a person may go on, and to the release that was left.
    body = Body();
    ASSERT_TRUE(executor_->Submit(*agent, body));
    EXPECT_EQ(agent->AwaitOutcome(body.id()).refusal(), v1::REFUSAL_CHECK);
    body = Body("1.8.2", "person:alice");
    ASSERT_TRUE(executor_->Submit(*agent, body));
    const v1::CommandReport back = agent->AwaitOutcome(body.id(), 60 * kSecond);
    ASSERT_EQ(back.outcome(), v1::OUTCOME_SUCCEEDED) << back.reason();
    EXPECT_EQ(scene_.Current(), "releases/1.8.2");
    EXPECT_EQ(RunsIn(), scene_.PathOf("1.8.2"));
    EXPECT_THAT(agent->bytes(), Not(HasSubstr(kCanary)));
    EXPECT_THAT(Book(), Not(HasSubstr(kCanary)));
    EXPECT_THAT(test::ReadFile(executor_->state() + "/journal"), Not(HasSubstr(kCanary)));
  }

  ReleaseScene scene_;
  test::TempDir pm2_directory_;
  std::unique_ptr<Pm2Daemon> daemon_;
  std::unique_ptr<ExecutorProgram> executor_;
  std::string user_;
};

TEST_F(ReleasePrograms, GoBackToWhatRanHereAndForthAgain) {
  ASSERT_NO_FATAL_FAILURE(Deploy(false));
  GoesBackAndForth();
}

TEST_F(ReleasePrograms, GoBackAsTheDeploymentsOwnerAndNotAsRoot) {
  if (geteuid() != 0) return;  // users differ for root alone
  ASSERT_NO_FATAL_FAILURE(Deploy(true));
  GoesBackAndForth();
}

TEST_F(ReleasePrograms, F02_AWorkerThatIsKilledInTheMiddleIsUnknownAndTheAppIsStillListed) {
  ASSERT_NO_FATAL_FAILURE(Deploy(false));
  executor_->Start("worker_started");  // ends there, and its worker with it
  auto agent = executor_->Connect();
  v1::CommandBody body = Body();
  ASSERT_TRUE(executor_->Submit(*agent, body));
  ExitStatus ended;
  ASSERT_TRUE(executor_->AwaitEnd(&ended));
  executor_->Start();
  EXPECT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("portal") == "online"; }));
  EXPECT_THAT(scene_.Current(), testing::StartsWith("releases/1.8."));
}

TEST_F(ReleasePrograms, X18_ATamperedReleaseIsNotStarted) {
  ASSERT_NO_FATAL_FAILURE(Deploy(false));
  const pid_t before = daemon_->AppPid("portal");
  test::WriteTree(scene_.PathOf("1.8.1"), {{"lib/util.js", "require('child_process')"}});
  auto agent = executor_->Connect();
  v1::CommandBody body = Body();
  ASSERT_TRUE(executor_->Submit(*agent, body));
  const v1::CommandReport report = agent->AwaitOutcome(body.id());
  EXPECT_EQ(report.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(report.reason(), HasSubstr("1 changed since, the first: lib/util.js"));
  EXPECT_EQ(daemon_->AppPid("portal"), before);
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
}

}  // namespace
}  // namespace quell::agent
