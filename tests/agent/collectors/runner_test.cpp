#include "agent/collectors/runner.h"

#include <gmock/gmock.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::RecordingSink;
using test::WaitFor;

class Scripted final : public Collector {
 public:
  Scripted(std::string name, std::function<absl::Status(CollectorSink&)> collect)
      : name_(std::move(name)), collect_(std::move(collect)) {}
  std::string_view name() const override { return name_; }
  Micros every() const override { return 10 * kMillisecond; }
  Micros patience() const override { return 200 * kMillisecond; }
  absl::Status Collect(Clock& clock, CollectorSink& sink) override {
    table_.Begin();
    table_.Put("m", {}, 1);
    sink.Add(table_.Finish(name_, clock.Monotonic()));
    return collect_(sink);
  }

 private:
  const std::string name_;
  const std::function<absl::Status(CollectorSink&)> collect_;
  SeriesTable table_;
};

std::unique_ptr<Collector> Good(std::string name) {
  return std::make_unique<Scripted>(std::move(name), [](CollectorSink&) { return absl::OkStatus(); });
}

double Up(RecordingSink& sink, const std::string& name) {
  const auto values = sink.Values("agent");
  const auto found = values.find("quell_collector_up{collector=\"" + name + "\"}");
  return found == values.end() ? -1 : found->second;
}

TEST(RunnerTest, AFailingCollectorIsToldOnceAndStopsNoOther) {
  RecordingSink sink;
  auto fails = std::make_shared<std::atomic<bool>>(true);
  CollectorRunner runner(RealClock(), sink);
  runner.Add(Good("good"));
  runner.Add(std::make_unique<Scripted>("bad", [fails](CollectorSink&) {
    return *fails ? absl::UnavailableError("the disk is on fire") : absl::OkStatus();
  }));
  runner.Start();
  ASSERT_TRUE(
      WaitFor([&] { return sink.EventsOf("collector.failed") == 1 && sink.Collections("good") > 20; }));
  ASSERT_TRUE(WaitFor([&] { return Up(sink, "bad") == 0 && Up(sink, "good") == 1; }));
  EXPECT_EQ(sink.Events()[0].text(), "the disk is on fire");
  EXPECT_EQ(sink.Events()[0].labels(0).value(), "bad");
  *fails = false;
  ASSERT_TRUE(WaitFor([&] { return sink.EventsOf("collector.recovered") == 1 && Up(sink, "bad") == 1; }));
  EXPECT_EQ(sink.EventsOf("collector.failed"), 1);
  runner.Stop();
}

TEST(RunnerTest, AHangingCollectorIsToldAndStopsNoOther) {
  RecordingSink sink;
  const auto let_go = std::make_shared<absl::Notification>();
  const auto ended = std::make_shared<absl::Notification>();
  {
    CollectorRunner runner(RealClock(), sink, 50 * kMillisecond);
    runner.Add(std::make_unique<Scripted>("stuck", [=](CollectorSink& s) {
      let_go->WaitForNotification();
      v1::Event late;
      late.set_kind("late");
      s.Add(std::move(late));
      if (!ended->HasBeenNotified()) ended->Notify();
      return absl::OkStatus();
    }));
    runner.Add(Good("good"));
    runner.Start();
    ASSERT_TRUE(WaitFor([&] { return sink.EventsOf("collector.hanging") == 1; }));
    ASSERT_TRUE(WaitFor([&] { return Up(sink, "stuck") == 0; }));
    const int before = sink.Collections("good");
    ASSERT_TRUE(WaitFor([&] { return sink.Collections("good") > before + 5; }));
    // The runner ends without it.
  }
  let_go->Notify();
  ended->WaitForNotification();
  EXPECT_EQ(sink.EventsOf("late"), 0);
}

// What feeds the watchdog: looks that found a collector which goes on.
TEST(RunnerTest, ALookAtCollectorsThatAllHangIsNoCycle) {
  RecordingSink sink;
  absl::Notification let_go;
  std::atomic<int> cycles{0};
  CollectorRunner runner(RealClock(), sink);
  runner.Add(std::make_unique<Scripted>("stuck", [&](CollectorSink&) {
    if (cycles > 1) let_go.WaitForNotification();
    return absl::OkStatus();
  }));
  runner.OnCycle([&] { ++cycles; });
  runner.Start();
  ASSERT_TRUE(WaitFor([&] { return sink.EventsOf("collector.hanging") == 1; }));
  const int before = cycles;
  EXPECT_GT(before, 1);
  const int told = sink.Collections("agent");
  ASSERT_TRUE(WaitFor([&] { return sink.Collections("agent") > told; }));  // it has looked since
  EXPECT_EQ(cycles, before);
  let_go.Notify();
  ASSERT_TRUE(WaitFor([&] { return cycles > before; }));
  runner.Stop();
}

TEST(RunnerTest, StopsWithoutDelay) {
  RecordingSink sink;
  CollectorRunner runner(RealClock(), sink);
  runner.Add(Good("good"));
  runner.Start();
  ASSERT_TRUE(WaitFor([&] { return sink.Collections("good") > 0; }));
  runner.Stop();
  const int after = sink.Collections("good");
  EXPECT_EQ(sink.Collections("good"), after);
  runner.Stop();
}

}  // namespace
}  // namespace quell::agent
