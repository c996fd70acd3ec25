#include "tests/support/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace quell::test {
namespace {

// Runs a command of iproute2 and waits for it; in another namespace where `inside` is one.
bool TryRun(const std::string& line, int inside = -1) {
  std::vector<std::string> words = absl::StrSplit(line, ' ');
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  Require(pid >= 0, "fork failed");
  if (pid == 0) {
    if (inside >= 0 && setns(inside, CLONE_NEWNET) != 0) _exit(126);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void Run(const std::string& line, int inside = -1) { Require(TryRun(line, inside), line + " failed"); }

// A namespace lives as long as somebody has it open.
UniqueFd MakeNamespace() {
  const UniqueFd own(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  Require(own.valid() && unshare(CLONE_NEWNET) == 0, "making a network namespace failed: is this root?");
  UniqueFd made(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  Require(made.valid() && setns(own.get(), CLONE_NEWNET) == 0, "coming back from a namespace failed");
  return made;
}

}  // namespace

void EnterOwnNetwork() {
  Require(unshare(CLONE_NEWNET) == 0, "making a network namespace failed: is this root?");
  Run("ip link set lo up");
}

NetworkHost::NetworkHost(int number)
    : number_(number),
      here_(absl::StrCat("10.77.", number, ".1")),
      there_(absl::StrCat("10.77.", number, ".2")),
      namespace_(MakeNamespace()) {
  const int inside = namespace_.get();
  Run(absl::StrCat("ip link add name uplink type veth peer name ", link(), " netns ", getpid()), inside);
  Run("ip link set lo up", inside);
  Run(absl::StrCat("ip address add ", there_, "/24 dev uplink"), inside);
  Run("ip link set uplink up", inside);
  Run(absl::StrCat("ip address add ", here_, "/24 dev ", link()));
  SetLink(true);
}

NetworkHost::~NetworkHost() { TryRun(absl::StrCat("ip link del ", link())); }

std::string NetworkHost::link() const { return absl::StrCat("host-", number_); }

std::string NetworkHost::path() const { return absl::StrCat("/proc/", getpid(), "/fd/", namespace_.get()); }

void NetworkHost::SetLink(bool up) { Run(absl::StrCat("ip link set ", link(), up ? " up" : " down")); }

void NetworkHost::LoseWhatIsSent(bool lose) {
  Run(absl::StrCat("ip route ", lose ? "add" : "del", " blackhole ", there_, "/32"));
}

void NetworkHost::SetUpstreamBits(int bits_per_second) {
  const int inside = namespace_.get();
  if (bits_per_second == 0) return Run("tc qdisc del dev uplink root", inside);
  Run(absl::StrCat("tc qdisc replace dev uplink root tbf rate ", bits_per_second,
                   "bit burst 1600 limit 16000"),
      inside);
}

}  // namespace quell::test
