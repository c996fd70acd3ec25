// release.rollback against a real PM2: what runs afterwards, what was kept, and what a failure leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "agent/actions/release_rollback.h"
#include "agent/pm2/rpc.h"
#include "tests/agent/actions/release_scene.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Pm2Daemon;
using testing::HasSubstr;
using testing::Not;

constexpr char kCanary[] = "canary-5e1c";

std::string Link(const std::string& path) {
  char text[4096];
  const ssize_t n = readlink(path.c_str(), text, sizeof text);
  return n < 0 ? "" : std::string(text, static_cast<size_t>(n));
}

class ReleasePm2 : public testing::Test {
 protected:
  // 1.8.1 and 1.8.2 recorded, 1.8.2 current and running under PM2.
  void Deploy(const std::string& old_server, const std::string& new_server, nlohmann::json settings) {
    scene_.Add("1.8.1", old_server);
    scene_.Add("1.8.2", new_server);
    scene_.Record("1.8.1");
    scene_.Record("1.8.2");
    settings["script"] = scene_.PathOf("1.8.2") + "/server.js";
    if (!settings.contains("cwd")) settings["cwd"] = scene_.PathOf("1.8.2");
    auto daemon = Pm2Daemon::Start(
        pm2_directory_.path(),
        {{.name = "portal", .settings = settings.dump(), .environment = {{"API_KEY", kCanary}}},
         {.name = "other", .source = "setInterval(()=>{},1e3)"}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    scene_.place().set_app("portal");
  }
  v1::WorkerRequest Request(const std::string& to = "previous", bool by_person = false) {
    v1::WorkerRequest request = scene_.Request(to, by_person);
    request.set_pm2_home(daemon_->home());
    return request;
  }
  std::vector<v1::Pm2App> Portal() {
    std::vector<v1::Pm2App> found;
    auto client = pm2::Pm2Client::Connect(daemon_->home(), geteuid(), 5 * kSecond, RealClock());
    if (!client.ok()) return found;
    auto apps = (*client)->ListApps();
    if (!apps.ok()) return found;
    for (const v1::Pm2App& app : *apps) {
      if (app.name() == "portal") found.push_back(app);
    }
    return found;
  }

  ReleaseScene scene_;
  test::TempDir pm2_directory_;
  std::unique_ptr<Pm2Daemon> daemon_;
  std::unique_ptr<Action> action_ = MakeReleaseRollback();
};

TEST_F(ReleasePm2, RollsAForkAppBackAndKeepsAllElse) {
  Deploy(ReleaseScene::kServer, ReleaseScene::kServer,
         {{"args", {"--port", "0"}}, {"max_memory_restart", "300M"}, {"kill_timeout", 2000}});
  const std::vector<v1::Pm2App> was = Portal();
  ASSERT_EQ(was.size(), 1u);
  const v1::WorkerResult check = action_->Check(Request(), RealClock());
  ASSERT_TRUE(check.ok()) << check.reason();
  EXPECT_EQ(check.before(0).pid(), was[0].pid());
  EXPECT_EQ(check.release().from().name(), "1.8.2");
  EXPECT_EQ(check.release().to().name(), "1.8.1");
  EXPECT_EQ(Portal()[0].pid(), was[0].pid());  // a check changes nothing
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");

  v1::WorkerRequest request = Request();
  *request.mutable_to() = check.release().to();
  const v1::WorkerResult run = action_->Run(request, RealClock());
  ASSERT_TRUE(run.ok()) << run.reason();
  printf("[rollback] %s\n", run.reason().c_str());
  EXPECT_EQ(scene_.Current(), "releases/1.8.1");
  const std::vector<v1::Pm2App> now = Portal();
  ASSERT_EQ(now.size(), 1u);
  EXPECT_EQ(now[0].exec_path(), scene_.PathOf("1.8.1") + "/server.js");
  EXPECT_EQ(Link(absl::StrCat("/proc/", now[0].pid(), "/cwd")), scene_.PathOf("1.8.1"));
  EXPECT_EQ(run.release().running(), scene_.PathOf("1.8.1"));
  EXPECT_EQ(run.before(0).pid(), was[0].pid());
  EXPECT_EQ(run.after(0).pid(), now[0].pid());
  EXPECT_EQ(now[0].version(), "1.8.1");
  // Its id, settings, logs, arguments and environment are those it had.
  EXPECT_EQ(now[0].pm_id(), was[0].pm_id());
  EXPECT_EQ(now[0].max_memory_bytes(), was[0].max_memory_bytes());
  EXPECT_EQ(now[0].kill_timeout_ms(), 2000);
  EXPECT_EQ(now[0].out_log_path(), was[0].out_log_path());
  const std::string environment = test::ReadFile(absl::StrCat("/proc/", now[0].pid(), "/environ"));
  EXPECT_THAT(environment, HasSubstr(absl::StrCat("API_KEY=", kCanary)));
  EXPECT_THAT(environment, Not(HasSubstr("releases/1.8.2")));
  EXPECT_EQ(daemon_->AppRestarts("other"), 0);
  EXPECT_THAT(run.SerializeAsString(), Not(HasSubstr(kCanary)));
  // And the release that was left can be gone back to, by a person.
  EXPECT_EQ(action_->Check(Request("1.8.2"), RealClock()).refusal(), v1::REFUSAL_CHECK);
  const v1::WorkerResult back = action_->Run(Request("1.8.2", true), RealClock());
  ASSERT_TRUE(back.ok()) << back.reason();
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
  EXPECT_EQ(Portal()[0].exec_path(), scene_.PathOf("1.8.2") + "/server.js");
}

TEST_F(ReleasePm2, RollsBackAClusterOfTwoAndAnAppNamedThroughCurrent) {
  Deploy(ReleaseScene::kServer, ReleaseScene::kServer,
         {{"instances", 2}, {"exec_mode", "cluster"}, {"cwd", scene_.path() + "/current"}});
  ASSERT_EQ(Portal().size(), 2u);
  const v1::WorkerResult run = action_->Run(Request(), RealClock());
  ASSERT_TRUE(run.ok()) << run.reason();
  const std::vector<v1::Pm2App> now = Portal();
  ASSERT_EQ(now.size(), 2u);
  EXPECT_EQ(run.after_size(), 2);
  for (const v1::Pm2App& app : now) {
    EXPECT_EQ(app.exec_mode(), "cluster_mode");
    EXPECT_EQ(app.status(), "online");
    EXPECT_EQ(app.exec_path(), scene_.PathOf("1.8.1") + "/server.js");
    EXPECT_EQ(app.cwd(), scene_.PathOf("1.8.1"));
    EXPECT_EQ(Link(absl::StrCat("/proc/", app.pid(), "/cwd")), scene_.PathOf("1.8.1"));
  }
}

TEST_F(ReleasePm2, ACrashingReleaseIsLeftAlsoWhenPm2HasGivenUpOnIt) {
  Deploy(ReleaseScene::kServer, "process.exit(1)", {{"max_restarts", 2}});
  ASSERT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("portal") == "errored"; }));
  const v1::WorkerResult run = action_->Run(Request(), RealClock());
  ASSERT_TRUE(run.ok()) << run.reason();
  EXPECT_EQ(Portal()[0].status(), "online");
  EXPECT_EQ(run.release().running(), scene_.PathOf("1.8.1"));
}

