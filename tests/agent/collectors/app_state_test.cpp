// What must never be an incident, and what must never be undone, decided from events and lists.
#include "agent/collectors/pm2/app_state.h"

#include <gmock/gmock.h>

namespace quell::agent {
namespace {

using testing::HasSubstr;

struct Exit {
  std::string status = "stopped";
  int64_t code = 1;
  std::string signal = "SIGINT";
  bool autorestart = true;
  int64_t restarts = 0;
  std::vector<int64_t> stop_codes = {};
  int64_t started_ms = 0;
};

class AppStateTest : public testing::Test {
 protected:
  // An app that was listed online.
  void SetUp() override { List("online", 100); }

  std::vector<AppChange> Send(const v1::ReaderFrame& frame) { return state_.Take(frame, now_); }
  std::vector<AppChange> List(const std::string& status, int64_t pid, int64_t daemon = 7,
                              int64_t started_ms = 0) {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    frame.set_list_valid(true);
    frame.set_daemon_pid(daemon);
    v1::Pm2App* app = frame.add_apps();
    app->set_name("web");
    app->set_status(status);
    app->set_pid(pid);
    app->set_autorestart(true);
    app->set_started_ms(started_ms);
    return Send(frame);
  }
  std::vector<AppChange> Event(const std::string& kind, const std::string& status, bool manually = false,
                               int64_t restarts = 0, int64_t started_ms = 0) {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    v1::Pm2Event* event = frame.add_events();
    event->set_event(kind);
    event->set_app("web");
    event->set_status(status);
    event->set_manually(manually);
    event->set_restarts(restarts);
    event->set_autorestart(true);
    event->set_started_ms(started_ms);
    return Send(frame);
  }
  std::vector<AppChange> Exits(const Exit& exit) {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    v1::Pm2Event* event = frame.add_events();
    event->set_event("exit");
    event->set_app("web");
    event->set_status(exit.status);
    event->set_exit_code(exit.code);
    event->set_signal(exit.signal);
    event->set_autorestart(exit.autorestart);
    event->set_restarts(exit.restarts);
    event->set_started_ms(exit.started_ms);
    for (int64_t code : exit.stop_codes) event->add_stop_exit_codes(code);
    return Send(frame);
  }
  void Silence() {
    v1::ReaderFrame down;
    down.set_daemon_error("waiting for the PM2 daemon: no answer");
    Send(down);
  }
  const AppState& App() { return state_.apps().at(0); }
  void ExpectNoIncident() {
    EXPECT_FALSE(App().given_up);
    EXPECT_EQ(App().down_since, 0);
    EXPECT_FALSE(App().without_process());
    EXPECT_LT(App().recent_exits(now_), 3);
  }

