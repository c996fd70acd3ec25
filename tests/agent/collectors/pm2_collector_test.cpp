// The collector against frames that a test sends; what a real PM2 makes of it is in pm2_real_test.cpp.
#include "agent/collectors/pm2/pm2_collector.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/disk.h"
#include "common/base/file.h"
#include "common/metrics/metrics.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::RecordingSink;
using test::WaitFor;
using testing::HasSubstr;

const std::string kRoot = std::string(QUELL_SOURCE_DIR) + "/tests/fixtures/proc-small";

// Set by the test while the collector's own thread reads it.
class SharedClock final : public Clock {
 public:
  Micros Wall() override { return Read(&Clock::Wall); }
  Micros Monotonic() override { return Read(&Clock::Monotonic); }
  Micros Boot() override { return Read(&Clock::Boot); }
  void Advance(Micros d) {
    absl::MutexLock lock(&mutex_);
    clock_.Advance(d);
  }

 private:
  Micros Read(Micros (Clock::*which)()) {
    absl::MutexLock lock(&mutex_);
    return (clock_.*which)();
  }
  absl::Mutex mutex_;
  FakeClock clock_ ABSL_GUARDED_BY(mutex_);
};

class Pm2CollectorTest : public testing::Test {
 protected:
  void SetUp() override { Attach(); }
  void Attach() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    reader_.reset(ends[0]);
    collector_.Attach("deploy", ends[1]);
  }
  void SendBytes(const std::string& bytes) {
    ASSERT_EQ(send(reader_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void Send(const v1::ReaderFrame& frame) {
    const std::string body = frame.SerializeAsString();
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(body.size() >> shift));
    SendBytes(bytes + body);
  }
  static v1::ReaderFrame ListFrame() {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    frame.set_list_valid(true);
    frame.set_daemon_pid(7);
    v1::Pm2App* app = frame.add_apps();
    app->set_name("web");
    app->set_pm_id(4);
    app->set_status("online");
    app->set_pid(4711);
    app->set_started_ms(1795403704314);
    app->set_restarts(2);
    app->set_restart_delay_ms(1500);
    app->set_max_memory_bytes(1 << 20);
    v1::Pm2Metric* lag = app->add_metrics();
    lag->set_name("Event Loop Latency p95");
    lag->set_value(7.5);
    return frame;
  }
  std::map<std::string, double> Collect() {
    status_ = collector_.Collect(clock_, sink_);
    return sink_.Values("pm2");
  }
  bool CollectUntil(const std::string& series, double value) {
    return WaitFor([&] {
      const auto values = Collect();
      const auto found = values.find(series);
      return found != values.end() && found->second == value;
    });
  }

  SharedClock clock_;
  RecordingSink sink_;
  Pm2Collector collector_{kRoot, {"deploy"}, kSecond, clock_, sink_};
  UniqueFd reader_;
  absl::Status status_;
};

const char kApp[] = R"({app="web", pm_id="4", user="deploy"})";

TEST_F(Pm2CollectorTest, SeriesOfAnApp) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  const auto values = Collect();
  const std::map<std::string, double> expected = {{"pm2_app_online", 1},
                                                  {"pm2_app_pid", 4711},
                                                  {"pm2_app_started_seconds", 1795403704.314},
                                                  {"pm2_app_restarts", 2},
                                                  {"pm2_app_restart_delay_seconds", 1.5},
                                                  {"pm2_app_status", 1},
                                                  {"pm2_app_given_up", 0},
                                                  {"pm2_app_stopped_by_hand", 0},
                                                  {"pm2_app_waiting", 0},
                                                  {"pm2_app_down_seconds", 0},
                                                  {"pm2_app_without_process", 0},
                                                  {"pm2_app_unplanned_exits_total", 0},
                                                  {"pm2_app_unplanned_exits_5m", 0},
                                                  {"pm2_app_cpu_seconds_total", 2},
                                                  {"pm2_app_resident_memory_bytes", 25600.0 * 4096},
                                                  {"pm2_app_threads", 11},
                                                  {"pm2_app_max_memory_bytes", 1 << 20},
                                                  {"pm2_app_event_loop_lag_p95_seconds", 0.0075}};
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(values.count(name + kApp), 1u) << name;
    EXPECT_DOUBLE_EQ(values.at(name + kApp), value) << name;
  }
  for (const Series& series : *sink_.Latest("pm2").series)
    EXPECT_NE(FindMetric(series.name), nullptr) << series.name;
  EXPECT_TRUE(status_.ok()) << status_;
}

