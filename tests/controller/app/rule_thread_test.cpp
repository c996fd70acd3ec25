#include "controller/app/rule_thread.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"

namespace quell::app {
namespace {

// A subject that is due when a test says so, and finds one edge per tick.
struct Subject {
  std::atomic<Micros> due{0};
  std::atomic<int> ticks{0};
  Micros NextDue() const { return due; }
  std::vector<v1::Payload> TakeEdges() { return std::exchange(edges, {}); }
  std::vector<v1::RuleState> TakeRuleStates() { return std::exchange(states, {}); }
  void Tick() {
    due = 0;
    ++ticks;
    v1::Payload edge;
    edge.mutable_signal_edge()->mutable_signal()->set_key("k");
    edges.push_back(edge);
    states.emplace_back();
  }
  std::vector<v1::Payload> edges;
  std::vector<v1::RuleState> states;
};

struct Engine {
  bool Post(InputClass input_class, EngineInput input) {
    absl::MutexLock lock(&mutex);
    if (full) return false;
    EXPECT_EQ(input_class, InputClass::kSignal);
    inputs.push_back(std::move(input));
    return true;
  }
  bool WaitFor(size_t count) {
    absl::MutexLock lock(&mutex);
    auto there = [this, count]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return inputs.size() >= count; };
    return mutex.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
  }
  absl::Mutex mutex;
  bool full ABSL_GUARDED_BY(mutex) = false;
  std::vector<EngineInput> inputs ABSL_GUARDED_BY(mutex);
};

class RuleThreadTest : public testing::Test {
 protected:
  RuleThreadTest()
      : thread_(
            "t", std::make_unique<Subject>(), [] { return Micros{1'000'000}; },
            [this](InputClass c, EngineInput i) { return engine_.Post(c, std::move(i)); },
            [](Subject& s, Micros) { s.Tick(); }) {}
  Engine engine_;
  RuleThread<Subject> thread_;
};

TEST_F(RuleThreadTest, EdgesAndTheirRuleStatesComeInOneInput) {
  thread_.subject().due = 5;
  thread_.Start();
  ASSERT_TRUE(engine_.WaitFor(1));
  absl::MutexLock lock(&engine_.mutex);
  EXPECT_EQ(engine_.inputs[0].payload.signal_edge().signal().key(), "k");
  EXPECT_EQ(engine_.inputs[0].rule_states.size(), 1u);
}

TEST_F(RuleThreadTest, AFullEngineLosesNoEdgeAndNothingNewIsEvaluated) {
  {
    absl::MutexLock lock(&engine_.mutex);
    engine_.full = true;
  }
  thread_.subject().due = 5;
  thread_.Start();
  while (thread_.subject().ticks == 0)
    ASSERT_TRUE(thread_.RunAndWait([](Subject&, Micros) {}, absl::Seconds(20)));
  thread_.subject().due = 6;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(thread_.RunAndWait([](Subject&, Micros) {}, absl::Seconds(20)));
  EXPECT_EQ(thread_.subject().ticks, 1);
  {
    absl::MutexLock lock(&engine_.mutex);
    engine_.full = false;
  }
  EXPECT_TRUE(engine_.WaitFor(2));
}

TEST_F(RuleThreadTest, ATaskWhoseWaiterHasGoneNeverRuns) {
  absl::Notification entered, leave;
  std::atomic<bool> ran{false};
  thread_.Start();
  thread_.Submit([&](Subject&, Micros) {
    entered.Notify();
    leave.WaitForNotification();
  });
  entered.WaitForNotification();
  EXPECT_FALSE(thread_.RunAndWait([&](Subject&, Micros) { ran = true; }, absl::Milliseconds(1)));
  leave.Notify();
  EXPECT_TRUE(thread_.RunAndWait([](Subject&, Micros) {}, absl::Seconds(20)));
  EXPECT_FALSE(ran);
  thread_.Stop();  // it may still be on its way out of `leave`
}

TEST_F(RuleThreadTest, TelemetryIsShedFirstAndCounted) {
  absl::Notification entered, leave;
  thread_.Start();
  thread_.Submit([&](Subject&, Micros) {
    entered.Notify();
    leave.WaitForNotification();
  });
  entered.WaitForNotification();
  for (int i = 0; i < 16'384; ++i) ASSERT_TRUE(thread_.SubmitTelemetry([](Subject&, Micros) {}));
  EXPECT_FALSE(thread_.SubmitTelemetry([](Subject&, Micros) {}));
  EXPECT_EQ(thread_.shed(), 1u);
  EXPECT_TRUE(thread_.Submit([](Subject&, Micros) {}));
  leave.Notify();
  thread_.Stop();  // it may still be on its way out of `leave`
}

// A condition that is never watched would never come true, and its remedy would count as one that failed.
TEST_F(RuleThreadTest, AFullQueueRefusesAndCountsButKeepsWhatMustNotBeLost) {
  absl::Notification go;
  std::vector<std::string> ran;
  thread_.Start();
  absl::Notification busy;
  ASSERT_TRUE(thread_.Submit([&](Subject&, Micros) {
    busy.Notify();
    go.WaitForNotification();
  }));
  busy.WaitForNotification();
  while (thread_.Submit([](Subject&, Micros) {})) {
  }
  EXPECT_EQ(thread_.refused(), 1u);
  auto note = [&](const char* what) { return [&ran, what](Subject&, Micros) { ran.emplace_back(what); }; };
  thread_.SubmitSurely("watch a", note("set a"));
  thread_.SubmitSurely("watch b", note("set b"));
  thread_.SubmitSurely("watch a", note("end a"));
  absl::Notification last;
  thread_.SubmitSurely("z", [&](Subject&, Micros) { last.Notify(); });
  go.Notify();
  ASSERT_TRUE(last.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(ran, (std::vector<std::string>{"end a", "set b"})) << "the newest word of each name";
}

}  // namespace
}  // namespace quell::app
