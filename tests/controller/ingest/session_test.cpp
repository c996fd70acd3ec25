// The controller's side of a stream, without gRPC: who speaks, time, budgets, acknowledgements, what ends a
// stream.
#include "controller/ingest/session.h"

#include <gtest/gtest.h>

#include "common/wire/encoder.h"
#include "tests/controller/ingest/fakes.h"

namespace quell::ingest {
namespace {

constexpr Micros kT0 = 1'795'000'000 * kSecond;
constexpr char kId[] = "9f0f6c0e-0000-4000-8000-000000000001";

class AgentSessionTest : public testing::Test {
 protected:
  AgentSessionTest() {
    options_.version = "0.1.0";
    options_.epoch_number = 7;
    options_.epoch_start = std::string(16, 'e');
  }
  void SetUp() override { Reconnect(); }
  void Reconnect() {
    session_ =
        std::make_unique<AgentSession>(HostRecord{kId, "web-1", {}}, options_, shard_, registry_, counters_);
    output_ = std::make_shared<RecordingOutput>();
    encoder_.reset();
    number_ = 0;
  }
  absl::Status Take(const v1::AgentFrame& frame, size_t bytes = 100) {
    return session_->OnFrame(frame, bytes, now_, output_);
  }
  v1::AgentFrame HelloFrame() {
    v1::AgentFrame frame;
    v1::Hello* hello = frame.mutable_hello();
    hello->set_agent_start(std::string(16, 'r'));
    hello->set_boot_id("boot");
    hello->set_monotonic_us(Monotonic());
    hello->set_wall_us(now_);
    hello->set_host_id(kId);
    return frame;
  }
  void Greet() { ASSERT_TRUE(Take(HelloFrame()).ok()); }
  Micros Monotonic() const { return kHour + (now_ - kT0); }
  absl::Status Beat(Micros skew = 0) {
    v1::AgentFrame frame;
    v1::Heartbeat* beat = frame.mutable_heartbeat();
    beat->set_monotonic_us(Monotonic());
    beat->set_wall_us(now_ + skew);
    beat->set_executor_connected(true);
    beat->set_nonce("nonce");
    return Take(frame);
  }
  v1::Layout MakeLayout(uint32_t id, int series, size_t label_bytes = 1) {
    v1::Layout layout;
    layout.set_id(id);
    layout.set_collector("host");
    for (int i = 0; i < series; ++i) {
      v1::SeriesDefinition* row = layout.add_series();
      row->set_name("m" + std::to_string(i));
      v1::Label* label = row->add_labels();
      label->set_name("x");
      label->set_value(std::string(label_bytes, 'v'));
    }
    return layout;
  }
  v1::AgentFrame SampleFrame(double value, Micros offset, bool define) {
    v1::AgentFrame frame;
    if (define) *frame.add_layouts() = MakeLayout(1, 1);
    if (encoder_ == nullptr) encoder_ = std::make_unique<wire::BatchEncoder>(1, 1);
    encoder_->Encode(std::vector<double>{value}, offset, ++number_, frame.add_batches());
    return frame;
  }
  v1::AgentFrame EventFrame(std::vector<uint64_t> seqs) {
    v1::AgentFrame frame;
    for (uint64_t seq : seqs) {
      v1::Event* event = frame.add_events();
      event->set_seq(seq);
      event->set_kind("pm2.exit");
      event->set_boot_id("boot");
      event->set_monotonic_us(Monotonic() - kSecond);
      event->set_wall_us(now_ - kSecond);
    }
    return frame;
  }
  v1::AgentFrame ReportFrame(uint64_t seq) {
    v1::AgentFrame frame;
    v1::CommandReport* report = frame.add_reports();
    report->set_seq(seq);
    report->set_id(std::string(16, 'c'));
    report->set_outcome(v1::OUTCOME_SUCCEEDED);
    report->set_wall_us(now_);
    report->set_monotonic_us(Monotonic());
    return frame;
  }
  std::vector<double> Values(const std::string& metric) {
    return shard_.seen().values[std::string(kId) + "/" + metric];
  }
  std::vector<Micros> Times(const std::string& metric) {
    return shard_.seen().times[std::string(kId) + "/" + metric];
  }