  Pm2State state_;
  Micros now_ = kHour;
};

TEST_F(AppStateTest, ACrashThatPm2HealsIsAnEventAndACount) {
  const auto exit = Exits({.code = 3});
  ASSERT_EQ(exit.size(), 1u);
  EXPECT_EQ(exit[0].kind, "pm2.exit");
  EXPECT_THAT(exit[0].text, HasSubstr("code 3"));
  EXPECT_FALSE(App().online());
  EXPECT_EQ(App().down_since, now_);
  now_ += 10 * kMillisecond;
  Event("online", "launching", false, 1);
  EXPECT_TRUE(App().online());
  EXPECT_EQ(App().unplanned, 1);
  ExpectNoIncident();
  List("online", 101);
  ExpectNoIncident();
  EXPECT_FALSE(App().by_hand);
}

TEST_F(AppStateTest, NotOnlineAgainIsSeenAsWaiting) {
  Exits({});
  now_ += 11 * kSecond;
  List("waiting restart", 100);
  EXPECT_EQ(now_ - App().down_since, 11 * kSecond);
  EXPECT_FALSE(App().by_hand);
  EXPECT_EQ(App().app.pid(), 0);
}

TEST_F(AppStateTest, ThreeUnplannedExitsInFiveMinutes) {
  for (int i = 0; i < 3; ++i) {
    Exits({.code = 0, .restarts = i});
    Event("online", "launching", false, i + 1);
    now_ += kMinute;
  }
  EXPECT_EQ(App().recent_exits(now_), 3);
  EXPECT_EQ(App().recent_exits(now_ + 3 * kMinute), 1);
  // A person who restarts it begins anew.
  Event("restart", "online", true);
  EXPECT_EQ(App().recent_exits(now_), 0);
  EXPECT_EQ(App().unplanned, 3);
}

TEST_F(AppStateTest, OnlineWithoutAProcess) {
  List("online", 0);
  EXPECT_TRUE(App().without_process());
  EXPECT_FALSE(App().online());
}

TEST_F(AppStateTest, ErroredIsGivenUpAtOnce) {
  EXPECT_EQ(Event("restart overlimit", "errored")[0].kind, "pm2.overlimit");
  EXPECT_TRUE(App().given_up);
  Exits({.status = "errored"});
  EXPECT_TRUE(App().given_up);
  EXPECT_EQ(App().down_since, 0);
  List("errored", 0);
  EXPECT_TRUE(App().given_up);
  Event("online", "launching");
  EXPECT_FALSE(App().given_up);
}

TEST_F(AppStateTest, WithoutAutorestart) {
  Exits({.code = 4, .autorestart = false});
  EXPECT_TRUE(App().given_up);
  List("stopped", 0);
  EXPECT_TRUE(App().given_up);
  EXPECT_FALSE(App().by_hand);
}

TEST_F(AppStateTest, WithoutAutorestartAFatalSignalCountsThoughTheCodeIsZero) {
  Exits({.code = 0, .signal = "SIGSEGV", .autorestart = false});
  EXPECT_TRUE(App().given_up);
}

TEST_F(AppStateTest, AFinishedJobIsAnEvent) {
  const auto changes = Exits({.code = 0, .autorestart = false});
  EXPECT_THAT(changes.at(0).text, HasSubstr("finished"));
  List("stopped", 0);
  ExpectNoIncident();
  EXPECT_EQ(App().unplanned, 0);
  EXPECT_FALSE(App().by_hand);
}

TEST_F(AppStateTest, StopExitCodesAreAllowed) {
  for (const bool autorestart : {true, false}) {
    Exits({.code = 9, .autorestart = autorestart, .stop_codes = {8, 9}});
    List("stopped", 0);
    ExpectNoIncident();
    EXPECT_EQ(App().unplanned, 0);
    Event("online", "launching");
    List("online", 102 + autorestart);
  }
}

TEST_F(AppStateTest, StoppedByHandIsShownAndNothingElse) {
  const auto first = Exits({.status = "stopping", .code = 0});
  EXPECT_EQ(first.size(), 1u);
  EXPECT_TRUE(App().by_hand);
  EXPECT_TRUE(Exits({.status = "stopped", .code = 0}).empty());
  Event("stop", "stopped", true);
  List("stopped", 0);
  EXPECT_TRUE(App().by_hand);
  ExpectNoIncident();
  EXPECT_EQ(App().unplanned, 0);
  EXPECT_FALSE(App().online());
}

TEST_F(AppStateTest, ARestartByHand) {
  Exits({.status = "stopping", .code = 0});
  Exits({.status = "stopped", .code = 0});
  Event("online", "launching", false, 1);
  EXPECT_EQ(Event("restart", "online", true, 1).at(0).kind, "pm2.restart");
  List("online", 200);
  EXPECT_TRUE(App().online());
  EXPECT_FALSE(App().by_hand);
  ExpectNoIncident();
  EXPECT_EQ(App().unplanned, 0);
}

// PM2 stops what waits to be started again: an exit with status `stopped` and no start before it.
TEST_F(AppStateTest, StoppedByHandWhileItWaits) {
  Exits({.code = 1, .restarts = 4});
  List("waiting restart", 100);
  Exits({.code = 1, .restarts = 4});
  EXPECT_TRUE(App().by_hand);
  EXPECT_EQ(App().unplanned, 1);
  ExpectNoIncident();
}

TEST_F(AppStateTest, AnErroredAppThatIsThenStoppedByHand) {
  Exits({.status = "errored"});
  Event("stop", "stopped", true);
  EXPECT_TRUE(App().by_hand);
  List("stopped", 0);
  ExpectNoIncident();
}

TEST_F(AppStateTest, UnknownOriginCountsAsDeliberate) {
  List("stopped", 0);  // no event told of it
  EXPECT_TRUE(App().by_hand);
  ExpectNoIncident();

  Pm2State fresh;
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  frame.set_list_valid(true);
  v1::Pm2App* app = frame.add_apps();
  app->set_status("stopped");
  app->set_exit_code(1);
  fresh.Take(frame, now_);
  EXPECT_TRUE(fresh.apps().at(0).by_hand);
  EXPECT_FALSE(fresh.apps().at(0).given_up);
}

TEST_F(AppStateTest, AnOlderListDoesNotUndoAnExit) {
  Exits({.status = "errored"});
  List("online", 100);  // asked for before, come after
  EXPECT_TRUE(App().given_up);
  EXPECT_FALSE(App().online());
  List("online", 101);
  EXPECT_FALSE(App().given_up);
}

// Which start it is about is known before the next list tells the process's id.
TEST_F(AppStateTest, EventsTellTheStartThatTheyAreAbout) {
  List("online", 100, 7, 1000);
  Exits({.code = 3, .started_ms = 1000});
  EXPECT_EQ(App().app.started_ms(), 1000);
  EXPECT_EQ(App().app.pid(), 0);
  Event("online", "launching", false, 1, 2000);
  EXPECT_EQ(App().app.started_ms(), 2000);
  EXPECT_EQ(App().app.pid(), kPidToCome);
  EXPECT_TRUE(App().online());
  // A note of a person's act may be older than the start that followed.
  Event("restart", "online", true, 1, 1000);
  EXPECT_EQ(App().app.started_ms(), 2000);
  List("online", 101, 7, 2000);
  EXPECT_EQ(App().app.pid(), 101);
}

// Nobody ever knew the id of a process that came and went between two lists; its start is known.
TEST_F(AppStateTest, AnOlderListDoesNotUndoTheExitOfAProcessThatNoListToldOf) {
  List("online", 100, 7, 1000);
  Exits({.code = 3, .started_ms = 1000});
  Event("online", "launching", false, 1, 2000);
  Exits({.status = "errored", .started_ms = 2000});
  List("online", 101, 7, 2000);
  EXPECT_TRUE(App().given_up);
  EXPECT_FALSE(App().online());
  List("online", 102, 7, 3000);
  EXPECT_FALSE(App().given_up);
}

TEST_F(AppStateTest, TransitionalStatesAreNoStop) {
  Exits({});
  List("stopped", 100);  // with a stale pid: between exit and start
  EXPECT_FALSE(App().by_hand);
  EXPECT_NE(App().down_since, 0);
}

TEST_F(AppStateTest, DaemonGoneAndAnotherInItsPlace) {
  v1::ReaderFrame down;
  down.set_daemon_error("nobody listens");
  const auto gone = Send(down);
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].kind, "pm2.daemon.gone");
  EXPECT_FALSE(state_.up());
  EXPECT_FALSE(state_.stopped_by_hand());
  EXPECT_TRUE(Send(down).empty());
  const auto back = List("online", 300, 8);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].kind, "pm2.daemon.back");
  EXPECT_TRUE(state_.up());
  // Replaced between two lists: process ids and counts begin anew.
  Exits({.status = "errored"});
  EXPECT_EQ(List("online", 400, 9).at(0).kind, "pm2.daemon.back");
  EXPECT_EQ(App().unplanned, 0);
}

