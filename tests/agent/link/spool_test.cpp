// What the agent keeps: samples within age and size, events dropped oldest first, results never.
#include "agent/link/spool.h"

#include <gtest/gtest.h>

#include "common/wire/limits.h"
#include "tests/agent/link/fakes.h"

namespace quell::agent {
namespace {

class SpoolTest : public testing::Test {
 protected:
  void Open() {
    spool_.reset();
    auto opened = Spool::Open(disk_, clock_, options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    spool_ = *std::move(opened);
  }
  void SetUp() override {
    options_.directory = "/spool";
    options_.boot_id = "boot";
    Open();
  }
  void AddSample(double value) {
    spool_->Add(Collection{"host", series_, {value, value}, clock_.Monotonic()});
  }
  void AddEvent(const std::string& text) {
    v1::Event event;
    event.set_kind("pm2.exit");
    event.set_text(text);
    spool_->Add(event);
  }

  MemoryDisk disk_;
  FakeClock clock_;
  Spool::Options options_;
  std::unique_ptr<Spool> spool_;
  SeriesList series_ = MakeSeries(2);
};

TEST_F(SpoolTest, SamplesAreKeptTenMinutes) {
  for (int i = 0; i < 700; ++i) {
    AddSample(i);
    clock_.Advance(kSecond);
  }
  EXPECT_EQ(spool_->next_sample(), 700u);
  const auto samples = spool_->Samples(0, 10'000);
  EXPECT_EQ(samples.size(), 601u);
  EXPECT_EQ(spool_->counts().samples_dropped, 0u);  // age is no loss
  EXPECT_EQ(spool_->oldest_sample(), samples.front().collection->monotonic);
}

TEST_F(SpoolTest, OverSixteenMebibytesTheOldestGoesAndIsCounted) {
  options_.sample_bytes = 100 << 10;
  Open();
  const SeriesList wide = MakeSeries(100);
  for (int i = 0; i < 500; ++i)
    spool_->Add(Collection{"host", wide, std::vector<double>(100, i), clock_.Monotonic()});
  const auto samples = spool_->Samples(0, 10'000);
  EXPECT_GT(samples.size(), 50u);
  EXPECT_LT(samples.size(), 130u);
  EXPECT_EQ(spool_->counts().samples_dropped, (500 - samples.size()) * 100);
  EXPECT_EQ(samples.back().collection->values[0], 499);
}

TEST_F(SpoolTest, SamplesAreFoundByTime) {
  const Micros begin = clock_.Monotonic();
  for (int i = 0; i < 10; ++i) {
    AddSample(i);
    clock_.Advance(kSecond);
  }
  EXPECT_EQ(spool_->FirstSampleAt(0), 0u);
  EXPECT_EQ(spool_->FirstSampleAt(begin + 3 * kSecond), 3u);
  EXPECT_EQ(spool_->FirstSampleAt(begin + 3 * kSecond + 1), 4u);
  EXPECT_EQ(spool_->FirstSampleAt(begin + kHour), 10u);
}

TEST_F(SpoolTest, ACollectionThatDoesNotFitItsSeriesIsDropped) {
  spool_->Add(Collection{"host", series_, {1, 2, 3}, 0});
  spool_->Add(Collection{"host", nullptr, {}, 0});
  EXPECT_EQ(spool_->next_sample(), 0u);
}

TEST_F(SpoolTest, EventsAreFilledInNumberedAndSurviveARestart) {
  AddEvent("one");
  AddEvent("two");
  auto events = spool_->Events(0, 100, 1 << 20);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].seq(), events[0].seq() + 1);
  EXPECT_EQ(events[0].boot_id(), "boot");
  EXPECT_EQ(events[0].wall_us(), clock_.Wall());
  EXPECT_EQ(events[0].monotonic_us(), clock_.Monotonic());
  disk_.Crash();
  Open();
  AddEvent("three");
  events = spool_->Events(0, 100, 1 << 20);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].seq(), events[0].seq() + 2);
  spool_->AcknowledgeEvents(events[1].seq());
  EXPECT_EQ(spool_->Events(0, 100, 1 << 20).size(), 1u);
}

TEST_F(SpoolTest, EventsAreDroppedOldestFirstAndCounted) {
  options_.event_bytes = 8 << 10;
  options_.segment_bytes = 1 << 10;
  Open();
  for (int i = 0; i < 200; ++i) AddEvent(std::string(100, 'x'));
  const auto events = spool_->Events(0, 1'000, 1 << 20);
  EXPECT_EQ(spool_->counts().events_dropped + events.size(), 200u);
  EXPECT_LT(events.size(), 100u);
}

TEST_F(SpoolTest, AnEventThatNoControllerTakesIsDroppedAndCounted) {
  v1::Event event;
  event.set_kind("Not A Kind");
  spool_->Add(event);
  EXPECT_EQ(spool_->counts().events_dropped, 1u);
  EXPECT_TRUE(spool_->Events(0, 10, 1 << 20).empty());
}

TEST_F(SpoolTest, LongTextsAreCutAtACharacter) {
  std::string text(wire::kMaxEventText - 1, 'x');
  AddEvent(text + "\xc3\xa4 and more");
  const auto events = spool_->Events(0, 10, 1 << 20);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].text(), text);
}

