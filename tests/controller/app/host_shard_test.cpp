// Bounds of what one host makes its shard keep.
#include "controller/app/host_shard.h"

#include <gtest/gtest.h>

#include "common/wire/limits.h"

namespace quell::app {
namespace {

const ingest::HostRecord kHost = {.id = "h1", .name = "web-1", .labels = {}};

class HostShardTest : public testing::Test {
 protected:
  HostShardTest() : shard_(std::make_shared<rules::RuleSet>(), rules::ShardOptions{}, {}) {
    shard_.Opened(kHost, v1::Hello(), "", now_);
    shard_.TakeEdges();
  }
  // A batch of one layout: a pid of each of these apps.
  void Sample(uint64_t key, int from, int to) {
    auto table = std::make_shared<ingest::SeriesTable>();
    table->key = key;
    table->host_id = kHost.id;
    table->job = "pm2";
    for (int n = from; n < to; ++n)
      table->rows.push_back({"pm2_app_pid", Labels{{"user", "deploy"}, {"app", "app-" + std::to_string(n)}}});
    shard_.Samples(kHost.id, {{table, now_, std::vector<double>(table->rows.size(), 4711), true}});
  }
  const v1::Host* Apps() {
    now_ += 10 * kSecond;
    shard_.Heartbeat(kHost.id, v1::Heartbeat(), now_);
    shard_.Tick(now_);
    for (v1::Payload& edge : shard_.TakeEdges()) {
      if (edge.has_host_edge()) host_ = edge.host_edge().host();
    }
    return &host_;
  }
  Micros now_ = 1'795'000'000 * kSecond;
  HostShard shard_;
  v1::Host host_;
};

TEST_F(HostShardTest, X07_AHostHasNoMoreAppsThanAnAgentMayTell) {
  Sample(1, 0, 2'500);
  EXPECT_EQ(Apps()->apps_size(), 2'000);
}

TEST_F(HostShardTest, X07_LayoutsWithoutEndAreForgottenAndStillTaken) {
  const int many = static_cast<int>(6 * wire::kMaxLayouts);
  for (int n = 0; n < many; ++n) Sample(static_cast<uint64_t>(n) + 1, n, n + 1);
  EXPECT_LE(shard_.tables(), 2 * wire::kMaxLayouts);
  Sample(1, 0, 1);
  EXPECT_EQ(Apps()->apps_size(), many);
}

TEST_F(HostShardTest, ANewStreamOfAHostThatWasNeverLostIsAnEdge) {
  now_ += 5 * kSecond;
  shard_.Opened(kHost, v1::Hello(), "", now_);
  const std::vector<v1::Payload> edges = shard_.TakeEdges();
  ASSERT_EQ(edges.size(), 1u);
  EXPECT_EQ(edges[0].host_edge().kind(), v1::HostEdge::HOST_CONNECTED);
}

}  // namespace
}  // namespace quell::app