// What a list can't tell is remembered while the daemon says nothing: why an app is stopped, and how often it
// crashed.
TEST_F(AppStateTest, ADaemonThatWasSilentForAWhileFindsWhatWasKnown) {
  Exits({.code = 4, .autorestart = false});
  Silence();
  List("stopped", 0);
  EXPECT_TRUE(App().given_up);
  EXPECT_FALSE(App().by_hand);
  Silence();
  List("stopped", 0, 8);
  EXPECT_FALSE(App().given_up) << "another daemon: nobody knows";
  EXPECT_TRUE(App().by_hand);
}

TEST_F(AppStateTest, ACrashLoopOutlivesASilentDaemon) {
  for (int i = 0; i < 2; ++i) {
    Exits({.restarts = i});
    Event("online", "launching", false, i + 1);
  }
  Silence();
  List("online", 103);
  EXPECT_EQ(App().recent_exits(now_), 2);
  Exits({.restarts = 2});
  now_ += 4 * kSecond;
  Silence();
  now_ += 4 * kSecond;
  List("waiting restart", 103);
  EXPECT_EQ(App().recent_exits(now_), 3);
  EXPECT_EQ(now_ - App().down_since, 8 * kSecond);
}

TEST_F(AppStateTest, AProcessAfterThisOneIsToldWhatPm2GaveUp) {
  List("online", 100, 7, 1000);
  Exits({.code = 4, .autorestart = false, .started_ms = 1000});
  List("stopped", 0, 7, 1000);
  const auto given_up = state_.given_up();
  ASSERT_EQ(given_up.size(), 1u);
  const auto anew = [&](int64_t daemon, int64_t started_ms, const std::string& status) {
    state_ = Pm2State();
    for (const auto& [pm_id, app] : given_up) state_.Recall(pm_id, app);
    List(status, 0, daemon, started_ms);
  };
  anew(7, 1000, "stopped");
  EXPECT_TRUE(App().given_up);
  EXPECT_FALSE(App().by_hand);
  anew(8, 1000, "stopped");
  EXPECT_TRUE(App().by_hand) << "another daemon's";
  EXPECT_FALSE(App().given_up);
  anew(7, 2000, "stopped");
  EXPECT_TRUE(App().by_hand) << "it was started since, and stopped by nobody knows whom";
  anew(7, 1000, "online");
  List("stopped", 0, 7, 1000);
  EXPECT_TRUE(App().by_hand) << "it ran when it was looked at first";
}

