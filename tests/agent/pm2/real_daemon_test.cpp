// Client and reader against the real PM2.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>

#include "agent/pm2/rpc.h"
#include "tests/agent/pm2/reader_process.h"
#include "tests/support/files.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::pm2 {
namespace {

using test::Pm2Daemon;
using test::ReaderProcess;
using test::WaitFor;
using testing::HasSubstr;
using testing::Not;

constexpr char kIdle[] = "setInterval(() => {}, 1000);";
constexpr char kCanary[] = "canary-6f1d0a";

v1::Pm2App Find(Pm2Client& client, std::string_view name) {
  const auto apps = client.ListApps();
  EXPECT_TRUE(apps.ok()) << apps.status();
  if (apps.ok())
    for (const v1::Pm2App& app : *apps)
      if (app.name() == name) return app;
  return {};
}

std::string Environ(int64_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(RealDaemonTest, ListsRestartsAndKeepsConfigurationAndEnvironment) {
  const test::TempDir dir;
  const auto daemon = Pm2Daemon::Start(dir.path(), {{.name = "工作-é",
                                                     .source = kIdle,
                                                     .settings = R"({"max_memory_restart": "200M"})",
                                                     .environment = {{"SECRET", kCanary}}}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  auto client = Pm2Client::Connect((*daemon)->home(), getuid(), 5 * kSecond, RealClock());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->peer_pid(), (*daemon)->pid());
  EXPECT_EQ((*client)->Version().value(), "7.0.4");

  const v1::Pm2App before = Find(**client, "工作-é");
  EXPECT_EQ(before.status(), "online");
  EXPECT_GT(before.pid(), 0);
  EXPECT_EQ(before.max_memory_bytes(), 200 << 20);
  EXPECT_THAT(before.SerializeAsString(), Not(HasSubstr(kCanary)));

  ASSERT_TRUE((*client)->Restart(before.pm_id(), RestartDeadline()).ok());
  const v1::Pm2App after = Find(**client, "工作-é");
  EXPECT_EQ(after.status(), "online");
  EXPECT_NE(after.pid(), before.pid());
  EXPECT_EQ(after.restarts(), before.restarts() + 1);
  EXPECT_EQ(after.max_memory_bytes(), before.max_memory_bytes());
  EXPECT_THAT(Environ(after.pid()), HasSubstr(kCanary));

  // What the daemon refuses does no harm.
  EXPECT_EQ((*client)->Restart(4711, RestartDeadline()).code(), absl::StatusCode::kAborted);
  EXPECT_EQ((*client)->Version().value(), "7.0.4");
}

// An app's owner chooses its name: it is carried as it is, and never becomes part of a request.
TEST(RealDaemonTest, X15_NamesAreOpaque) {
  const test::TempDir dir;
  const std::vector<std::string> names = {"; id", "$(id)", "a\"}],\"x\":[{\"", "'\\\n", "]:7] exited"};
  std::vector<test::Pm2App> apps;
  for (const std::string& name : names) apps.push_back({.name = name, .source = kIdle});
  const auto daemon = Pm2Daemon::Start(dir.path(), apps);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  auto client = Pm2Client::Connect((*daemon)->home(), getuid(), 5 * kSecond, RealClock());
  ASSERT_TRUE(client.ok()) << client.status();
  for (const std::string& name : names) {
    const v1::Pm2App before = Find(**client, name);
    EXPECT_EQ(before.status(), "online") << name;
    ASSERT_TRUE((*client)->Restart(before.pm_id(), RestartDeadline()).ok()) << name;
    EXPECT_NE(Find(**client, name).pid(), before.pid()) << name;
  }
}

TEST(RealDaemonTest, AStoppedAppIsStartedAndSpawnFailuresAreSeen) {
  const test::TempDir dir;
  const auto daemon = Pm2Daemon::Start(dir.path(), {{.name = "web", .source = kIdle}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ASSERT_TRUE((*daemon)->Command({"stop", "web"}).ok());
  auto client = Pm2Client::Connect((*daemon)->home(), getuid(), 5 * kSecond, RealClock());
  ASSERT_TRUE(client.ok()) << client.status();
  const v1::Pm2App stopped = Find(**client, "web");
  EXPECT_EQ(stopped.status(), "stopped");
  EXPECT_EQ(stopped.pid(), 0);
  ASSERT_TRUE((*client)->Restart(stopped.pm_id(), RestartDeadline()).ok());
  EXPECT_EQ(Find(**client, "web").status(), "online");

  (*daemon)->KillDaemon();
  EXPECT_TRUE(absl::IsUnavailable((*client)->ListApps().status()));
  EXPECT_TRUE(absl::IsUnavailable((*client)->Restart(0, kSecond)));
}

bool HasEvent(const v1::ReaderFrame& frame, std::string_view event, std::string_view app) {
  for (const v1::Pm2Event& e : frame.events())
    if (e.event() == event && e.app() == app) return true;
  return false;
}

auto Lists(std::string name, std::string status) {
  return [name = std::move(name), status = std::move(status)](const v1::ReaderFrame& frame) {
    for (const v1::Pm2App& app : frame.apps())
      if (app.name() == name && app.status() == status) return true;
    return false;
  };
}

TEST(ReaderTest, X17_TellsOfAnExitWithItsSignalAndSendsNoSecret) {
  const test::TempDir dir;
  const auto daemon = Pm2Daemon::Start(
      dir.path(),
      {{.name = "web", .source = kIdle, .environment = {{"DATABASE_URL", kCanary}, {kCanary, "1"}}}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ReaderProcess reader((*daemon)->home());
  ASSERT_TRUE(reader.ReadUntil(Lists("web", "online")));
  EXPECT_EQ(reader.frames().back().daemon_version(), "7.0.4");
  EXPECT_EQ(reader.frames().back().daemon_pid(), (*daemon)->pid());

  ASSERT_EQ(kill((*daemon)->AppPid("web"), SIGKILL), 0);
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return HasEvent(f, "exit", "web"); }));
  const v1::Pm2Event exit = reader.frames().back().events(0);
  EXPECT_EQ(exit.signal(), "SIGKILL");
  EXPECT_EQ(exit.status(), "stopped");
  EXPECT_FALSE(exit.manually());
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return HasEvent(f, "online", "web"); }));
  // The list follows on its own, long before its turn.
  ASSERT_TRUE(reader.ReadUntil(Lists("web", "online")));

  ASSERT_TRUE((*daemon)->Command({"stop", "web"}).ok());
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return HasEvent(f, "stop", "web"); }));
  EXPECT_TRUE(reader.frames().back().events(0).manually());
  ASSERT_TRUE(reader.ReadUntil(Lists("web", "stopped")));
  EXPECT_THAT(reader.raw(), Not(HasSubstr(kCanary)));
  EXPECT_THAT(reader.raw(), Not(HasSubstr("DATABASE_URL")));
}

