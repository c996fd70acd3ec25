// Who is there: a table of what hosts do, and what the engine is told.
#include "controller/fleet/liveness.h"

#include <gtest/gtest.h>

#include "controller/fleet/offset.h"

namespace quell::fleet {
namespace {

constexpr Micros kT0 = 1'795'000'000 * kSecond;

class LivenessTest : public testing::Test {
 protected:
  LivenessTest() : live_({.epoch_number = 7, .epoch_start = std::string(16, 'e')}) {
    identity_.set_id("h1");
    identity_.set_name("web-1");
    (*identity_.mutable_labels())["site"] = "eu";
    hello_.set_boot_id("boot-a");
    hello_.set_executor_connected(true);
    hello_.add_actions("pm2.restart");
    hello_.set_sanctions_sha256(std::string(32, 's'));
    beat_.set_executor_connected(true);
    beat_.set_sanctions_sha256(std::string(32, 's'));
    beat_.set_epoch_number(7);
    beat_.set_epoch_start(std::string(16, 'e'));
  }
  static std::vector<v1::HostEdge::Kind> Kinds(const Liveness::Edges& edges) {
    std::vector<v1::HostEdge::Kind> kinds;
    for (const auto& edge : edges) kinds.push_back(edge.kind());
    return kinds;
  }
  std::vector<v1::HostEdge::Kind> Connect(Micros at) {
    return Kinds(live_.OnConnect(identity_, hello_, "", at));
  }
  std::vector<v1::HostEdge::Kind> Beat(Micros at) { return Kinds(live_.OnHeartbeat("h1", beat_, at)); }
  std::vector<v1::HostEdge::Kind> Check(Micros at) { return Kinds(live_.Check(at)); }

