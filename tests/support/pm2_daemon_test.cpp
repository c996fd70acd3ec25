#include "tests/support/pm2_daemon.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kIdle[] = "setInterval(() => {}, 1000); console.log('here');";

TEST(Pm2DaemonTest, StartsAppsAndEndsWithThem) {
  const TempDir dir;
  pid_t app = 0;
  pid_t daemon_pid = 0;
  {
    const auto daemon = Pm2Daemon::Start(dir.path(), {{.name = "idle", .source = kIdle}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    EXPECT_EQ((*daemon)->AppStatus("idle"), "online");
    app = (*daemon)->AppPid("idle");
    daemon_pid = (*daemon)->pid();
    ASSERT_GT(app, 1);
    ASSERT_GT(daemon_pid, 1);
    EXPECT_EQ(kill(app, 0), 0);
    struct stat s {};
    EXPECT_EQ(stat((*daemon)->rpc_socket().c_str(), &s), 0);
    EXPECT_TRUE(S_ISSOCK(s.st_mode));
    EXPECT_TRUE(WaitFor([&] { return ReadFile((*daemon)->AppLog("idle")) == "here\n"; }));
  }
  EXPECT_TRUE(WaitFor([&] { return kill(app, 0) != 0 && kill(daemon_pid, 0) != 0; }));
}

TEST(Pm2DaemonTest, WhatAKilledDaemonLeavesIsEndedToo) {
  const TempDir dir;
  pid_t app = 0;
  {
    const auto daemon =
        Pm2Daemon::Start(dir.path(), {{.name = "idle", .source = kIdle, .settings = R"({"pmx": false})"}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    app = (*daemon)->AppPid("idle");
    ASSERT_GT(app, 1);
    const pid_t daemon_pid = (*daemon)->pid();
    (*daemon)->KillDaemon();
    EXPECT_TRUE(WaitFor([&] { return kill(daemon_pid, 0) != 0; }));
    EXPECT_EQ(kill(app, 0), 0);
  }
  EXPECT_TRUE(WaitFor([&] { return kill(app, 0) != 0; }));
}

TEST(Pm2DaemonTest, TakesSettingsAndStartsMore) {
  const TempDir dir;
  const auto daemon = Pm2Daemon::Start(dir.path(), {});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ASSERT_TRUE(
      (*daemon)
          ->StartApps({{.name = "gone", .source = "process.exit(3)", .settings = R"({"autorestart": false})"},
                       {.name = "env",
                        .source = "console.log(process.env.WHO);" + std::string(kIdle),
                        .environment = {{"WHO", "me"}}}})
          .ok());
  EXPECT_TRUE(WaitFor([&] { return (*daemon)->AppStatus("gone") == "stopped"; }));
  EXPECT_EQ((*daemon)->AppRestarts("gone"), 0);
  EXPECT_TRUE(WaitFor([&] { return ReadFile((*daemon)->AppLog("env")).starts_with("me\n"); }));
}

// Another user's daemon needs root to start it; otherwise this checks the refusal.
TEST(Pm2DaemonTest, RunsAsAnotherUser) {
  constexpr uid_t kNobody = 65534;
  const TempDir dir;
  const auto daemon = Pm2Daemon::Start(dir.path(), {{.name = "idle", .source = kIdle}},
                                       {.uid = kNobody, .gid = kNobody, .environment = {}});
  if (geteuid() != 0) {
    EXPECT_EQ(daemon.status().code(), absl::StatusCode::kPermissionDenied);
    return;
  }
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  for (const pid_t pid : {(*daemon)->pid(), (*daemon)->AppPid("idle")}) {
    struct stat s {};
    ASSERT_EQ(stat(("/proc/" + std::to_string(pid)).c_str(), &s), 0);
    EXPECT_EQ(s.st_uid, kNobody);
  }
}

}  // namespace
}  // namespace quell::test