  IngestOptions options_;
  RecordingShard shard_;
  SessionRegistry registry_;
  IngestCounters counters_;
  std::unique_ptr<AgentSession> session_;
  std::shared_ptr<RecordingOutput> output_;
  std::unique_ptr<wire::BatchEncoder> encoder_;
  uint64_t number_ = 0;
  Micros now_ = kT0;
};

TEST_F(AgentSessionTest, AHelloIsWelcomed) {
  Greet();
  const v1::ControllerFrame frame = output_->last();
  EXPECT_EQ(frame.welcome().host_name(), "web-1");
  EXPECT_EQ(frame.welcome().host_id(), kId);
  EXPECT_EQ(frame.welcome().epoch_number(), 7u);
  EXPECT_EQ(frame.welcome().samples_from_us(), 0);
  EXPECT_EQ(shard_.seen().opened, std::vector<std::string>{kId});
  EXPECT_TRUE(registry_.IsOpen(kId));
  session_->OnEnd(now_);
  EXPECT_FALSE(registry_.IsOpen(kId));
  EXPECT_EQ(shard_.seen().closed, std::vector<std::string>{kId});
}

TEST_F(AgentSessionTest, WithoutAHelloNothingIsTaken) {
  EXPECT_EQ(Beat().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(shard_.seen().heartbeats.empty());
}

TEST_F(AgentSessionTest, ASecondHelloEndsTheStream) {
  Greet();
  EXPECT_EQ(Take(HelloFrame()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AgentSessionTest, X05_AnotherHostsIdEndsTheStream) {
  v1::AgentFrame frame = HelloFrame();
  frame.mutable_hello()->set_host_id("9f0f6c0e-0000-4000-8000-000000000002");
  EXPECT_EQ(Take(frame).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(shard_.seen().opened.empty());
  EXPECT_EQ(shard_.seen().refused.size(), 1u);
}

TEST_F(AgentSessionTest, X05_AnotherHostsNameIsAWishThatChangesNothing) {
  v1::AgentFrame frame = HelloFrame();
  frame.mutable_hello()->set_host_name("db-1");
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(output_->last().welcome().host_name(), "web-1");
}

TEST_F(AgentSessionTest, X05_InstanceInALabelEndsTheStream) {
  Greet();
  v1::AgentFrame frame;
  *frame.add_layouts() = MakeLayout(1, 1);
  frame.mutable_layouts(0)->mutable_series(0)->mutable_labels(0)->set_name("instance");
  EXPECT_EQ(Take(frame).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AgentSessionTest, SamplesGetEngineTime) {
  Greet();
  now_ += 10 * kSecond;
  ASSERT_TRUE(Take(SampleFrame(5, 9 * kSecond, true)).ok());
  EXPECT_EQ(Values("m0"), std::vector<double>{5});
  EXPECT_EQ(Times("m0"), std::vector<Micros>{kT0 + 9 * kSecond});
  ASSERT_TRUE(Take(SampleFrame(6, -30 * kSecond, false)).ok());
  EXPECT_EQ(Times("m0").back(), kT0 - 30 * kSecond);
  EXPECT_EQ(shard_.seen().live, (std::vector<bool>{true, false}));
}

TEST_F(AgentSessionTest, SamplesFromTheFutureAreDroppedAndCounted) {
  Greet();
  ASSERT_TRUE(Take(SampleFrame(5, kMinute, true)).ok());
  EXPECT_TRUE(Values("m0").empty());
  EXPECT_EQ(counters_.samples_misdated, 1u);
  ASSERT_TRUE(Take(SampleFrame(5, 2 * kSecond, false)).ok());  // a little ahead: now
  EXPECT_EQ(Times("m0"), std::vector<Micros>{kT0});
}

TEST_F(AgentSessionTest, AControllerThatKeptSamplesAsksForTheRest) {
  Greet();
  now_ += 10 * kSecond;
  ASSERT_TRUE(Take(SampleFrame(5, 9 * kSecond, true)).ok());
  session_->OnEnd(now_);
  Reconnect();
  Greet();
  EXPECT_EQ(output_->last().welcome().samples_from_us(), kHour + 9 * kSecond + 1);
}

TEST_F(AgentSessionTest, AfterARebootEverythingIsAskedFor) {
  Greet();
  ASSERT_TRUE(Take(SampleFrame(5, 0, true)).ok());
  session_->OnEnd(now_);
  Reconnect();
  v1::AgentFrame frame = HelloFrame();
  frame.mutable_hello()->set_boot_id("another");
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(output_->last().welcome().samples_from_us(), 0);
}

TEST_F(AgentSessionTest, ANewStreamOfAHostReplacesTheOld) {
  Greet();
  const auto first = output_;
  Reconnect();
  Greet();
  ASSERT_TRUE(first->ended().has_value());
  EXPECT_EQ(first->ended()->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(registry_.open(), 1u);
}

TEST_F(AgentSessionTest, AnUnknownLayoutEndsTheStream) {
  Greet();
  EXPECT_EQ(Take(SampleFrame(5, 0, false)).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AgentSessionTest, EventsAreTakenOnceAndAcknowledgedAfterTheirCommit) {
  Greet();
  ASSERT_TRUE(Take(EventFrame({11, 12})).ok());
  EXPECT_EQ(shard_.seen().events_through, 12u);
  EXPECT_EQ(shard_.seen().event_times[0], kT0 - kSecond);
  EXPECT_EQ(output_->frames().size(), 1u);  // the welcome; nothing is committed yet
  registry_.AckEvents(kId, 12);
  EXPECT_EQ(output_->last().events_acked(), 12u);
}

TEST_F(AgentSessionTest, WhatIsOnItsWayComesAgainAndIsNotTakenTwice) {
  Greet();
  ASSERT_TRUE(Take(EventFrame({11, 12})).ok());
  Reconnect();
  Greet();
  ASSERT_TRUE(Take(EventFrame({11, 12})).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 2u);
  EXPECT_EQ(counters_.repeated, 2u);
  EXPECT_EQ(output_->last().events_acked(), 0u);  // not committed: not acknowledged
  registry_.AckEvents(kId, 12);
  EXPECT_EQ(output_->last().events_acked(), 12u);
  ASSERT_TRUE(Take(EventFrame({11, 12})).ok());  // the acknowledgement was lost
  EXPECT_EQ(output_->last().events_acked(), 12u);
  EXPECT_EQ(shard_.seen().kinds.size(), 2u);
}

TEST_F(AgentSessionTest, WhatCouldNotBeKeptIsAskedForAgain) {
  Greet();
  ASSERT_TRUE(Take(EventFrame({11, 12})).ok());
  registry_.AckEvents(kId, 11);
  registry_.AskAgain(kId, "the log has no room");
  EXPECT_EQ(output_->ended()->code(), absl::StatusCode::kResourceExhausted);
  Reconnect();
  Greet();
  ASSERT_TRUE(Take(EventFrame({12})).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 3u);
}

TEST_F(AgentSessionTest, AfterAStartTheLogSaysWhatIsCommitted) {
  registry_.Restore(kId, 12, 3);
  Greet();
  ASSERT_TRUE(Take(EventFrame({11, 12, 13})).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 1u);
  ASSERT_TRUE(Take(ReportFrame(3)).ok());
  EXPECT_TRUE(shard_.seen().outcomes.empty());
  EXPECT_EQ(output_->last().reports_acked(), 3u);
}

TEST_F(AgentSessionTest, AFullShardEndsTheStreamForEventsAndResultsNotForSamples) {
  Greet();
  shard_.set_full(true);
  EXPECT_TRUE(Take(SampleFrame(5, 0, true)).ok());
  EXPECT_EQ(counters_.samples_shed, 1u);
  EXPECT_EQ(Take(EventFrame({1})).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Take(ReportFrame(1)).code(), absl::StatusCode::kResourceExhausted);
  shard_.set_full(false);
  EXPECT_TRUE(Take(EventFrame({1})).ok());
  EXPECT_TRUE(Take(ReportFrame(1)).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 1u);
  EXPECT_EQ(shard_.seen().outcomes.size(), 1u);
}

TEST_F(AgentSessionTest, EventsOutOfOrderEndTheStream) {
  Greet();
  EXPECT_EQ(Take(EventFrame({12, 11})).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AgentSessionTest, ReportsGetTheHostsTimeAndGoOn) {
  Greet();
  ASSERT_TRUE(Take(ReportFrame(4)).ok());
  EXPECT_EQ(shard_.seen().outcomes, std::vector<std::string>{std::string(kId) + "/OUTCOME_SUCCEEDED"});
  registry_.AckReports(kId, 4);
  EXPECT_EQ(output_->last().reports_acked(), 4u);
}

TEST_F(AgentSessionTest, TheNewestNonceIsKeptWhileTheStreamLives) {
  Greet();
  EXPECT_EQ(registry_.Nonce(kId), std::nullopt);
  ASSERT_TRUE(Beat().ok());
  EXPECT_EQ(registry_.Nonce(kId), "nonce");
  EXPECT_TRUE(registry_.SendCommand(kId, v1::SignedCommand()).ok());
  EXPECT_EQ(output_->last().commands_size(), 1);
  session_->OnEnd(now_);
  EXPECT_EQ(registry_.Nonce(kId), std::nullopt);
  EXPECT_EQ(registry_.SendCommand(kId, v1::SignedCommand()).code(), absl::StatusCode::kNotFound);
}

TEST_F(AgentSessionTest, NoCommandToAHostWithoutRoomForItsResult) {
  Greet();
  v1::AgentFrame frame;
  frame.mutable_heartbeat()->set_monotonic_us(Monotonic());
  frame.mutable_heartbeat()->set_executor_connected(true);
  frame.mutable_heartbeat()->set_results_full(true);
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(registry_.SendCommand(kId, v1::SignedCommand()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(AgentSessionTest, TheLogsHeadIsToldWithHeartbeatsOnce) {
  Greet();
  registry_.SetLogHead(90, std::string(32, 'h'));
  ASSERT_TRUE(Beat().ok());
  EXPECT_EQ(output_->last().log_seq(), 90u);
  const size_t frames = output_->frames().size();
  ASSERT_TRUE(Beat().ok());
  EXPECT_EQ(output_->frames().size(), frames);
}

TEST_F(AgentSessionTest, AnotherHistoryIsHandedOn) {
  options_.history = [](uint64_t seq, const std::string&) {
    return seq == 90 ? "it remembers another log" : "";
  };
  v1::AgentFrame frame = HelloFrame();
  frame.mutable_hello()->set_log_seq(90);
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(shard_.seen().histories, std::vector<std::string>{"it remembers another log"});
}

TEST_F(AgentSessionTest, ASkewedClockIsASeriesAndAnEvent) {
  Greet();
  ASSERT_TRUE(Beat(500 * kMillisecond).ok());
  EXPECT_TRUE(shard_.seen().kinds.empty());
  ASSERT_TRUE(Beat(3 * kSecond).ok());
  EXPECT_EQ(Values("quell_host_clock_skew_seconds").back(), 3.0);
  EXPECT_EQ(shard_.seen().kinds, std::vector<std::string>{"host.clock_skew"});
  ASSERT_TRUE(Beat(3 * kSecond).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 1u);
  ASSERT_TRUE(Beat(0).ok());
  EXPECT_EQ(shard_.seen().kinds.size(), 2u);
}

// ---- budgets
TEST_F(AgentSessionTest, X07_SeriesOverBudgetAreDroppedCountedAndTold) {
  options_.budget.series = 100;
  Reconnect();
  Greet();
  v1::AgentFrame frame;
  *frame.add_layouts() = MakeLayout(1, 90);
  *frame.add_layouts() = MakeLayout(2, 20);
  ASSERT_TRUE(Take(frame).ok());
  wire::BatchEncoder second(2, 20);
  v1::AgentFrame batch;
  second.Encode(std::vector<double>(20, 1.0), 0, ++number_, batch.add_batches());
  ASSERT_TRUE(Take(batch).ok());
  EXPECT_EQ(counters_.layouts_over_budget, 1u);
  EXPECT_TRUE(Values("m0").empty());
  ASSERT_TRUE(Beat().ok());
  EXPECT_EQ(Values("quell_agent_over_budget/series"), std::vector<double>{1});
  EXPECT_EQ(Values("quell_agent_over_budget/bytes"), std::vector<double>{0});
  EXPECT_EQ(shard_.seen().kinds, std::vector<std::string>{"agent.over_budget"});
}

TEST_F(AgentSessionTest, X07_LabelsOverBudgetAreDropped) {
  options_.budget.label_bytes = 10'000;
  Reconnect();
  Greet();
  v1::AgentFrame frame;
  *frame.add_layouts() = MakeLayout(1, 20, 1000);
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(counters_.layouts_over_budget, 1u);
}

TEST_F(AgentSessionTest, X07_BytesOverBudgetAreDroppedAndReadLater) {
  options_.budget.bytes_per_second = 1'000;
  options_.budget.bytes_burst = 10'000;
  Reconnect();
  Greet();
  ASSERT_TRUE(Take(SampleFrame(1, 0, true), 9'000).ok());
  EXPECT_EQ(session_->TakePause(), 0);
  ASSERT_TRUE(Take(SampleFrame(2, 1, false), 9'000).ok());
  EXPECT_GT(session_->TakePause(), 0);
  EXPECT_EQ(Values("m0"), std::vector<double>{1});
  EXPECT_EQ(counters_.samples_over_budget, 1u);
  ASSERT_TRUE(Take(ReportFrame(1), 9'000).ok());  // results come through all the same
  EXPECT_EQ(shard_.seen().outcomes.size(), 1u);
  now_ += kMinute;
  ASSERT_TRUE(Take(SampleFrame(3, kMinute, false), 100).ok());
  EXPECT_EQ(Values("m0"), (std::vector<double>{1, 3}));
}

TEST_F(AgentSessionTest, X07_EventsOverBudgetAreDroppedAndAcknowledged) {
  options_.budget.events_per_second = 1;
  options_.budget.events_burst = 3;
  Reconnect();
  Greet();
  ASSERT_TRUE(Take(EventFrame({1, 2, 3, 4, 5})).ok());
  EXPECT_EQ(counters_.events_over_budget, 2u);
  EXPECT_EQ(shard_.seen().events_through, 5u);
}

TEST_F(AgentSessionTest, X07_AFloodOfResultsEndsTheStreamAndLosesNone) {
  options_.budget.reports_per_second = 1;
  options_.budget.reports_burst = 2;
  Reconnect();
  Greet();
  ASSERT_TRUE(Take(ReportFrame(1)).ok());
  ASSERT_TRUE(Take(ReportFrame(2)).ok());
  EXPECT_EQ(Take(ReportFrame(3)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(shard_.seen().reports_through, 2u);
}

TEST_F(AgentSessionTest, GoodbyeIsHandedOn) {
  Greet();
  v1::AgentFrame frame;
  frame.set_goodbye("reboot");
  ASSERT_TRUE(Take(frame).ok());
  EXPECT_EQ(shard_.seen().goodbyes, std::vector<std::string>{"reboot"});
}

TEST(TokenBucketTest, FillsAtItsRate) {
  TokenBucket bucket(10, 20);
  EXPECT_TRUE(bucket.Take(20, kT0));
  EXPECT_FALSE(bucket.Take(5, kT0));
  EXPECT_EQ(bucket.Owed(), kSecond / 2);
  EXPECT_FALSE(bucket.Take(1, kT0 + kSecond / 2));
  EXPECT_TRUE(bucket.Take(4, kT0 + kSecond));
}

}  // namespace
}  // namespace quell::ingest
