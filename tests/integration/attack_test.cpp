// Somebody on the network without a credential: reliability rows X1 and X2. The whole form is larger:
// QUELL_WHOLE=1.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/integration/three_hosts.h"
#include "tests/support/loopback_server.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// The beginning of a TLS 1.3 ClientHello's record: 512 bytes are announced, and few come.
constexpr char kHalfAHello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

UniqueFd Dial(int port, std::string_view first) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(fd.valid(), "out of descriptors");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && !first.empty())
    (void)send(fd.get(), first.data(), first.size(), MSG_NOSIGNAL);
  return fd;
}

void Abort(const UniqueFd& fd) {
  const linger at_once{1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

TEST(Attack, X01_AFloodOfHalfOpenAndAbortedConnectionsCostsLittleAndNoAgentItsStream) {
  ThreeHosts fleet;
  fleet.StartAll();
  const std::string connected = fleet.Log("agent-1");
  const long before = fleet.Resident("controller");
  const size_t all = getenv("QUELL_WHOLE") != nullptr ? 10'000 : 2'000;
  constexpr size_t kAtOnce = 300;
  const std::string_view hello(kHalfAHello, sizeof(kHalfAHello) - 1);
  for (const int port : {7400, 7401}) {
    std::vector<UniqueFd> open;
    for (size_t n = 0; n < all / 2; ++n) {
      open.push_back(Dial(port, n % 3 == 0 ? "" : n % 3 == 1 ? hello : "GET / HTTP/1.1\r\n\r\n"));
      if (open.size() < kAtOnce) continue;
      for (const UniqueFd& fd : open) Abort(fd);
      open.clear();
    }
    std::string said;
    EXPECT_EQ(fleet.Restart(&said), 0) << port << said;  // with some still open
  }
  EXPECT_TRUE(fleet.WaitForStarts(3)) << fleet.Starts();
  EXPECT_LT(fleet.Resident("controller") - before, kMemoryFactor * (64 << 10)) << "KiB";
  EXPECT_EQ(fleet.Metric("quell_agents_connected"), "3");
  EXPECT_EQ(fleet.Log("agent-1"), connected) << "its stream is the one it had";
  EXPECT_TRUE(fleet.Running("controller"));
}

TEST(Attack, X02_WhatWasRecordedOnTheWayDoesNothingInANewSession) {
  ThreeHosts fleet({.rules = false});
  ChaosProxy& way = fleet.proxy(1);
  way.Record(ChaosProxy::Way::kDown);
  ChaosProxy& up = fleet.proxy(2);
  up.Record(ChaosProxy::Way::kUp);
  fleet.StartAll();
  std::string said;
  ASSERT_EQ(fleet.Restart(&said), 0) << said;
  ASSERT_TRUE(fleet.WaitForStarts(2));
  const std::vector<std::string> down = way.recorded();
  ASSERT_FALSE(down.empty());

  // A controller of recorded bytes: every answer that the real one ever gave, the order included.
  std::atomic<size_t> served{0};
  LoopbackServer replayer([&](Connection& connection) {
    if (!connection.Bytes(1)) return;
    connection.Write(down[served++ % down.size()]);
    connection.Hang();
  });
  way.SetTarget(absl::StrCat("127.0.0.1:", replayer.port()));
  way.ResetAll();
  ASSERT_TRUE(fleet.Await([&] { return served >= down.size() + 1; })) << fleet.Log("agent-1");
  // And an agent of recorded bytes.
  for (const std::string& bytes : up.recorded()) {
    const UniqueFd fd = Dial(7400, bytes);
    char byte = 0;
    while (recv(fd.get(), &byte, 1, 0) == 1) {
    }
  }
  int refused = 0;
  ASSERT_TRUE(fleet.Await([&] {
    return absl::SimpleAtoi(fleet.Metric("quell_handshakes_refused_total"), &refused) && refused > 0;
  }));
  EXPECT_EQ(fleet.Metric("quell_agents_connected"), "2");
  way.SetTarget("127.0.0.1:7400");
  ASSERT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "3"; }));
  ASSERT_EQ(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(fleet.WaitForStarts(3)) << fleet.Starts();
  EXPECT_EQ(fleet.Commands("succeeded"), 2);
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
