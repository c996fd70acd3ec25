#include "common/metrics/metrics.h"

#include <gtest/gtest.h>

#include <set>

namespace quell {
namespace {

TEST(Metrics, EveryNameIsInOneTableAndHasASentence) {
  std::set<std::string_view> names;
  for (const auto* table : {&HostMetrics(), &Pm2Metrics(), &PostgresMetrics(), &ProbeMetrics(),
                            &ChangeMetrics(), &AgentMetrics(), &ControllerMetrics()}) {
    for (const MetricDescriptor& row : *table) {
      EXPECT_TRUE(names.insert(row.name).second) << row.name << " is there twice";
      ASSERT_FALSE(row.help.empty()) << row.name;
      EXPECT_EQ(row.help.back(), '.') << row.name;
    }
  }
}

TEST(Metrics, WhoCouldHaveMadeItUp) {
  EXPECT_EQ(FindMetric("node_load1")->provenance, Provenance::kKernel);
  EXPECT_EQ(FindMetric("pm2_app_given_up")->provenance, Provenance::kDaemon);
  EXPECT_EQ(FindMetric("pg_blocking_root_victims")->provenance, Provenance::kDaemon);
  EXPECT_EQ(FindMetric("pg_log_errors_total")->provenance, Provenance::kText);
  EXPECT_EQ(FindMetric("probe_success")->provenance, Provenance::kProbe);
  EXPECT_EQ(FindMetric("pm2_app_heap_used_bytes")->provenance, Provenance::kApp);
  EXPECT_EQ(FindMetric("node_load1 "), nullptr);
}

}  // namespace
}  // namespace quell