TEST(ReaderTest, ADaemonThatIsAbsentLateKilledAndAnother) {
  const test::TempDir dir;
  ReaderProcess reader(dir.Path("none"));
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return !f.daemon_up(); }));
  EXPECT_THAT(reader.frames().back().daemon_error(), HasSubstr("no such socket"));

  auto daemon = Pm2Daemon::Start(dir.path(), {{.name = "web", .source = kIdle}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ReaderProcess second((*daemon)->home());
  ASSERT_TRUE(second.ReadUntil(Lists("web", "online")));
  const int64_t pid = second.frames().back().daemon_pid();
  (*daemon)->KillDaemon();
  ASSERT_TRUE(second.ReadUntil([](const v1::ReaderFrame& f) { return !f.daemon_up(); }));
  EXPECT_THAT(second.frames().back().daemon_error(), HasSubstr("no daemon listens"));
  ASSERT_TRUE((*daemon)->StartApps({{.name = "again", .source = kIdle}}).ok());
  ASSERT_TRUE(second.ReadUntil(Lists("again", "online")));
  EXPECT_NE(second.frames().back().daemon_pid(), pid);
}

TEST(ReaderTest, EndsWhenTheAgentDoes) {
  const test::TempDir dir;
  ReaderProcess reader(dir.path());
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return !f.daemon_up(); }));
  reader.CloseAgentEnd();
  int status = -1;
  ASSERT_TRUE(WaitFor([&] { return (status = reader.Ended()) >= 0; }));
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace quell::pm2
