#include "tests/support/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "common/base/status.h"

namespace quell::test {
namespace {

// One datagram from the host to the test, or the other way; whether it arrives within a second.
class Wire {
 public:
  explicit Wire(const NetworkHost& host) : here_(Open(host.here())) {
    const UniqueFd own(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    Require(setns(host.fd(), CLONE_NEWNET) == 0, "entering the host failed");
    there_ = Open(host.there());
    Require(setns(own.get(), CLONE_NEWNET) == 0, "coming back failed");
  }
  bool Up(const NetworkHost& host) { return Sends(there_, here_, host.here()); }
  bool Down(const NetworkHost& host) { return Sends(here_, there_, host.there()); }

 private:
  static constexpr uint16_t kPort = 4000;
  static sockaddr_in Address(const std::string& address) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(kPort);
    inet_pton(AF_INET, address.c_str(), &out.sin_addr);
    return out;
  }
  static UniqueFd Open(const std::string& address) {
    UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in at = Address(address);
    Require(bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0, "binding failed");
    const timeval patience{1, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
  }
  static bool Sends(const UniqueFd& from, const UniqueFd& to, const std::string& address) {
    const sockaddr_in at = Address(address);
    char byte = 'x';
    sendto(from.get(), &byte, 1, 0, reinterpret_cast<const sockaddr*>(&at), sizeof(at));
    return recv(to.get(), &byte, 1, 0) == 1;
  }
  UniqueFd here_, there_;
};

std::string Interfaces() {
  std::ostringstream all;
  all << std::ifstream("/proc/thread-self/net/dev").rdbuf();
  return all.str();
}

TEST(NetworkTest, AHostIsReachedAndLosesItsLinkOrOneWay) {
  {
    NetworkHost host(1);
    Wire wire(host);
    EXPECT_TRUE(wire.Up(host));
    EXPECT_TRUE(wire.Down(host));
    host.LoseWhatIsSent(true);
    EXPECT_FALSE(wire.Down(host));
    EXPECT_TRUE(wire.Up(host));
    host.LoseWhatIsSent(false);
    EXPECT_TRUE(wire.Down(host));
    host.SetLink(false);
    EXPECT_FALSE(wire.Up(host));
    host.SetLink(true);
    EXPECT_TRUE(wire.Up(host));
    host.SetUpstreamBits(8'000);
    EXPECT_TRUE(wire.Up(host));
    host.SetUpstreamBits(0);
    EXPECT_TRUE(absl::StrContains(Interfaces(), "host-1"));
  }
  EXPECT_FALSE(absl::StrContains(Interfaces(), "host-1"));
}

TEST(NetworkTest, NothingOfTheMachinesNetworkIsSeen) {
  EXPECT_FALSE(absl::StrContains(Interfaces(), "eth0")) << Interfaces();
  EXPECT_TRUE(absl::StrContains(Interfaces(), "lo"));
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
