// A fleet that arrives: what a handshake costs the controller, and how long a fleet is away after the
// controller's kill -9. The test is a tiny form of the same command.
//
//   reconnect_bench [AGENTS]     (default: 1000; at most 5000)
//
// Handshakes: mutual TLS 1.3 with the real controller, one after the other, each with another agent's key,
// from dialling until the server's first bytes behind the handshake have come (so it has accepted ours). CPU
// is the controller's, user and system. Reconnection: the real links of as many agents, in this process, on
// this machine's processors as well: the figures are about both ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/security/grpc_credentials.h"
#include "common/security/pki.h"
#include "gtest/gtest.h"
#include "tests/integration/stub_agents.h"
#include "tests/integration/world.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

double CpuSeconds(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  double user = 0, system = 0;
  Require(fields.size() > 12 && absl::SimpleAtod(fields[11], &user) && absl::SimpleAtod(fields[12], &system),
          "reading a process's times failed");
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// From dialling to the server's first bytes; 0: it failed.
Micros Handshake(uint16_t port, const std::string& keys) {
  const Micros begin = RealClock().Monotonic();
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_use_certificate_file(context.get(), (keys + "/agent.crt").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(context.get(), (keys + "/agent.key").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return 0;
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  SSL_set_fd(ssl.get(), fd.get());
  char byte = 0;
  const bool done = SSL_connect(ssl.get()) == 1 && SSL_read(ssl.get(), &byte, 1) == 1;
  return done ? RealClock().Monotonic() - begin : 0;
}

class Bench {
 public:
  explicit Bench(int agents) : world_({.rules = "groups: []\n"}) {
    for (int n = 0; n < agents; ++n) {
      auto issued =
          security::IssueAgent(world_.dir().Path("pki"), absl::StrCat("stub-", n), kDay, RealClock().Wall());
      Require(issued.ok(), issued.status().ToString());
      keys_.push_back(issued->directory);
    }
    world_.StartController();
  }

  int Run() { return Handshakes() && Reconnection() ? 0 : 1; }

 private:
  bool Handshakes() {
    std::vector<Micros> taken;
    const double before = CpuSeconds(world_.Pid("controller"));
    for (const std::string& keys : keys_) taken.push_back(Handshake(world_.agents_port(), keys));
    const double spent = CpuSeconds(world_.Pid("controller")) - before;
    std::sort(taken.begin(), taken.end());
    if (taken.front() == 0) {
      fprintf(stderr, "a handshake failed\n%s\n", world_.Log("controller").c_str());
      return false;
    }
    printf("%zu handshakes: %.2f ms of the controller's CPU each; p50 %.2f ms, p99 %.2f ms\n", taken.size(),
           1e3 * spent / static_cast<double>(taken.size()),
           static_cast<double>(taken[taken.size() / 2]) / 1e3,
           static_cast<double>(taken[taken.size() * 99 / 100]) / 1e3);
    return true;
  }

  bool Reconnection() {
    StubAgents stubs(keys_, world_.dir().MakeDirectory("stubs", 0700),
                     absl::StrCat("127.0.0.1:", world_.agents_port()));
    const auto all_there = [&] { return stubs.connected() == keys_.size(); };
    const Micros first = RealClock().Monotonic();
    stubs.Start();
    if (!WaitFor(all_there, 5 * kMinute)) return Missing(stubs);
    printf("%zu agents: all there %.2f s after they began\n", keys_.size(), Since(first));
    if (!WaitFor([&] { return Answered(); }, kMinute)) return Missing(stubs);
    world_.Kill("controller");
    WaitFor([&] { return stubs.connected() == 0; }, kMinute);
    const Micros begin = RealClock().Monotonic();
    world_.StartController();
    const double ready = Since(begin);
    if (!WaitFor(all_there, 5 * kMinute)) return Missing(stubs);
    const double back = Since(begin);
    if (!WaitFor([&] { return Answered(); }, kMinute)) return Missing(stubs);
    printf(
        "after kill -9: answers again after %.2f s, all back after %.2f s, an expression over "
        "all of them after %.2f s\n",
        ready, back, Since(begin));
    return true;
  }

  bool Missing(const StubAgents& stubs) {
    fprintf(stderr, "%zu of %zu agents are connected\n%s\n", stubs.connected(), keys_.size(),
            world_.Log("controller").c_str());
    return false;
  }
  // An expression over the whole fleet, on samples of all.
  bool Answered() {
    poll(nullptr, 0, 200);  // each look is a program, beside those that are measured
    const Json answer =
        world_.Quell({"query", absl::StrCat("count(quell_agent_executor_up) == ", keys_.size())});
    return answer.is_object() && answer.contains("result") && !answer["result"].empty();
  }
  static double Since(Micros begin) { return static_cast<double>(RealClock().Monotonic() - begin) / kSecond; }

  World world_;
  std::vector<std::string> keys_;
};

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::security::PrepareGrpcProcess();
  quell::StartLog("reconnect_bench", quell::LogLevel::kWarning);
  quell::test::RaiseDescriptorLimit();
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, nullptr, _IOLBF, 0);  // figures are there although the rest takes long
  testing::InitGoogleTest(&argc, argv);
  const int agents = argc > 1 ? atoi(argv[1]) : 1'000;
  if (agents < 1 || agents > 5'000) {
    fprintf(stderr, "usage: reconnect_bench [AGENTS], 1 to 5000\n");
    return 2;
  }
  return quell::test::Bench(agents).Run();
}
