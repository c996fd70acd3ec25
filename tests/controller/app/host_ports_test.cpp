// What agents send, while the queues behind are full: refused as a whole, so that it comes again.
#include "controller/app/host_ports.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"

namespace quell::app {
namespace {

class HostPortsTest : public testing::Test {
 protected:
  HostPortsTest()
      : shards_(
            1, std::make_shared<rules::RuleSet>(), {}, [] { return kMinute; },
            [this](InputClass, EngineInput) { return Post(); }),
        ports_(shards_, registry_, [this](InputClass, EngineInput) { return Post(); }) {
    shards_.Start();
  }
  ~HostPortsTest() override { shards_.Stop(); }

  bool Post() {
    ++posted_;
    return room_;
  }
  bool Events() {
    std::vector<ingest::TimedEvent> events(2);
    events[0].event.set_seq(1);
    events[1].event.set_seq(2);
    return ports_.Events({.id = "h1", .name = "web-1", .labels = {}}, std::move(events), 2);
  }

  ingest::SessionRegistry registry_;
  std::atomic<int> posted_{0};
  std::atomic<bool> room_{true};
  Shards shards_;
  HostPorts ports_;
};

TEST_F(HostPortsTest, EventsThatTheShardHasNoRoomForDoNotReachTheEngineAlone) {
  absl::Notification busy, go;
  ShardThread& shard = shards_.Of("h1");
  ASSERT_TRUE(shard.Submit([&](HostShard&, Micros) {
    busy.Notify();
    go.WaitForNotification();
  }));
  busy.WaitForNotification();
  while (shard.Submit([](HostShard&, Micros) {})) {
  }
  const uint64_t refused = shards_.refused();
  EXPECT_FALSE(Events()) << "the stream ends, and they come again";
  EXPECT_EQ(posted_, 0);
  EXPECT_EQ(shards_.refused(), refused + 1);
  absl::Notification room;
  shard.SubmitSurely("room", [&](HostShard&, Micros) { room.Notify(); });
  go.Notify();
  ASSERT_TRUE(room.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(shard.RunAndWait([](HostShard&, Micros) {}, absl::Seconds(20)));
  EXPECT_TRUE(Events());
  EXPECT_EQ(posted_, 2);
}

TEST_F(HostPortsTest, EventsThatTheEngineHasNoRoomForAreNotTaken) {
  room_ = false;
  EXPECT_FALSE(Events());
}

}  // namespace
}  // namespace quell::app
