#include "tests/support/chaos_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "tests/support/loopback_server.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

using Way = ChaosProxy::Way;

// Sends back what comes, byte by byte.
class ChaosProxyTest : public testing::Test {
 protected:
  ChaosProxyTest()
      : echo_([](Connection& connection) {
          while (const auto byte = connection.Bytes(1)) {
            if (!connection.Write(*byte)) return;
          }
        }),
        proxy_("127.0.0.1:0", absl::StrCat("127.0.0.1:", echo_.port())) {}

  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(proxy_.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  static void Send(const UniqueFd& fd, const std::string& text) {
    EXPECT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // What comes back until n bytes are there, the connection ends, or the time is over.
  static std::string Receive(const UniqueFd& fd, size_t n, Micros deadline = 20 * kSecond) {
    std::string got;
    const Micros end = RealClock().Monotonic() + deadline;
    while (got.size() < n) {
      const Micros left = end - RealClock().Monotonic();
      pollfd ready{fd.get(), POLLIN, 0};
      if (left <= 0 || poll(&ready, 1, static_cast<int>(left / kMillisecond) + 1) <= 0) break;
      char buffer[4096];
      const ssize_t more = recv(fd.get(), buffer, std::min(sizeof(buffer), n - got.size()), 0);
      if (more <= 0) break;
      got.append(buffer, static_cast<size_t>(more));
    }
    return got;
  }
  static bool WasReset(const UniqueFd& fd) {
    char byte = 0;
    return recv(fd.get(), &byte, 1, 0) < 0 && errno == ECONNRESET;
  }

  LoopbackServer echo_;
  ChaosProxy proxy_;
};

TEST_F(ChaosProxyTest, PassesBothWaysAndAnOrderlyEnd) {
  const UniqueFd fd = Connect();
  Send(fd, "hello");
  EXPECT_EQ(Receive(fd, 5), "hello");
  shutdown(fd.get(), SHUT_WR);
  EXPECT_EQ(Receive(fd, 1), "");
  EXPECT_EQ(proxy_.counts().up, 5u);
  EXPECT_EQ(proxy_.counts().down, 5u);
  EXPECT_EQ(proxy_.counts().connections, 1u);
}

TEST_F(ChaosProxyTest, LatencyIsOfEachWayAndKeepsTheOrder) {
  proxy_.Set({.latency = 40 * kMillisecond});
  const UniqueFd fd = Connect();
  const Micros begin = RealClock().Monotonic();
  Send(fd, "a");
  Send(fd, "bc");
  EXPECT_EQ(Receive(fd, 3), "abc");
  EXPECT_GE(RealClock().Monotonic() - begin, 80 * kMillisecond);
}

TEST_F(ChaosProxyTest, CutsEveryConnectionAfterExactlySoManyBytes) {
  const UniqueFd fd = Connect(), other = Connect();
  Send(other, "x");
  ASSERT_EQ(Receive(other, 1), "x");
  proxy_.CutAfter(Way::kDown, 4);
  Send(fd, "abcdefgh");
  EXPECT_EQ(Receive(fd, 8), "abcd");
  EXPECT_TRUE(WasReset(other));
  EXPECT_EQ(proxy_.counts().cuts, 1u);
  const UniqueFd next = Connect();  // once
  Send(next, "abcdefgh");
  EXPECT_EQ(Receive(next, 8), "abcdefgh");
  proxy_.CutAfter(Way::kUp, 0);
  Send(next, "i");
  EXPECT_EQ(Receive(next, 1), "");
  EXPECT_EQ(proxy_.counts().cuts, 2u);
}

TEST_F(ChaosProxyTest, OneWayIsHeldBackUntilItPassesAgain) {
  const UniqueFd fd = Connect();
  Send(fd, "a");
  ASSERT_EQ(Receive(fd, 1), "a");
  proxy_.Set({.down_passes = false});
  Send(fd, "bc");
  EXPECT_TRUE(WaitFor([&] { return proxy_.counts().up == 3; }));
  EXPECT_EQ(Receive(fd, 2, 50 * kMillisecond), "");
  proxy_.Set({});
  EXPECT_EQ(Receive(fd, 2), "bc");
}

TEST_F(ChaosProxyTest, ABoundOfBytesASecondHolds) {
  proxy_.Set({.bytes_per_second = 100});
  const UniqueFd fd = Connect();
  const Micros begin = RealClock().Monotonic();
  Send(fd, std::string(30, 'x'));
  EXPECT_EQ(Receive(fd, 30).size(), 30u);
  EXPECT_GE(RealClock().Monotonic() - begin, 200 * kMillisecond);
}

TEST_F(ChaosProxyTest, StallsAndResetsComeByChance) {
  proxy_.Set({.stalls = 1, .stall = 60 * kMillisecond});
  const UniqueFd fd = Connect();
  const Micros begin = RealClock().Monotonic();
  Send(fd, "a");
  EXPECT_EQ(Receive(fd, 1), "a");
  EXPECT_GE(RealClock().Monotonic() - begin, 120 * kMillisecond);
  proxy_.Set({.resets = 1});
  Send(fd, "b");
  EXPECT_TRUE(WasReset(fd));
  EXPECT_EQ(proxy_.counts().resets, 1u);
}

TEST_F(ChaosProxyTest, AnotherTargetIsForLaterConnections) {
  LoopbackServer other([](Connection& connection) { connection.Write("other"); });
  const UniqueFd before = Connect();
  Send(before, "a");
  ASSERT_EQ(Receive(before, 1), "a");
  proxy_.SetTarget(absl::StrCat("127.0.0.1:", other.port()));
  EXPECT_EQ(Receive(Connect(), 5), "other");
  Send(before, "b");
  EXPECT_EQ(Receive(before, 1), "b");
}

TEST_F(ChaosProxyTest, RefusesResetsAndRecordsWhenTold) {
  proxy_.Record(Way::kUp);
  const UniqueFd fd = Connect();
  Send(fd, "frame");
  ASSERT_EQ(Receive(fd, 5), "frame");
  EXPECT_EQ(proxy_.recorded(), std::vector<std::string>{"frame"});
  proxy_.ResetAll();
  EXPECT_TRUE(WasReset(fd));
  proxy_.Set({.accepts = false});
  const UniqueFd refused = Connect();
  EXPECT_EQ(Receive(refused, 1), "");
  EXPECT_EQ(proxy_.counts().connections, 1u);
}

}  // namespace
}  // namespace quell::test