  using Kinds_ = std::vector<v1::HostEdge::Kind>;
  Liveness live_;
  v1::Host identity_;
  v1::Hello hello_;
  v1::Heartbeat beat_;
};

TEST_F(LivenessTest, ANewHostIsConnected) {
  const Liveness::Edges edges = live_.OnConnect(identity_, hello_, "", kT0);
  ASSERT_EQ(Kinds(edges), Kinds_{v1::HostEdge::HOST_CONNECTED});
  EXPECT_EQ(edges[0].host().name(), "web-1");
  EXPECT_EQ(edges[0].host().labels().at("site"), "eu");
  EXPECT_EQ(edges[0].host().liveness(), v1::CONNECTED);
  EXPECT_EQ(edges[0].host().first_seen_us(), kT0);
}

TEST_F(LivenessTest, LostAfterFifteenSecondsWithoutAHeartbeat) {
  Connect(kT0);
  EXPECT_EQ(Beat(kT0 + 5 * kSecond), Kinds_{});
  EXPECT_EQ(Check(kT0 + 20 * kSecond - 1), Kinds_{});
  EXPECT_EQ(Check(kT0 + 20 * kSecond), Kinds_{v1::HostEdge::HOST_LOST});
  EXPECT_EQ(Check(kT0 + 40 * kSecond), Kinds_{});
  EXPECT_EQ(Beat(kT0 + 41 * kSecond), Kinds_{v1::HostEdge::HOST_CONNECTED});
}

TEST_F(LivenessTest, AStreamThatEndsIsNoEdgeAndANewOneIs) {
  Connect(kT0);
  live_.OnDisconnect("h1", kT0 + kSecond);
  EXPECT_EQ(Check(kT0 + 10 * kSecond), Kinds_{});
  const Liveness::Edges edges = live_.OnConnect(identity_, hello_, "", kT0 + 10 * kSecond);
  ASSERT_EQ(Kinds(edges), Kinds_{v1::HostEdge::HOST_CONNECTED});
  EXPECT_EQ(edges[0].why(), "its stream is a new one");
  EXPECT_EQ(edges[0].host().liveness_since_us(), kT0) << "it was there all the time";
}

TEST_F(LivenessTest, X07_StreamsWithoutEndAreToldOncePerSecond) {
  Connect(kT0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Connect(kT0 + i * kMillisecond), Kinds_{});
  EXPECT_EQ(Check(kT0 + kSecond), Kinds_{v1::HostEdge::HOST_CONNECTED}) << "the last of them is told";
  EXPECT_EQ(Check(kT0 + 3 * kSecond), Kinds_{});
}

TEST_F(LivenessTest, AnotherBootIdIsAReboot) {
  Connect(kT0);
  hello_.set_boot_id("boot-b");
  EXPECT_EQ(Connect(kT0 + 10 * kSecond), (Kinds_{v1::HostEdge::HOST_CONNECTED, v1::HostEdge::HOST_REBOOTED}));
}

TEST_F(LivenessTest, GoodbyeIsLostOnlyAfterItsGrace) {
  Connect(kT0);
  const Liveness::Edges edges = live_.OnGoodbye("h1", "reboot", kT0 + kSecond);
  ASSERT_EQ(Kinds(edges), Kinds_{v1::HostEdge::HOST_GOODBYE});
  EXPECT_EQ(edges[0].host().goodbye(), "reboot");
  EXPECT_EQ(Check(kT0 + kMinute), Kinds_{});
  EXPECT_EQ(Check(kT0 + kSecond + 2 * kMinute), Kinds_{v1::HostEdge::HOST_LOST});
}

TEST_F(LivenessTest, BackAfterGoodbyeIsConnectedAgain) {
  Connect(kT0);
  live_.OnGoodbye("h1", "restart", kT0);
  EXPECT_EQ(Connect(kT0 + kSecond), Kinds_{v1::HostEdge::HOST_CONNECTED});
  EXPECT_EQ(live_.Find("h1")->goodbye(), "");
  EXPECT_EQ(Check(kT0 + 10 * kSecond), Kinds_{});
}

TEST_F(LivenessTest, AfterAStartHostsAreUnseenAndLostOnlyLater) {
  v1::Host host = identity_;
  host.set_liveness(v1::CONNECTED);
  host.set_seen_us(kT0 - kHour);
  host.set_boot_id("boot-a");
  live_.Restore(host, kT0);
  EXPECT_EQ(live_.Find("h1")->liveness(), v1::UNSEEN);
  EXPECT_EQ(Check(kT0 + 59 * kSecond), Kinds_{});
  EXPECT_EQ(Check(kT0 + kMinute), Kinds_{v1::HostEdge::HOST_LOST});
}

TEST_F(LivenessTest, ARestoredHostThatRebootedMeanwhileIsTold) {
  v1::Host host = identity_;
  host.set_liveness(v1::CONNECTED);
  host.set_boot_id("boot-0");
  live_.Restore(host, kT0);
  EXPECT_EQ(Connect(kT0 + kSecond), (Kinds_{v1::HostEdge::HOST_CONNECTED, v1::HostEdge::HOST_REBOOTED}));
}

TEST_F(LivenessTest, CapabilitiesAreEdges) {
  Connect(kT0);
  EXPECT_EQ(Beat(kT0), Kinds_{});
  beat_.set_held(true);
  EXPECT_EQ(Beat(kT0 + 1), Kinds_{v1::HostEdge::HOST_CAPABILITY});
  EXPECT_TRUE(live_.Find("h1")->held());
  beat_.set_sanctions_sha256(std::string(32, 't'));
  EXPECT_EQ(Beat(kT0 + 2), Kinds_{v1::HostEdge::HOST_CAPABILITY});
  beat_.set_sanctions_error("sanctions.yaml:3:1: unknown key");
  const auto edges = live_.OnHeartbeat("h1", beat_, kT0 + 3);
  ASSERT_EQ(Kinds(edges), Kinds_{v1::HostEdge::HOST_CAPABILITY});
  EXPECT_EQ(edges[0].why(), "the sanctions are bad: sanctions.yaml:3:1: unknown key");
  beat_.set_results_full(true);
  EXPECT_EQ(Beat(kT0 + 4), Kinds_{v1::HostEdge::HOST_CAPABILITY});
  beat_.set_executor_connected(false);
  EXPECT_EQ(Beat(kT0 + 5), Kinds_{v1::HostEdge::HOST_CAPABILITY});
  EXPECT_FALSE(live_.Find("h1")->executor_connected());
  EXPECT_EQ(Beat(kT0 + 6), Kinds_{});
}

TEST_F(LivenessTest, AHigherEpochIsToldOnce) {
  Connect(kT0);
  beat_.set_epoch_number(8);
  EXPECT_EQ(Beat(kT0), Kinds_{v1::HostEdge::HOST_AHEAD});
  EXPECT_EQ(Beat(kT0 + 1), Kinds_{});
}

TEST_F(LivenessTest, TheSameEpochUnderAnotherStartIsToldToo) {
  Connect(kT0);
  beat_.set_epoch_start(std::string(16, 'x'));
  EXPECT_EQ(Beat(kT0), Kinds_{v1::HostEdge::HOST_AHEAD});
}

TEST_F(LivenessTest, AnotherHistoryIsTold) {
  EXPECT_EQ(Kinds(live_.OnConnect(identity_, hello_, "it remembers record 90, our log ends at 80", kT0)),
            (Kinds_{v1::HostEdge::HOST_CONNECTED, v1::HostEdge::HOST_HISTORY}));
}

TEST_F(LivenessTest, RefusalsAreToldOncePerHour) {
  EXPECT_EQ(Kinds(live_.OnRefused(identity_, "revoked", kT0)), Kinds_{v1::HostEdge::HOST_REFUSED});
  EXPECT_EQ(Kinds(live_.OnRefused(identity_, "revoked", kT0 + kMinute)), Kinds_{});
  EXPECT_EQ(Kinds(live_.OnRefused(identity_, "unknown", kT0 + kMinute)), Kinds_{v1::HostEdge::HOST_REFUSED});
  EXPECT_EQ(Kinds(live_.OnRefused(identity_, "unknown", kT0 + 2 * kHour)),
            Kinds_{v1::HostEdge::HOST_REFUSED});
}

TEST_F(LivenessTest, UnknownHostsChangeNothing) {
  EXPECT_EQ(Kinds(live_.OnHeartbeat("h2", beat_, kT0)), Kinds_{});
  EXPECT_EQ(Kinds(live_.OnGoodbye("h2", "restart", kT0)), Kinds_{});
  EXPECT_TRUE(live_.hosts().empty());
}

TEST(Offset, TheLeastDelayCounts) {
  OffsetEstimator offset;
  offset.Observe(100 * kSecond, 0, kT0 + 100 * kSecond + 30 * kMillisecond);
  offset.Observe(105 * kSecond, 0, kT0 + 105 * kSecond + 2 * kMillisecond);
  offset.Observe(110 * kSecond, 0, kT0 + 110 * kSecond + 500 * kMillisecond);
  EXPECT_EQ(offset.ToEngine(200 * kSecond), kT0 + 200 * kSecond + 2 * kMillisecond);
}

TEST(Offset, OldObservationsAreForgotten) {
  OffsetEstimator offset;
  offset.Observe(0, 0, kT0);
  for (int i = 1; i <= 12; ++i) offset.Observe(i * 5 * kSecond, 0, kT0 + i * 5 * kSecond + kSecond);
  EXPECT_EQ(offset.ToEngine(0), kT0 + kSecond);
}

TEST(Offset, SkewIsWallMinusOurs) {
  OffsetEstimator offset;
  offset.Observe(100 * kSecond, kT0 + 3 * kSecond, kT0);
  EXPECT_EQ(offset.skew(), 3 * kSecond);
  offset.Observe(105 * kSecond, kT0 + 5 * kSecond - 2 * kSecond, kT0 + 5 * kSecond);
  EXPECT_EQ(offset.skew(), -2 * kSecond);
}

}  // namespace
}  // namespace quell::fleet