TEST_F(ReleasePm2, ACrashLoopWithADelayIsLeftToo) {
  Deploy(ReleaseScene::kServer, "setTimeout(() => process.exit(1), 50)", {{"restart_delay", 700}});
  ASSERT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("portal") == "waiting restart"; }));
  const v1::WorkerResult run = action_->Run(Request(), RealClock());
  ASSERT_TRUE(run.ok()) << run.reason();
  EXPECT_EQ(run.release().running(), scene_.PathOf("1.8.1"));
}

TEST_F(ReleasePm2, PutsEverythingBackWhenTheTargetDoesNotStayUp) {
  Deploy("setTimeout(() => process.exit(1), 200)", ReleaseScene::kServer, {{"instances", 2}});
  const v1::WorkerResult run = action_->Run(Request(), RealClock());
  EXPECT_FALSE(run.ok());
  EXPECT_FALSE(run.unknown()) << run.reason();
  EXPECT_EQ(run.refusal(), v1::REFUSAL_UNSPECIFIED);
  EXPECT_THAT(run.reason(), HasSubstr("everything was put back, 1.8.2 runs again"));
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
  for (const v1::Pm2App& app : Portal()) {
    EXPECT_EQ(app.status(), "online");
    EXPECT_EQ(app.exec_path(), scene_.PathOf("1.8.2") + "/server.js");
    EXPECT_EQ(Link(absl::StrCat("/proc/", app.pid(), "/cwd")), scene_.PathOf("1.8.2"));
  }
  // The second process was never touched: the first had not stayed up.
  EXPECT_EQ(Portal().at(1).restarts(), 0);
}