// What a controller could not parse would end every stream that it is sent on.
TEST_F(SpoolTest, BytesThatAreNoTextAreReplaced) {
  v1::Event event;
  event.set_kind("pm2.exit");
  event.set_text("a\xff");
  v1::Label* label = event.add_labels();
  label->set_name("app");
  label->set_value("\xc3");
  spool_->Add(event);
  const auto events = spool_->Events(0, 10, 1 << 20);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].text(), "a\xef\xbf\xbd");
  EXPECT_EQ(events[0].labels(0).value(), "\xef\xbf\xbd");
  EXPECT_TRUE(v1::Event().ParseFromString(events[0].SerializeAsString()));
}

TEST_F(SpoolTest, OfEvidenceOnlyWhatNoControllerTakesGoes) {
  v1::CommandReport report = MakeReport(1);
  for (const char* name : {"describe", "describe/12", "../x", "log.out/", "log.out/1a"}) {
    report.add_evidence()->set_name(name);
  }
  for (int i = 0; i < 300; ++i) report.add_evidence()->set_name("proc.status/" + std::to_string(i));
  ASSERT_TRUE(spool_->AddReport(report).ok());
  const auto reports = spool_->Reports(0, 1, 1);
  ASSERT_EQ(reports.size(), 1u);
  ASSERT_EQ(reports[0].evidence_size(), static_cast<int>(wire::kMaxEvidenceItems));
  EXPECT_EQ(reports[0].evidence(1).name(), "describe/12");
  EXPECT_EQ(reports[0].evidence(2).name(), "proc.status/0");
}

TEST_F(SpoolTest, ReportsAreKeptUntilAcknowledgedThenTheExecutorMayForget) {
  ASSERT_TRUE(spool_->AddReport(MakeReport(5, v1::OUTCOME_STARTED)).ok());
  ASSERT_TRUE(spool_->AddReport(MakeReport(6)).ok());
  auto reports = spool_->Reports(0, 100, 1 << 20);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(spool_->AcknowledgeReports(reports[0].seq()), 5u);
  EXPECT_EQ(spool_->AcknowledgeReports(reports[1].seq()), 6u);
  EXPECT_TRUE(spool_->Reports(0, 100, 1 << 20).empty());
}

TEST_F(SpoolTest, AReportBroughtAgainIsKeptOnce) {
  ASSERT_TRUE(spool_->AddReport(MakeReport(5)).ok());
  ASSERT_TRUE(spool_->AddReport(MakeReport(5)).ok());
  EXPECT_EQ(spool_->Reports(0, 100, 1 << 20).size(), 1u);
  disk_.Crash();  // never synced apart from Reports(), which did
  Open();
  ASSERT_TRUE(spool_->AddReport(MakeReport(5)).ok());
  const auto reports = spool_->Reports(0, 100, 1 << 20);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(spool_->AcknowledgeReports(reports[0].seq()), 5u);
  ASSERT_TRUE(spool_->AddReport(MakeReport(5)).ok());
  EXPECT_TRUE(spool_->Reports(0, 100, 1 << 20).empty());
}

