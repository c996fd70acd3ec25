// The agent's side of a stream, without gRPC: hello, resume, resend after a controller lost its samples,
// acknowledgements, commands.
#include "agent/link/session.h"

#include <gtest/gtest.h>

#include "common/wire/decoder.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"
#include "tests/agent/link/fakes.h"

namespace quell::agent {
namespace {

class LinkSessionTest : public testing::Test {
 protected:
  LinkSessionTest() : head_(disk_, "/state/log-head") {
    facts_ = {"0.1.0", "9f0f6c0e-0000-4000-8000-000000000001", "web-1", "boot", std::string(16, 'r'), 4};
    Spool::Options options;
    options.directory = "/spool";
    options.boot_id = "boot";
    spool_ = *Spool::Open(disk_, clock_, options);
    executor_.SetStatus(GoodStatus("nonce-1"));
    NewSession();
  }
  void NewSession() {
    session_ = std::make_unique<LinkSession>(facts_, *spool_, executor_, head_);
    decoder_ = wire::StreamDecoder();
  }
  LinkSession::Times Now() { return {clock_.Monotonic(), clock_.Wall()}; }
  // The next frame, checked as the controller would; an empty one when there is none.
  v1::AgentFrame Next() {
    v1::AgentFrame frame;
    if (!session_->NextFrame(Now(), &frame)) return {};
    EXPECT_TRUE(wire::Validate(frame).ok()) << wire::Validate(frame);
    EXPECT_LE(frame.ByteSizeLong(), wire::kMaxMessageBytes);
    return frame;
  }
  void Welcome(Micros samples_from = 0) {
    EXPECT_TRUE(Next().has_hello());
    v1::ControllerFrame frame;
    frame.mutable_welcome()->set_host_name("web-1");
    frame.mutable_welcome()->set_samples_from_us(samples_from);
    ASSERT_TRUE(session_->OnFrame(frame, Now()).ok());
  }
  void AddSample(double value, const SeriesList& series = nullptr) {
    const SeriesList list = series ? series : series_;
    spool_->Add(Collection{"host", list, std::vector<double>(list->size(), value), clock_.Monotonic()});
  }
  void AddEvent() {
    v1::Event event;
    event.set_kind("pm2.exit");
    spool_->Add(event);
  }
  // First value of each batch that comes until nothing more does.
  std::vector<double> Drain() {
    std::vector<double> out;
    for (int quiet = 0; quiet < 2; clock_.Advance(LinkSession::kGather)) {
      const v1::AgentFrame frame = Next();
      quiet = frame.ByteSizeLong() > 0 ? 0 : quiet + 1;
      uint32_t forgotten = 0;
      for (const auto& layout : frame.layouts()) EXPECT_TRUE(decoder_.Define(layout, false, &forgotten).ok());
      for (const auto& batch : frame.batches()) {
        wire::DecodedBatch decoded;
        const absl::Status status = decoder_.Decode(batch, &decoded);
        EXPECT_TRUE(status.ok()) << status;
        if (status.ok()) out.push_back(decoded.values[0]);
      }
      for (const auto& event : frame.events()) events_.push_back(event.seq());
      for (const auto& report : frame.reports()) reports_.push_back(report.seq());
    }
    return out;
  }
  absl::Status Ack(uint64_t events, uint64_t reports) {
    v1::ControllerFrame frame;
    frame.set_events_acked(events);
    frame.set_reports_acked(reports);
    return session_->OnFrame(frame, Now());
  }
  absl::Status Command() {
    v1::ControllerFrame frame;
    frame.add_commands()->set_body("body");
    frame.mutable_commands(0)->set_signature(std::string(64, 's'));
    return session_->OnFrame(frame, Now());
  }