TEST_F(Pm2CollectorTest, AnExitIsPushedWithWhatItChanges) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  v1::Pm2Event* event = frame.add_events();
  event->set_event("exit");
  event->set_app("web");
  event->set_pm_id(4);
  event->set_status("stopped");
  event->set_exit_code(3);
  event->set_signal("SIGKILL");
  event->set_started_ms(1795403709000);  // started again since the list
  Send(frame);
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.exit", "web") == 1; }));
  const v1::Event pushed = sink_.Events()[0];
  EXPECT_THAT(pushed.text(), HasSubstr("SIGKILL"));
  ASSERT_EQ(pushed.labels_size(), 3);
  EXPECT_EQ(pushed.labels(0).name(), "app");
  EXPECT_EQ(pushed.labels(1).value(), "4");
  EXPECT_EQ(pushed.labels(2).value(), "deploy");
  EXPECT_GT(pushed.monotonic_us(), sink_.Latest("pm2").monotonic);
  std::map<std::string, double> samples;
  for (const v1::EventSample& sample : pushed.samples()) {
    EXPECT_EQ(sample.job(), "pm2");
    EXPECT_EQ(sample.series().labels_size(), 3);
    samples[sample.series().name()] = sample.value();
  }
  // autorestart is off in the event: PM2 has given up.
  EXPECT_EQ(samples.at("pm2_app_given_up"), 1);
  EXPECT_EQ(samples.at("pm2_app_online"), 0);
  EXPECT_EQ(samples.at("pm2_app_pid"), 0);
  EXPECT_EQ(samples.at("pm2_app_started_seconds"), 1795403709.0);
  EXPECT_EQ(Collect().at(std::string("pm2_app_given_up") + kApp), 1);
}

TEST_F(Pm2CollectorTest, AStartIsPushedWithItsTimeAndNoOldProcess) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  v1::Pm2Event* event = frame.add_events();
  event->set_event("online");
  event->set_app("web");
  event->set_pm_id(4);
  event->set_status("launching");
  event->set_started_ms(1795403709000);
  Send(frame);
  ASSERT_TRUE(WaitFor([&] { return sink_.EventsOf("pm2.online", "web") == 1; }));
  std::map<std::string, double> samples;
  const v1::Event pushed = sink_.Events()[0];
  for (const v1::EventSample& sample : pushed.samples()) samples[sample.series().name()] = sample.value();
  EXPECT_EQ(samples.at("pm2_app_started_seconds"), 1795403709.0);
  EXPECT_EQ(samples.at("pm2_app_pid"), -1);
  EXPECT_EQ(Collect().at(std::string("pm2_app_pid") + kApp), -1);
}

// X07_: one user's apps (or a reader that lies) can't fill the spool.
TEST_F(Pm2CollectorTest, X07_EventsHaveABudget) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  for (int i = 0; i < 20; ++i) {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    for (int k = 0; k < 50; ++k) {
      v1::Pm2Event* event = frame.add_events();
      event->set_event("online");
      event->set_app("web");
      event->set_pm_id(4);
    }
    Send(frame);
  }
  ASSERT_TRUE(CollectUntil(R"(pm2_reader_events_dropped_total{user="deploy"})", 700));
  EXPECT_EQ(sink_.EventsOf("pm2.online"), 300);
  EXPECT_EQ(Collect().at(std::string("pm2_app_online") + kApp), 1);
}

TEST_F(Pm2CollectorTest, AVanishedProcessIsWithoutProcess) {
  const test::TempDir dir;
  Pm2Collector collector(dir.path(), {"deploy"}, kSecond, clock_, sink_);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  reader_.reset(ends[0]);
  collector.Attach("deploy", ends[1]);
  const std::string stat = test::ReadFile(kRoot + "/proc/4711/stat");
  dir.Write("proc/4711/stat", stat);
  Send(ListFrame());
  const auto without = [&] {
    EXPECT_TRUE(collector.Collect(clock_, sink_).ok());
    const auto values = sink_.Values("pm2");
    const auto found = values.find(std::string("pm2_app_without_process") + kApp);
    return found == values.end() ? -1 : found->second;
  };
  ASSERT_TRUE(WaitFor([&] { return without() == 0; }));
  // The same id, and another start: another process.
  std::string other = stat;
  other.replace(other.find("777777"), 6, "888888");
  dir.Write("proc/4711/stat", other);
  EXPECT_EQ(without(), 1);
  EXPECT_EQ(sink_.Values("pm2").count(std::string("pm2_app_cpu_seconds_total") + kApp), 0u);
  // A pid that /proc never showed us says nothing: it may be hidden.
  v1::ReaderFrame hidden = ListFrame();
  hidden.mutable_apps(0)->set_pid(99);
  Send(hidden);
  ASSERT_TRUE(WaitFor([&] { return without() == 0; }));
}

