// What comes from the wire is checked in one place: each bound and each form, one at a time.
#include "common/wire/validate.h"

#include <gtest/gtest.h>

#include <functional>

#include "common/wire/limits.h"

namespace quell::wire {
namespace {

v1::AgentFrame GoodAgentFrame() {
  v1::AgentFrame frame;
  v1::Hello* hello = frame.mutable_hello();
  hello->set_agent_start(std::string(16, 'a'));
  hello->set_monotonic_us(1);
  hello->add_actions("pm2.restart");
  hello->set_actions_sha256(std::string(32, 'b'));
  v1::Heartbeat* beat = frame.mutable_heartbeat();
  beat->set_monotonic_us(2);
  beat->set_nonce("nonce");
  v1::Layout* layout = frame.add_layouts();
  layout->set_id(1);
  layout->set_collector("host");
  v1::SeriesDefinition* series = layout->add_series();
  series->set_name("node_load1");
  v1::Label* label = series->add_labels();
  label->set_name("cpu");
  label->set_value("0");
  frame.add_batches()->set_layout(1);
  v1::Event* event = frame.add_events();
  event->set_seq(1);
  event->set_kind("pm2.exit");
  v1::CommandReport* report = frame.add_reports();
  report->set_seq(1);
  report->set_id(std::string(16, 'c'));
  report->set_outcome(v1::OUTCOME_SUCCEEDED);
  report->add_evidence()->set_name("proc.status");
  return frame;
}

v1::Label* FirstLabel(v1::AgentFrame& f) {
  return f.mutable_layouts(0)->mutable_series(0)->mutable_labels(0);
}

TEST(Validate, AGoodFramePasses) {
  EXPECT_TRUE(Validate(GoodAgentFrame()).ok()) << Validate(GoodAgentFrame());
}

struct Case {
  const char* name;
  void (*spoil)(v1::AgentFrame&);
};
class BadAgentFrame : public testing::TestWithParam<Case> {};

TEST_P(BadAgentFrame, IsRefusedWithASentence) {
  v1::AgentFrame frame = GoodAgentFrame();
  GetParam().spoil(frame);
  const absl::Status status = Validate(frame);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_GT(status.message().size(), 20u);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadAgentFrame,
    testing::Values(
        Case{"StartTooShort", [](v1::AgentFrame& f) { f.mutable_hello()->set_agent_start("x"); }},
        Case{"MonotonicNegative", [](v1::AgentFrame& f) { f.mutable_hello()->set_monotonic_us(-1); }},
        Case{"WallNegative", [](v1::AgentFrame& f) { f.mutable_hello()->set_wall_us(INT64_MIN); }},
        Case{"WallAfterAllYears", [](v1::AgentFrame& f) { f.mutable_heartbeat()->set_wall_us(INT64_MAX); }},
        Case{"EventsWall", [](v1::AgentFrame& f) { f.mutable_events(0)->set_wall_us(kMaxWall + 1); }},
        Case{"ReportsWall", [](v1::AgentFrame& f) { f.mutable_reports(0)->set_wall_us(INT64_MIN); }},
        Case{"ReportsMonotonic", [](v1::AgentFrame& f) { f.mutable_reports(0)->set_monotonic_us(INT64_MAX); }},
        Case{"ManyFeatures", [](v1::AgentFrame& f) { for (int i = 0; i < 1000; ++i) f.mutable_hello()->add_features("x"); }},
        Case{"LongAction", [](v1::AgentFrame& f) { f.mutable_hello()->add_actions(std::string(300, 'x')); }},
        Case{"HalfADigest", [](v1::AgentFrame& f) { f.mutable_hello()->set_sanctions_sha256("12345"); }},
        Case{"LongNonce", [](v1::AgentFrame& f) { f.mutable_heartbeat()->set_nonce(std::string(65, 'x')); }},
        Case{"EpochStart", [](v1::AgentFrame& f) { f.mutable_heartbeat()->set_epoch_start("x"); }},
        Case{"LongReleaseName", [](v1::AgentFrame& f) { f.mutable_reports(0)->mutable_release()->mutable_to()->set_name(std::string(300, 'x')); }},
        Case{"HalfAReleasesHash", [](v1::AgentFrame& f) { f.mutable_reports(0)->mutable_release()->mutable_from()->set_tree_sha256("12"); }},
        Case{"LongRunningPath", [](v1::AgentFrame& f) { f.mutable_reports(0)->mutable_release()->set_running(std::string(5000, 'x')); }},
        Case{"LayoutZero", [](v1::AgentFrame& f) { f.mutable_layouts(0)->set_id(0); }},
        Case{"LayoutEmpty", [](v1::AgentFrame& f) { f.mutable_layouts(0)->clear_series(); }},
        Case{"CollectorName", [](v1::AgentFrame& f) { f.mutable_layouts(0)->set_collector("Host; rm"); }},
        Case{"MetricName", [](v1::AgentFrame& f) { f.mutable_layouts(0)->mutable_series(0)->set_name("no-name"); }},
        Case{"MetricNameWithNewline", [](v1::AgentFrame& f) { f.mutable_layouts(0)->mutable_series(0)->set_name("up\n"); }},
        Case{"MetricNameEmpty", [](v1::AgentFrame& f) { f.mutable_layouts(0)->mutable_series(0)->set_name(""); }},
        Case{"LabelName", [](v1::AgentFrame& f) { FirstLabel(f)->set_name("a:b"); }},
        Case{"LabelNameReserved", [](v1::AgentFrame& f) { FirstLabel(f)->set_name("__name__"); }},
        Case{"X05_Instance", [](v1::AgentFrame& f) { FirstLabel(f)->set_name("instance"); }},
        Case{"X05_Job", [](v1::AgentFrame& f) { FirstLabel(f)->set_name("job"); }},
        Case{"LabelTooLong", [](v1::AgentFrame& f) { FirstLabel(f)->set_value(std::string(kMaxLabelBytes + 1, 'x')); }},
        Case{"LabelTwice", [](v1::AgentFrame& f) { *f.mutable_layouts(0)->mutable_series(0)->add_labels() = *FirstLabel(f); }},
        Case{"LabelsUnsorted", [](v1::AgentFrame& f) { f.mutable_layouts(0)->mutable_series(0)->add_labels()->set_name("a"); }},
        Case{"ManyLabels",
             [](v1::AgentFrame& f) {
               for (int i = 0; i < 100; ++i) f.mutable_layouts(0)->mutable_series(0)->add_labels()->set_name("d" + std::to_string(i));
             }},
        Case{"ManySeries",
             [](v1::AgentFrame& f) {
               for (size_t i = 0; i <= kMaxSeriesPerLayout; ++i) f.mutable_layouts(0)->add_series()->set_name("m");
             }},
        Case{"BatchFromLongAgo", [](v1::AgentFrame& f) { f.mutable_batches(0)->set_offset_us(-kMaxBackwards - 1); }},
        Case{"BatchEncoding", [](v1::AgentFrame& f) { f.mutable_batches(0)->set_encoding(static_cast<v1::Encoding>(7)); }},
        Case{"EventWithoutSeq", [](v1::AgentFrame& f) { f.mutable_events(0)->set_seq(0); }},
        Case{"EventKind", [](v1::AgentFrame& f) { f.mutable_events(0)->set_kind("PM2 exit"); }},
        Case{"EventText", [](v1::AgentFrame& f) { f.mutable_events(0)->set_text(std::string(kMaxEventText + 1, 'x')); }},
        Case{"X05_EventLabelInstance",
             [](v1::AgentFrame& f) { f.mutable_events(0)->add_labels()->set_name("instance"); }},
        Case{"X05_EventSampleInstance",
             [](v1::AgentFrame& f) {
               auto* sample = f.mutable_events(0)->add_samples();
               sample->set_job("pm2");
               sample->mutable_series()->set_name("up");
               sample->mutable_series()->add_labels()->set_name("instance");
             }},
        Case{"EventSampleJob", [](v1::AgentFrame& f) { f.mutable_events(0)->add_samples()->mutable_series()->set_name("up"); }},
        Case{"ReportId", [](v1::AgentFrame& f) { f.mutable_reports(0)->set_id("short"); }},
        Case{"ReportOutcome", [](v1::AgentFrame& f) { f.mutable_reports(0)->set_outcome(v1::OUTCOME_UNSPECIFIED); }},
        Case{"ReportOutcomeUnknown", [](v1::AgentFrame& f) { f.mutable_reports(0)->set_outcome(static_cast<v1::Outcome>(99)); }},
        Case{"EvidenceName", [](v1::AgentFrame& f) { f.mutable_reports(0)->mutable_evidence(0)->set_name("../x"); }},
        Case{"ManyEvents", [](v1::AgentFrame& f) { for (int i = 0; i < 600; ++i) *f.add_events() = f.events(0); }},
        Case{"Goodbye", [](v1::AgentFrame& f) { f.set_goodbye(std::string(300, 'x')); }}),
    [](const auto& info) { return info.param.name; });

TEST(Validate, ControllerFrames) {
  v1::ControllerFrame frame;
  frame.mutable_welcome()->set_heartbeat_ms(5000);
  frame.add_commands()->set_signature(std::string(64, 's'));
  frame.add_cancel(std::string(16, 'i'));
  EXPECT_TRUE(Validate(frame).ok());
  auto bad = [&](const std::function<void(v1::ControllerFrame&)>& spoil) {
    v1::ControllerFrame copy = frame;
    spoil(copy);
    return Validate(copy).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(bad([](auto& f) { f.mutable_welcome()->set_heartbeat_ms(1); }));
  EXPECT_TRUE(bad([](auto& f) { f.mutable_commands(0)->set_signature("short"); }));
  EXPECT_TRUE(bad([](auto& f) { f.mutable_commands(0)->set_body(std::string(kMaxCommandBytes + 1, 'x')); }));
  EXPECT_TRUE(bad([](auto& f) { f.set_cancel(0, "short"); }));
  EXPECT_TRUE(bad([](auto& f) { f.set_log_head("short"); }));
  EXPECT_TRUE(bad([](auto& f) { f.set_trust_bundle(std::string(kMaxTrustBundleBytes + 1, 'x')); }));
}

TEST(Names, AreMatchedWhole) {
  EXPECT_TRUE(IsMetricName("node:cpu_seconds_total9"));
  EXPECT_FALSE(IsMetricName("9node"));
  EXPECT_FALSE(IsMetricName(std::string_view("a\0b", 3)));
  EXPECT_TRUE(IsLabelName("pm_id"));
  EXPECT_FALSE(IsLabelName("pm-id"));
  EXPECT_FALSE(IsLabelName(std::string(kMaxNameBytes + 1, 'a')));
}

}  // namespace
}  // namespace quell::wire