  MemoryDisk disk_;
  FakeClock clock_;
  AgentFacts facts_;
  std::unique_ptr<Spool> spool_;
  RecordingExecutor executor_;
  HeadMemory head_;
  std::unique_ptr<LinkSession> session_;
  wire::StreamDecoder decoder_;
  SeriesList series_ = MakeSeries(3);
  std::vector<uint64_t> events_, reports_;
};

TEST_F(LinkSessionTest, HelloComesFirstAndAlone) {
  AddSample(1);
  AddEvent();
  const v1::AgentFrame frame = Next();
  ASSERT_TRUE(frame.has_hello());
  EXPECT_EQ(frame.hello().host_id(), facts_.host_id);
  EXPECT_EQ(frame.hello().boot_id(), "boot");
  EXPECT_EQ(frame.hello().actions(0), "pm2.restart");
  EXPECT_EQ(frame.hello().monotonic_us(), clock_.Monotonic());
  EXPECT_GE(frame.hello().features_size(), 4);
  EXPECT_EQ(frame.batches_size() + frame.events_size(), 0);
  EXPECT_EQ(Next().ByteSizeLong(), 0u);  // nothing before the welcome
}

TEST_F(LinkSessionTest, HeartbeatAtOnceAndThenEachFiveSeconds) {
  Welcome();
  const v1::AgentFrame first = Next();
  ASSERT_TRUE(first.has_heartbeat());
  EXPECT_EQ(first.heartbeat().nonce(), "nonce-1");
  EXPECT_EQ(first.heartbeat().epoch_number(), 3u);
  EXPECT_TRUE(first.heartbeat().executor_connected());
  EXPECT_EQ(session_->NextDue(), clock_.Monotonic() + 5 * kSecond);
  clock_.Advance(5 * kSecond - 1);
  EXPECT_FALSE(Next().has_heartbeat());
  clock_.Advance(1);
  EXPECT_TRUE(Next().has_heartbeat());
}

TEST_F(LinkSessionTest, ANewNonceIsToldSoon) {
  Welcome();
  Next();
  executor_.SetStatus(GoodStatus("nonce-2"));
  session_->StatusChanged();
  EXPECT_EQ(Next().heartbeat().nonce(), "nonce-2");
}

TEST_F(LinkSessionTest, WithoutAnExecutorThereIsNoNonce) {
  executor_.SetStatus(std::nullopt);
  Welcome();
  const v1::AgentFrame frame = Next();
  EXPECT_FALSE(frame.heartbeat().executor_connected());
  EXPECT_EQ(frame.heartbeat().nonce(), "");
  ASSERT_TRUE(Command().ok());
  EXPECT_EQ(session_->commands_not_taken(), 1u);
}

TEST_F(LinkSessionTest, SamplesGatherForAMoment) {
  Welcome();
  Next();
  AddSample(1);
  EXPECT_EQ(Next().ByteSizeLong(), 0u);
  EXPECT_EQ(session_->NextDue(), clock_.Monotonic() + LinkSession::kGather);
  AddSample(2);
  clock_.Advance(LinkSession::kGather);
  EXPECT_EQ(Next().batches_size(), 2);
}

TEST_F(LinkSessionTest, EventsWaitForNobodyAndTakeSamplesAlong) {
  Welcome();
  Next();
  AddSample(1);
  AddEvent();
  const v1::AgentFrame frame = Next();
  EXPECT_EQ(frame.events_size(), 1);
  EXPECT_EQ(frame.batches_size(), 1);
}

TEST_F(LinkSessionTest, AControllerThatLostItsSamplesGetsThemAgain) {
  for (int i = 0; i < 5; ++i) {
    AddSample(i);
    clock_.Advance(kSecond);
  }
  Welcome(0);
  EXPECT_EQ(Drain(), (std::vector<double>{0, 1, 2, 3, 4}));
  NewSession();  // a new controller knows nothing
  Welcome(0);
  EXPECT_EQ(Drain(), (std::vector<double>{0, 1, 2, 3, 4}));
}

TEST_F(LinkSessionTest, AControllerThatKeptThemGetsTheRestAlone) {
  std::vector<Micros> times;
  for (int i = 0; i < 5; ++i) {
    times.push_back(clock_.Monotonic());
    AddSample(i);
    clock_.Advance(kSecond);
  }
  Welcome(times[2] + 1);
  EXPECT_EQ(Drain(), (std::vector<double>{3, 4}));
}

TEST_F(LinkSessionTest, TheFirstBatchAfterAReconnectIsFull) {
  Welcome();
  AddSample(1);
  Drain();
  NewSession();
  Welcome(clock_.Monotonic());
  AddSample(1);
  clock_.Advance(LinkSession::kGather);
  const v1::AgentFrame frame = Next();
  ASSERT_EQ(frame.batches_size(), 1);
  EXPECT_EQ(frame.layouts_size(), 1);
  EXPECT_EQ(frame.batches(0).changed(), "");
}

TEST_F(LinkSessionTest, ALayoutIsDefinedOncePerStreamAndAgainWhenSeriesChange) {
  Welcome();
  Next();
  int layouts = 0;
  auto send = [&](const SeriesList& list) {
    AddSample(1, list);
    clock_.Advance(LinkSession::kGather);
    layouts += Next().layouts_size();
  };
  send(series_);
  send(series_);
  EXPECT_EQ(layouts, 1);
  send(MakeSeries(3));  // another list, the same series
  EXPECT_EQ(layouts, 1);
  send(MakeSeries(4));
  EXPECT_EQ(layouts, 2);
  send(series_);
  EXPECT_EQ(layouts, 2);
}

TEST_F(LinkSessionTest, SeriesOfOneFormShareALayout) {
  Welcome();
  Next();
  spool_->Add(Collection{"host", series_, {7, 0.25, 1.0 / 3}, clock_.Monotonic()});
  clock_.Advance(LinkSession::kGather);
  Next();  // looks, and lets them gather
  clock_.Advance(LinkSession::kGather);
  const v1::AgentFrame frame = Next();
  ASSERT_EQ(frame.batches_size(), 3);
  EXPECT_EQ(frame.batches(0).encoding(), v1::ENCODING_INT_DELTAS);
  EXPECT_EQ(frame.batches(1).encoding(), v1::ENCODING_MILLI_DELTAS);
  EXPECT_EQ(frame.batches(2).encoding(), v1::ENCODING_DOUBLES);
}

TEST_F(LinkSessionTest, ChangingSeriesForEverStaysBounded) {
  Welcome();
  for (int i = 0; i < 400; ++i) AddSample(i, MakeSeries(1, "app-" + std::to_string(i)));
  EXPECT_EQ(Drain().size(), 400u);
  EXPECT_LE(decoder_.layouts(), wire::kMaxLayouts);
  AddSample(7, MakeSeries(1, "app-0"));  // forgotten long ago, defined anew
  EXPECT_EQ(Drain(), std::vector<double>{7});
}

TEST_F(LinkSessionTest, AHugeListIsSplitIntoFramesThatFit) {
  Welcome();
  AddSample(5, MakeSeries(60'000, std::string(200, 'x')));
  EXPECT_GT(Drain().size(), 12u);
}

TEST_F(LinkSessionTest, SeriesThatNoControllerTakesAreLeftOut) {
  auto list = std::make_shared<std::vector<Series>>(*MakeSeries(2));
  list->push_back({"bad-name", {}});
  list->push_back({"m", Labels{{"instance", "other"}}});
  list->push_back({"m", Labels{{"app", std::string(64 << 10, 'x')}}});
  list->push_back({"last", {}});
  Welcome();
  AddSample(1, list);
  clock_.Advance(LinkSession::kGather);
  const v1::AgentFrame frame = Next();
  ASSERT_EQ(frame.layouts_size(), 1);
  EXPECT_EQ(frame.layouts(0).series_size(), 3);
  EXPECT_EQ(frame.layouts(0).series(2).name(), "last");
}

TEST_F(LinkSessionTest, EventsComeAgainUntilAcknowledged) {
  AddEvent();
  AddEvent();
  Welcome();
  Drain();
  ASSERT_EQ(events_.size(), 2u);
  const std::vector<uint64_t> first = events_;
  events_.clear();
  NewSession();
  Welcome();
  Drain();
  EXPECT_EQ(events_, first);
  ASSERT_TRUE(Ack(first[0], 0).ok());
  events_.clear();
  NewSession();
  Welcome();
  Drain();
  EXPECT_EQ(events_, std::vector<uint64_t>{first[1]});
}

TEST_F(LinkSessionTest, AnAcknowledgementOfWhatWasNeverSentCountsForNothing) {
  Welcome();
  AddEvent();
  ASSERT_TRUE(Ack(~0ull, ~0ull).ok());
  Drain();
  EXPECT_EQ(events_.size(), 1u);
}

TEST_F(LinkSessionTest, ReportsGoOutUntilAcknowledgedThenTheExecutorIsTold) {
  Welcome();
  ASSERT_TRUE(spool_->AddReport(MakeReport(41)).ok());
  Drain();
  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_EQ(executor_.acked(), 0u);
  ASSERT_TRUE(Ack(0, reports_[0]).ok());
  EXPECT_EQ(executor_.acked(), 41u);
}

TEST_F(LinkSessionTest, CommandsGoUnopenedToTheExecutor) {
  Welcome();
  ASSERT_TRUE(Command().ok());
  ASSERT_EQ(executor_.submitted().size(), 1u);
  v1::SignedCommand command;
  ASSERT_TRUE(command.ParseFromString(executor_.submitted()[0]));
  EXPECT_EQ(command.body(), "body");
  v1::ControllerFrame frame;
  frame.add_cancel(std::string(16, 'i'));
  frame.set_trust_bundle("bundle");
  ASSERT_TRUE(session_->OnFrame(frame, Now()).ok());
  EXPECT_EQ(executor_.cancelled(), std::vector<std::string>{std::string(16, 'i')});
  EXPECT_EQ(executor_.bundle(), "bundle");
}

TEST_F(LinkSessionTest, WithAFullSpoolOfResultsNoCommandIsTaken) {
  Spool::Options options;
  options.directory = "/small";
  options.report_bytes = 4 << 10;
  options.segment_bytes = 1 << 10;
  spool_ = *Spool::Open(disk_, clock_, options);
  for (uint64_t n = 1; spool_->AddReport(MakeReport(n)).ok();) ++n;
  NewSession();
  Welcome();
  v1::AgentFrame frame = Next();
  EXPECT_TRUE(frame.heartbeat().results_full());
  EXPECT_GT(frame.reports_size(), 10);
  ASSERT_TRUE(Command().ok());
  EXPECT_TRUE(executor_.submitted().empty());
  EXPECT_EQ(session_->commands_not_taken(), 1u);
  ASSERT_TRUE(Ack(0, frame.reports(frame.reports_size() - 1).seq()).ok());
  Drain();
  ASSERT_TRUE(Command().ok());
  EXPECT_EQ(executor_.submitted().size(), 1u);
}

TEST_F(LinkSessionTest, TheLogsHeadIsRememberedOverRestarts) {
  Welcome();
  v1::ControllerFrame frame;
  frame.set_log_seq(90);
  frame.set_log_head(std::string(32, 'h'));
  ASSERT_TRUE(session_->OnFrame(frame, Now()).ok());
  frame.set_log_seq(80);  // a shorter history changes nothing
  frame.set_log_head(std::string(32, 'x'));
  ASSERT_TRUE(session_->OnFrame(frame, Now()).ok());
  HeadMemory again(disk_, "/state/log-head");
  LinkSession next(facts_, *spool_, executor_, again);
  v1::AgentFrame hello;
  ASSERT_TRUE(next.NextFrame(Now(), &hello));
  EXPECT_EQ(hello.hello().log_seq(), 90u);
  EXPECT_EQ(hello.hello().log_head(), std::string(32, 'h'));
}

TEST_F(LinkSessionTest, GoodbyeComesAfterResultsAndEvents) {
  Welcome();
  Next();
  AddEvent();
  session_->Goodbye("restart");
  EXPECT_EQ(Next().goodbye(), "");
  EXPECT_EQ(Next().goodbye(), "restart");
  EXPECT_TRUE(session_->said_goodbye());
  EXPECT_EQ(Next().ByteSizeLong(), 0u);
}

TEST_F(LinkSessionTest, AControllerThatSpeaksOutOfTurnIsLeft) {
  Next();
  EXPECT_EQ(Command().code(), absl::StatusCode::kInvalidArgument);  // before its welcome
  EXPECT_TRUE(executor_.submitted().empty());
  NewSession();
  Welcome();
  v1::ControllerFrame frame;
  frame.mutable_welcome();
  EXPECT_EQ(session_->OnFrame(frame, Now()).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quell::agent
