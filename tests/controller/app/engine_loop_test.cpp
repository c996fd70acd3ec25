// The engine's and the store's thread over a store that a test can let fail.
#include "controller/app/engine_loop.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "tests/support/wait.h"

namespace quell::app {
namespace {

class Store final : public engine::LogStore {
 public:
  absl::StatusOr<engine::Recovered> Recover() override { return engine::Recovered(); }
  absl::StatusOr<engine::LogHead> Commit(const engine::CommitGroup& group) override {
    if (absl::Notification* stuck = stuck_) stuck->WaitForNotification();
    for (const engine::Record& record : group.records) head_.seq = record.header.seq();
    rows_.insert(rows_.end(), group.rows.begin(), group.rows.end());
    return head_;
  }
  absl::Status SaveSnapshot(const v1::Snapshot&, const std::string&) override {
    ++snapshots_;
    return snapshot_;
  }
  engine::LogHead head_;
  std::vector<engine::ProjectionRow> rows_;
  absl::Status snapshot_;
  std::atomic<absl::Notification*> stuck_{nullptr};  // commits wait for it
  int snapshots_ = 0;
};

class NoRim : public Rim {
 public:
  void Send(const v1::CommandEntry&) override {}
  void Cancel(const std::string&, const std::string&) override {}
  void Send(const v1::Notice&) override {}
  void Start(const v1::Watch&) override {}
  void Stop(const std::string&) override {}
  void Reply(const engine::Answer&) override {}
  void HeadMoved(const engine::LogHead&) override {}
  void Take(const v1::Host&) override {}
};

std::vector<EngineInput> Started() {
  std::vector<EngineInput> first(1);
  first[0].source = "app";
  first[0].payload.mutable_controller_started()->set_epoch_number(1);
  return first;
}

EngineInput Note(int n) {
  EngineInput input;
  input.source = "person:alice";
  v1::PersonAct& act = *input.payload.mutable_person_act();
  act.set_person("alice");
  if (n == 0) act.mutable_declare()->set_title("the shop is slow");
  if (n != 0) act.mutable_note()->set_text("note " + std::to_string(n));
  return input;
}

class ToldRim final : public NoRim {
 public:
  void Send(const v1::CommandEntry& command) override { sent_.push_back(command.id()); }
  void Cancel(const std::string& command, const std::string&) override { cancelled_.push_back(command); }
  void Send(const v1::Notice&) override {}
  std::vector<std::string> sent_, cancelled_;
};

class EngineLoopTest : public testing::Test {
 protected:
  void RunAndStop() {
    EngineLoop loop(store_, RealClock(), engine::State(), rim_);
    for (int n = 0; n < 100; ++n) EXPECT_TRUE(loop.Post(InputClass::kPerson, Note(n)));
    loop.Start(Started());
    loop.Stop();
    failed_ = loop.snapshots_failed();
  }
  Store store_;
  NoRim rim_;
  uint64_t failed_ = 0;
};

TEST_F(EngineLoopTest, ASnapshotThatFindsNoRoomIsCountedAndTheLogGoesOn) {
  store_.snapshot_ = absl::ResourceExhaustedError("database or disk is full");
  RunAndStop();
  EXPECT_EQ(store_.snapshots_, 1);
  EXPECT_EQ(failed_, 1u);
  EXPECT_GT(store_.head_.seq, 200u);
}

TEST_F(EngineLoopTest, ASnapshotThatFindsTheFileDamagedEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  store_.snapshot_ = absl::DataLossError("database disk image is malformed");
  EXPECT_DEATH(RunAndStop(), "nothing on it may be trusted: database disk image is malformed");
}

// What feeds the watchdog: a store that hangs in a commit has not come round, however often the engine does.
TEST_F(EngineLoopTest, BothThreadsTellThatTheyCameRoundAndAHangingCommitDoesNot) {
  std::atomic<int> rounds[EngineLoop::kThreads] = {};
  absl::Notification let_go;
  EngineLoop loop(store_, RealClock(), engine::State(), rim_);
  loop.OnCycle([&](EngineLoop::Thread thread) { ++rounds[thread]; });
  loop.Start(Started());
  const auto further = [&](EngineLoop::Thread thread) {
    const int before = rounds[thread];
    return test::WaitFor([&, before] { return rounds[thread] > before + 1; });
  };
  EXPECT_TRUE(further(EngineLoop::kEngine) && further(EngineLoop::kStore));
  store_.stuck_ = &let_go;
  EXPECT_TRUE(loop.Post(InputClass::kPerson, Note(0)));
  EXPECT_TRUE(further(EngineLoop::kEngine));
  const int stands = rounds[EngineLoop::kStore];
  EXPECT_TRUE(further(EngineLoop::kEngine) && further(EngineLoop::kEngine));
  EXPECT_LE(rounds[EngineLoop::kStore], stands + 1);
  let_go.Notify();
  EXPECT_TRUE(further(EngineLoop::kStore));
  loop.Stop();
}

// What the log says is cancelled is not handed over after the commit that says so.
TEST_F(EngineLoopTest, ACommandThatIsCancelledInTheSameCommitIsNotSent) {
  ToldRim rim;
  EngineLoop loop(store_, RealClock(), engine::State(), rim);
  EngineInput host;
  host.source = "shard";
  v1::HostEdge& edge = *host.payload.mutable_host_edge();
  edge.set_kind(v1::HostEdge::HOST_CONNECTED);
  edge.mutable_host()->set_id("h1");
  edge.mutable_host()->set_name("web-1");
  edge.mutable_host()->set_executor_connected(true);
  edge.mutable_host()->add_actions("pm2.restart");
  std::vector<EngineInput> first = Started();
  first.push_back(std::move(host));
  EngineInput run = Note(1);
  v1::RunAct& act = *run.payload.mutable_person_act()->mutable_run();
  act.add_hosts("h1");
  act.mutable_action()->mutable_pm2_restart()->set_user("deploy");
  act.mutable_action()->mutable_pm2_restart()->set_app("portal");
  EXPECT_TRUE(loop.Post(InputClass::kPerson, std::move(run)));
  EngineInput hold = Note(1);
  hold.payload.mutable_person_act()->mutable_hold()->set_scope("all");
  EXPECT_TRUE(loop.Post(InputClass::kPerson, std::move(hold)));
  loop.Start(std::move(first));
  loop.Stop();
  ASSERT_EQ(rim.cancelled_.size(), 1u);
  EXPECT_EQ(rim.sent_, std::vector<std::string>());
}

TEST_F(EngineLoopTest, AnIncidentThatABatchTouchesOftenGetsOneRowOfIt) {
  RunAndStop();
  size_t incidents = 0;
  v1::Incident last;
  for (const engine::ProjectionRow& row : store_.rows_) {
    if (row.kind != "incident") continue;
    ++incidents;
    ASSERT_TRUE(last.ParseFromString(row.message));
  }
  EXPECT_LE(incidents, 3u) << "of a hundred acts that came at once";
  EXPECT_EQ(last.timeline(last.timeline_size() - 1).text(), "note 99") << "the last one is how it ended";
}

}  // namespace
}  // namespace quell::app
