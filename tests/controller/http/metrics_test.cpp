#include "controller/http/metrics.h"

#include <gmock/gmock.h>

#include <thread>

namespace quell::http {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CountersAndGaugesAreRenderedWithHelpAndType) {
  Metrics metrics;
  metrics.AddCounter("quell_commits_total", "Commit groups.").Add(3);
  metrics.AddGauge("quell_hosts", "Hosts by state.", {{"state", "lost"}}).Set(1.5);
  const std::string text = metrics.Render();
  EXPECT_THAT(text,
              HasSubstr("# HELP quell_commits_total Commit groups.\n# TYPE quell_commits_total counter\n"
                        "quell_commits_total 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE quell_hosts gauge\nquell_hosts{state=\"lost\"} 1.5\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreOneObject) {
  Metrics metrics;
  Counter& a = metrics.AddCounter("x_total", "X.", {{"k", "1"}});
  EXPECT_EQ(&a, &metrics.AddCounter("x_total", "X.", {{"k", "1"}}));
  EXPECT_NE(&a, &metrics.AddCounter("x_total", "X.", {{"k", "2"}}));
}

TEST(Metrics, HistogramBucketsAreCumulativeAndInclusive) {
  Metrics metrics;
  Histogram& h = metrics.AddHistogram("latency_seconds", "L.", {0.1, 1});
  for (const double v : {0.05, 0.1, 0.5, 7.0}) h.Observe(v);
  const std::string text = metrics.Render();
  EXPECT_THAT(text, HasSubstr("latency_seconds_bucket{le=\"0.1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("latency_seconds_bucket{le=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("latency_seconds_bucket{le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("latency_seconds_sum 7.65\nlatency_seconds_count 4\n"));
}

TEST(Metrics, X06_ALabelValueCannotForgeALine) {
  Metrics metrics;
  metrics.AddCounter("x_total", "X.", {{"host", "a\"} 1\nforged_total 9\\"}}).Add();
  const std::string text = metrics.Render();
  EXPECT_THAT(text, HasSubstr("x_total{host=\"a\\\"} 1\\nforged_total 9\\\\\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("\nforged_total")));
}

TEST(Metrics, CallbacksAreAskedAtEachScrape) {
  Metrics metrics;
  double value = 1;
  metrics.AddGaugeCallback("g", "G.", [&] { return value; });
  EXPECT_THAT(metrics.Render(), HasSubstr("\ng 1\n"));
  value = 2;
  EXPECT_THAT(metrics.Render(), HasSubstr("\ng 2\n"));
}

TEST(Metrics, SeriesAreBoundedAndTheRestIsCounted) {
  Metrics metrics;
  for (size_t i = 0; i < Metrics::kSeriesLimit + 10; ++i) {
    metrics.AddCounter("many_total", "M.", {{"i", std::to_string(i)}}).Add();
  }
  const std::string text = metrics.Render();
  // One of the limit is the counter of what was refused.
  EXPECT_THAT(text, HasSubstr("quell_metrics_refused_total 11\n"));
  EXPECT_THAT(text, Not(HasSubstr("i=\"" + std::to_string(Metrics::kSeriesLimit + 9) + "\"")));
}

TEST(Metrics, ThreadsLoseNoCount) {
  Metrics metrics;
  Counter& counter = metrics.AddCounter("x_total", "X.");
  Histogram& histogram = metrics.AddHistogram("h", "H.", {1});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) counter.Add(), histogram.Observe(0.5);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40'000u);
  EXPECT_EQ(histogram.in_bucket(0), 40'000u);
  EXPECT_EQ(histogram.sum(), 20'000.0);
}

TEST(MetricsDeathTest, ANameThatPrometheusRefusesEndsTheProcess) {
  Metrics metrics;
  EXPECT_DEATH(metrics.AddCounter("bad-name", "B."), "Prometheus refuses");
  metrics.AddCounter("twice", "T.");
  EXPECT_DEATH(metrics.AddGauge("twice", "T."), "two types");
}

}  // namespace
}  // namespace quell::http
