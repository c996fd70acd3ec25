// Collector and quell-pm2-reader against the real PM2: what is no incident, what is one, what was by hand.
#include <gmock/gmock.h>
#include <signal.h>

#include "agent/collectors/pm2/pm2_collector.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/agent/pm2/reader_process.h"
#include "tests/support/files.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Pm2Daemon;
using test::ReaderProcess;
using test::RecordingSink;
using test::WaitFor;

constexpr char kServer[] = "require('http').createServer((q, r) => r.end('ok')).listen(0);";

class Pm2RealTest : public testing::Test {
 protected:
  void Begin(const std::vector<test::Pm2App>& apps) {
    auto daemon = Pm2Daemon::Start(dir_.path(), apps);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    reader_ = std::make_unique<ReaderProcess>(daemon_->home());
    collector_.Attach("me", reader_->TakeAgentEnd());
    for (const test::Pm2App& app : apps) {
      ASSERT_TRUE(WaitFor([&] { return Value("pm2_app_online", app.name) >= 0; })) << app.name;
    }
  }
  // Of the latest collection, whatever the pm_id; -1 when there is none.
  double Value(const std::string& metric, const std::string& app) {
    EXPECT_TRUE(collector_.Collect(RealClock(), sink_).ok());
    const Collection c = sink_.Latest("pm2");
    for (size_t i = 0; i < c.values.size(); ++i) {
      const Series& series = (*c.series)[i];
      if (series.name == metric && series.labels.Get("app") == app && !IsStale(c.values[i]))
        return c.values[i];
    }
    return -1;
  }
  bool Becomes(const std::string& metric, const std::string& app, double value) {
    return WaitFor([&] { return Value(metric, app) == value; });
  }
  void ExpectNoIncident(const std::string& app) {
    EXPECT_EQ(Value("pm2_app_given_up", app), 0);
    EXPECT_EQ(Value("pm2_app_waiting", app), 0);
    EXPECT_EQ(Value("pm2_app_without_process", app), 0);
    EXPECT_LT(Value("pm2_app_unplanned_exits_5m", app), 3);
  }

  const test::TempDir dir_;
  RecordingSink sink_;
  std::unique_ptr<Pm2Daemon> daemon_;
  std::unique_ptr<ReaderProcess> reader_;
  Pm2Collector collector_{"", {"me"}, kSecond, RealClock(), sink_};
};

TEST_F(Pm2RealTest, ACrashThatPm2HealsIsAnEventAndACount) {
  Begin({{.name = "web", .source = kServer}});
  const double pid = Value("pm2_app_pid", "web");
  const double first_start = Value("pm2_app_started_seconds", "web");
  EXPECT_GT(Value("pm2_app_resident_memory_bytes", "web"), 1e6);
  ASSERT_EQ(kill(static_cast<pid_t>(pid), SIGKILL), 0);
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.exit", "web") == 1; }));
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.online", "web") == 1; }));
  ASSERT_TRUE(WaitFor([&] {
    const double now = Value("pm2_app_pid", "web");
    return now > 0 && now != pid;
  }));
  // The exit told the old start, and the new one its own, before a list did.
  std::map<std::string, double> started;
  for (const v1::Event& event : sink_.Events()) {
    for (const v1::EventSample& sample : event.samples())
      if (sample.series().name() == "pm2_app_started_seconds") started[event.kind()] = sample.value();
  }
  EXPECT_EQ(started["pm2.exit"], first_start);
  EXPECT_EQ(started["pm2.online"], Value("pm2_app_started_seconds", "web"));
  EXPECT_GT(started["pm2.online"], first_start);
  EXPECT_EQ(Value("pm2_app_unplanned_exits_total", "web"), 1);
  EXPECT_EQ(Value("pm2_app_online", "web"), 1);
  EXPECT_EQ(Value("pm2_app_stopped_by_hand", "web"), 0);
  ExpectNoIncident("web");
}