TEST_F(SpoolTest, ResultsAreNeverDropped) {
  options_.report_bytes = 8 << 10;
  options_.segment_bytes = 1 << 10;
  Open();
  uint64_t n = 1;
  absl::Status status;
  while ((status = spool_->AddReport(MakeReport(n))).ok()) ASSERT_LT(++n, 10'000u);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(spool_->results_full());
  EXPECT_EQ(spool_->counts().reports_refused, 1u);
  const auto reports = spool_->Reports(0, 10'000, 1 << 20);
  EXPECT_EQ(reports.size(), n - 1);
  spool_->AcknowledgeReports(reports.back().seq());
  EXPECT_FALSE(spool_->results_full());
  EXPECT_TRUE(spool_->AddReport(MakeReport(n)).ok());  // the executor brings it again
}

TEST_F(SpoolTest, ALargeReportIsCutToOneFrame) {
  v1::CommandReport report = MakeReport(1);
  for (const char* name : {"log.out", "log.err"}) {
    auto* item = report.add_evidence();
    item->set_name(name);
    item->set_content(std::string(900 << 10, 'x'));
  }
  report.add_evidence()->set_name("describe");
  report.mutable_evidence(2)->set_content("small");
  ASSERT_TRUE(spool_->AddReport(report).ok());
  const auto reports = spool_->Reports(0, 1, 1);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_LE(reports[0].ByteSizeLong(), wire::kMaxMessageBytes);
  EXPECT_EQ(reports[0].evidence(2).content(), "small");
  EXPECT_TRUE(reports[0].evidence(0).truncated() || reports[0].evidence(1).truncated());
}

TEST_F(SpoolTest, AFullDiskRefusesReportsAndLosesNone) {
  ASSERT_TRUE(spool_->AddReport(MakeReport(1)).ok());
  disk_.set_fault(
      [](uint64_t, std::string_view, std::string_view) { return absl::ResourceExhaustedError("no space"); });
  EXPECT_FALSE(spool_->AddReport(MakeReport(2)).ok());
  AddEvent("lost");
  EXPECT_EQ(spool_->counts().events_dropped, 1u);
  disk_.set_fault(nullptr);
  EXPECT_TRUE(spool_->AddReport(MakeReport(2)).ok());
  EXPECT_EQ(spool_->Reports(0, 10, 1 << 20).size(), 2u);
}

// An acknowledgement says "all up to here": the executor would forget what only it still has.
TEST_F(SpoolTest, WhatWasRefusedIsNotDoneWithALaterOne) {
  disk_.set_fault([](uint64_t, std::string_view, std::string_view) { return absl::DataLossError("EIO"); });
  EXPECT_FALSE(spool_->AddReport(MakeReport(5)).ok());
  disk_.set_fault(nullptr);
  ASSERT_TRUE(spool_->AddReport(MakeReport(6)).ok());
  EXPECT_EQ(spool_->AcknowledgeReports(spool_->Reports(0, 10, 1 << 20).back().seq()), 0u);
  ASSERT_TRUE(spool_->AddReport(MakeReport(5)).ok());
  EXPECT_EQ(spool_->AcknowledgeReports(spool_->Reports(0, 10, 1 << 20).back().seq()), 6u);
}

// What the executor itself has given up meanwhile, a refusal among many, holds nothing up for ever.
TEST_F(SpoolTest, ANewConnectionOfTheExecutorBeginsAnew) {
  disk_.set_fault([](uint64_t, std::string_view, std::string_view) { return absl::DataLossError("EIO"); });
  EXPECT_FALSE(spool_->AddReport(MakeReport(5)).ok());
  disk_.set_fault(nullptr);
  ASSERT_TRUE(spool_->AddReport(MakeReport(6)).ok());
  spool_->ExecutorConnected();
  ASSERT_TRUE(spool_->AddReport(MakeReport(6)).ok());
  EXPECT_EQ(spool_->AcknowledgeReports(spool_->Reports(0, 10, 1 << 20).back().seq()), 6u);
}

}  // namespace
}  // namespace quell::agent