// The bus goes on while lists are late: what it says counts.
TEST_F(AppStateTest, EventsAreHeardWhileTheListIsLate) {
  Silence();
  Exits({.status = "errored"});
  EXPECT_FALSE(state_.up());
  EXPECT_TRUE(App().given_up);
  List("errored", 0);
  EXPECT_TRUE(App().given_up);
  EXPECT_EQ(App().unplanned, 1);
}

TEST_F(AppStateTest, ADaemonToldToEnd) {
  Event("kill", "");
  v1::ReaderFrame down;
  down.set_daemon_error("no such socket");
  Send(down);
  EXPECT_TRUE(state_.stopped_by_hand());
  List("online", 500, 10);
  EXPECT_FALSE(state_.stopped_by_hand());
}

TEST_F(AppStateTest, AnotherAppUnderTheSameId) {
  Exits({.status = "errored"});
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  frame.set_list_valid(true);
  frame.set_daemon_pid(7);
  v1::Pm2App* app = frame.add_apps();
  app->set_name("other");
  app->set_status("online");
  app->set_pid(100);
  Send(frame);
  EXPECT_EQ(App().app.name(), "other");
  EXPECT_FALSE(App().given_up);
  frame.clear_apps();
  Send(frame);
  EXPECT_TRUE(state_.apps().empty());
}

TEST(SignalTest, WhichAreFatal) {
  for (const char* fatal : {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS"}) EXPECT_TRUE(IsFatalSignal(fatal));
  for (const char* asked : {"", "SIGINT", "SIGTERM", "SIGHUP", "0"}) EXPECT_FALSE(IsFatalSignal(asked));
}

}  // namespace
}  // namespace quell::agent