TEST_F(Pm2RealTest, StoppedRestartedAndReloadedByHand) {
  Begin({{.name = "web", .source = kServer},
         {.name = "api", .source = kServer, .settings = R"({"exec_mode": "cluster", "instances": 1})"}});
  ASSERT_TRUE(daemon_->Command({"restart", "web"}).ok());
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.restart", "web") == 1; }));
  ASSERT_TRUE(Becomes("pm2_app_online", "web", 1));
  ASSERT_TRUE(daemon_->Command({"reload", "api"}).ok());
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.restart", "api") == 1; }));
  ASSERT_TRUE(Becomes("pm2_app_online", "api", 1));
  ExpectNoIncident("api");
  EXPECT_EQ(Value("pm2_app_unplanned_exits_total", "api"), 0);

  ASSERT_TRUE(daemon_->Command({"stop", "web"}).ok());
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.stop", "web") == 1; }));
  ASSERT_TRUE(Becomes("pm2_app_stopped_by_hand", "web", 1));
  ASSERT_TRUE(Becomes("pm2_app_status", "web", 3));
  EXPECT_EQ(Value("pm2_app_stopped_by_hand", "web"), 1);
  EXPECT_EQ(Value("pm2_app_online", "web"), 0);
  EXPECT_EQ(Value("pm2_app_unplanned_exits_total", "web"), 0);
  ExpectNoIncident("web");
  ASSERT_TRUE(daemon_->Command({"delete", "api"}).ok());
  ASSERT_TRUE(Becomes("pm2_app_online", "api", -1));
}

TEST_F(Pm2RealTest, Pm2GivesUp) {
  Begin({{.name = "loops", .source = "process.exit(2)", .settings = R"({"max_restarts": 3})"},
         {.name = "once",
          .source = "setTimeout(() => process.exit(4), 1500)",
          .settings = R"({"autorestart": false})"},
         {.name = "killed", .source = kServer, .settings = R"({"autorestart": false})"},
         {.name = "job",
          .source = "setTimeout(() => process.exit(0), 1500)",
          .settings = R"({"autorestart": false})"},
         {.name = "allowed",
          .source = "setTimeout(() => process.exit(7), 1500)",
          .settings = R"({"stop_exit_codes": [7]})"}});
  ASSERT_EQ(kill(daemon_->AppPid("killed"), SIGKILL), 0);
  EXPECT_TRUE(Becomes("pm2_app_given_up", "loops", 1));
  EXPECT_TRUE(Becomes("pm2_app_given_up", "once", 1));
  EXPECT_TRUE(Becomes("pm2_app_given_up", "killed", 1));
  EXPECT_TRUE(Becomes("pm2_app_status", "loops", 4));
  for (const char* ended : {"job", "allowed"}) {
    EXPECT_TRUE(Becomes("pm2_app_status", ended, 3)) << ended;
    ExpectNoIncident(ended);
  }
}

TEST_F(Pm2RealTest, DaemonKilledAndAnotherOne) {
  Begin({{.name = "web", .source = kServer}});
  daemon_->KillDaemon();
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.daemon.gone") == 1; }));
  ASSERT_TRUE(WaitFor([&] {
    EXPECT_TRUE(collector_.Collect(RealClock(), sink_).ok());
    return sink_.Values("pm2").at(R"(pm2_up{user="me"})") == 0;
  }));
  EXPECT_EQ(sink_.Values("pm2").at(R"(pm2_daemon_stopped_by_hand{user="me"})"), 0);
  EXPECT_EQ(Value("pm2_app_online", "web"), -1);
  ASSERT_TRUE(daemon_->StartApps({{.name = "again", .source = kServer}}).ok());
  EXPECT_TRUE(Becomes("pm2_app_online", "again", 1));
  EXPECT_EQ(sink_.EventsOf("pm2.daemon.back"), 1);
  ASSERT_TRUE(daemon_->Command({"kill"}).ok());
  EXPECT_TRUE(WaitFor([&] {
    EXPECT_TRUE(collector_.Collect(RealClock(), sink_).ok());
    return sink_.Values("pm2").at(R"(pm2_daemon_stopped_by_hand{user="me"})") == 1;
  }));
}

TEST_F(Pm2RealTest, AnAppWithoutAProcess) {
  Begin({{.name = "web", .source = kServer}});
  dir_.MakeDirectory("gone");
  ASSERT_TRUE(daemon_
                  ->Command({"start", "/bin/sleep", "--name", "lost", "--interpreter", "none", "--cwd",
                             dir_.Path("gone"), "--", "1000"})
                  .ok());
  ASSERT_TRUE(Becomes("pm2_app_online", "lost", 1));
  ASSERT_EQ(rmdir(dir_.Path("gone").c_str()), 0);
  ASSERT_EQ(kill(daemon_->AppPid("lost"), SIGKILL), 0);
  EXPECT_TRUE(Becomes("pm2_app_without_process", "lost", 1));
  // PM2's own figures for every other app are zero now; ours are not.
  EXPECT_GT(Value("pm2_app_resident_memory_bytes", "web"), 1e6);
}

}  // namespace
}  // namespace quell::agent