TEST_F(ReleasePm2, ADaemonThatIsKilledInBetweenIsUnknown) {
  Deploy(ReleaseScene::kServer, "process.on('SIGINT', () => {}); setInterval(() => {}, 1000);",
         {{"kill_timeout", 5000}});
  std::thread killer([&] {
    test::WaitFor([&] { return scene_.Current() == "releases/1.8.1" && Portal()[0].status() == "stopping"; });
    daemon_->KillDaemon();
  });
  const v1::WorkerResult run = action_->Run(Request(), RealClock());
  killer.join();
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.unknown()) << run.reason();
  EXPECT_THAT(run.reason(), HasSubstr("current leads to 1.8.1"));
}

TEST_F(ReleasePm2, RefusesWhatItCouldNotStart) {
  Deploy(ReleaseScene::kServer, ReleaseScene::kServer,
         {{"args", {absl::StrCat("--config=", scene_.PathOf("1.8.2"), "/c")}}});
  EXPECT_THAT(action_->Run(Request(), RealClock()).reason(), HasSubstr("names a release in its arguments"));
  ASSERT_TRUE(daemon_->Command({"stop", "portal"}).ok());
  EXPECT_THAT(action_->Run(Request(), RealClock()).reason(), HasSubstr("stopped by hand"));
  scene_.place().set_app("other");
  EXPECT_THAT(action_->Run(Request(), RealClock()).reason(),
              HasSubstr("not from a release of this deployment"));
  scene_.place().set_app("nobody");
  EXPECT_THAT(action_->Run(Request(), RealClock()).reason(), HasSubstr("no app of that name"));
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
}

TEST_F(ReleasePm2, TakesEvidenceOfReleasesAndApp) {
  Deploy(ReleaseScene::kServer, ReleaseScene::kServer, {{"cwd", scene_.PathOf("1.8.2")}});
  ASSERT_TRUE(test::WaitFor([&] { return test::ReadFile(daemon_->AppLog("portal")) != ""; }));
  v1::WorkerRequest request = Request();
  request.set_budget_ms(2000);
  *request.mutable_to() = request.release().recorded(0);
  const v1::WorkerResult result = action_->Evidence(request, RealClock());
  ASSERT_GE(result.evidence_size(), 4);
  EXPECT_EQ(result.evidence(0).name(), "releases");
  EXPECT_THAT(result.evidence(0).content(), HasSubstr("current: 1.8.2 sha256 "));
  EXPECT_THAT(result.evidence(0).content(), HasSubstr("target: 1.8.1 sha256 "));
  EXPECT_EQ(result.evidence(2).name(), "log.out");
  EXPECT_EQ(result.evidence(2).content(), "up 1.8.2\n");
  EXPECT_THAT(result.SerializeAsString(), Not(HasSubstr(kCanary)));
}

}  // namespace
}  // namespace quell::agent