TEST_F(Pm2CollectorTest, ADaemonThatIsDownEndsItsAppsSeries) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(std::string("pm2_app_online") + kApp, 1));
  v1::ReaderFrame down;
  down.set_daemon_error("nobody listens");
  Send(down);
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 0));
  EXPECT_EQ(Collect().count(std::string("pm2_app_online") + kApp), 0u);
  EXPECT_EQ(sink_.EventsOf("pm2.daemon.gone"), 1);
  EXPECT_TRUE(status_.ok()) << status_;
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  EXPECT_EQ(Collect().at(std::string("pm2_app_online") + kApp), 1);
}

TEST_F(Pm2CollectorTest, WhatPm2GaveUpOutlivesTheAgent) {
  MemoryDisk disk;
  const std::string given_up = std::string("pm2_app_given_up") + kApp;
  v1::ReaderFrame stopped = ListFrame();
  stopped.mutable_apps(0)->set_status("stopped");
  stopped.mutable_apps(0)->set_pid(0);
  for (const double expected : {0, 1, 1}) {
    Pm2Collector collector(kRoot, {"deploy"}, kSecond, clock_, sink_, disk, "/state/pm2");
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    reader_.reset(ends[0]);
    collector.Attach("deploy", ends[1]);
    const auto becomes = [&](double value) {
      return WaitFor([&] {
        EXPECT_TRUE(collector.Collect(clock_, sink_).ok());
        const auto values = sink_.Values("pm2");
        return values.count(given_up) != 0 && values.at(given_up) == value;
      });
    };
    Send(expected == 0 ? ListFrame() : stopped);
    EXPECT_TRUE(becomes(expected));
    if (expected == 1) continue;
    v1::ReaderFrame exit;
    exit.set_daemon_up(true);
    v1::Pm2Event* event = exit.add_events();
    event->set_event("exit");
    event->set_app("web");
    event->set_pm_id(4);
    event->set_status("stopped");
    event->set_exit_code(3);
    Send(exit);
    EXPECT_TRUE(becomes(1));
  }
  EXPECT_EQ(*disk.Read("/state/pm2", 1000), "deploy/4\t7 1795403704314 web\n");
}

TEST_F(Pm2CollectorTest, AReaderThatGoesIsMissedAfterAGrace) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  reader_.reset();
  clock_.Advance(kSecond);
  ASSERT_TRUE(WaitFor([&] {
    clock_.Advance(kSecond);
    Collect();
    return !status_.ok();
  }));
  EXPECT_THAT(std::string(status_.message()), HasSubstr("deploy"));
  EXPECT_TRUE(sink_.Values("pm2").empty());
  // Another one takes its place; what was known stays known.
  Attach();
  EXPECT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  EXPECT_TRUE(status_.ok());
}

TEST_F(Pm2CollectorTest, SilenceIsMissedToo) {
  Send(ListFrame());
  ASSERT_TRUE(CollectUntil(R"(pm2_up{user="deploy"})", 1));
  clock_.Advance(Pm2Collector::kSilence + kSecond);
  Collect();
  EXPECT_FALSE(status_.ok());
}

TEST_F(Pm2CollectorTest, AReaderThatSendsNonsenseIsLetGo) {
  SendBytes(std::string("\xff\xff\xff\xff", 4));
  char byte = 0;
  ASSERT_TRUE(WaitFor([&] { return recv(reader_.get(), &byte, 1, MSG_DONTWAIT) == 0; }));
  Attach();
  SendBytes(std::string("\x03\x00\x00\x00\xff\xff\xff", 7));
  ASSERT_TRUE(WaitFor([&] { return recv(reader_.get(), &byte, 1, MSG_DONTWAIT) == 0; }));
}

TEST_F(Pm2CollectorTest, AUserWhoIsNotConfiguredIsRefused) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd theirs(ends[0]);
  collector_.Attach("mallory", ends[1]);
  char byte = 0;
  EXPECT_EQ(recv(theirs.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace quell::agent
