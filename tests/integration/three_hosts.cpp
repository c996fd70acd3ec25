#include "tests/integration/three_hosts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/status.h"
#include "common/security/pki.h"
#include "tests/integration/scene.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr int kAgentsPort = 7400;  // nobody else is in this network
constexpr int kEnrolPort = 7401;
constexpr int kWebPort = 7402;
constexpr int kAppPort = 3000;

constexpr char kPolicies[] = R"(policies:
- name: restart-app
  mode: automatic
  when: {alert: AppHung}
  page: {unless_verified_in: 90s}
  steps:
  - action: pm2.restart
    with: {user: $labels.user, app: $labels.app}
    verify: {cleared: true, within: 30s, hold: 2s}
  guard: {cooldown: 5m, attempts: {max: 2, within: 1h}, fresh: 10s}
  otherwise: page
)";

// In a child: from here on, and in what it becomes, the boot-time clock is so far off.
void EnterBootTime(int seconds) {
  if (unshare(CLONE_NEWTIME) != 0) _exit(125);
  const int offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  char line[64];
  const int n = snprintf(line, sizeof(line), "boottime %d 0\n", seconds);
  if (offsets < 0 || write(offsets, line, static_cast<size_t>(n)) != n) _exit(125);
  close(offsets);
  const int made = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (made < 0 || setns(made, CLONE_NEWTIME) != 0) _exit(125);
}

}  // namespace

std::string ThreeHosts::Name(int host) { return absl::StrCat("web-", host); }

ThreeHosts::ThreeHosts(ThreeHostsOptions options)
    : HostsPlace(),
      Console(dir_.Path("operator.sock"), kWebPort),
      Programs(dir_.path()),
      options_(std::move(options)),
      user_(getpwuid(getuid())->pw_name) {
  for (int host = 1; host <= kHosts; ++host) {
    Host& made = hosts_[Index(host)];
    made.directory = dir_.MakeDirectory(Name(host), 0700);
    made.network = std::make_unique<NetworkHost>(host);
    if (!options_.direct)
      made.proxy =
          std::make_unique<ChaosProxy>(made.network->here() + ":0", absl::StrCat("127.0.0.1:", kAgentsPort));
  }
  MakeKeys();
  WriteController();
  if (options_.app) StartPm2();
  for (int host = 1; host <= kHosts; ++host) WriteHost(host);
}

void ThreeHosts::MakeKeys() {
  security::PkiOptions pki;
  pki.directory = dir_.Path("pki");
  pki.addresses = {"127.0.0.1"};
  for (int host = 1; host <= kHosts; ++host) {
    pki.addresses.push_back(network(host).here());
    if (options_.enrols) dir_.MakeDirectory(Name(host) + "/keys", 0700);
    if (!options_.enrols) pki.agents.push_back(Name(host));
  }
  pki.now = RealClock().Wall() - 2 * kDay;  // valid on clocks that are behind by less
  for (int stub = 1; stub <= options_.stubs; ++stub) pki.agents.push_back(absl::StrCat("stub-", stub));
  auto made = security::InitPki(pki);
  Require(made.ok(), made.status().ToString());
}

std::string ThreeHosts::KeysOf(int host) const {
  return dir_.Path(options_.enrols ? Name(host) + "/keys" : "pki/agent-" + Name(host));
}

void ThreeHosts::WriteController() {
  dir_.Write("controller/rules.d/rules.yml", options_.rules ? kAppRules : "groups: []\n");
  dir_.Write("controller/policies.d/policies.yaml", kPolicies);
  dir_.Write("controller/controller.yaml",
             absl::StrCat("listen: {agents: \"0.0.0.0:", kAgentsPort, "\", web: \"127.0.0.1:", kWebPort,
                          "\", enrol: \"0.0.0.0:", kEnrolPort, "\"}\nsocket: ", dir_.Path("operator.sock"),
                          "\nstore: {sqlite: ", dir_.Path("controller/log.db"),
                          "}\npki: {directory: ", dir_.Path("pki/controller"),
                          "}\nagents: {certificate_lifetime: ", options_.certificate_lifetime,
                          "}\nmonitoring: ", options_.monitoring, "\nlost_after: ", options_.lost_after,
                          "\nreceivers:\n  oncall: {type: email, smtp: \"", mail_.Address(),
                          "\", from: quell@localhost, to: oncall@localhost, tls: off, wakes: true}\n",
                          "  hook: {type: webhook, url: \"", hook_.Url("/hook"), "\"}\n",
                          "audience: {P0: [oncall], P1: [oncall], P2: [oncall]}\nroutes: [{to: [hook]}]\n"));
}

void ThreeHosts::WriteHost(int host) {
  const std::string in = hosts_[Index(host)].directory;
  const std::string keys = KeysOf(host);
  const bool app = options_.app && host == 1;
  const std::string more =
      !app ? ""
           : absl::StrCat("  pm2: {users: [{user: ", user_, ", home: ", pm2_->home(),
                          "}]}\n  probes: [{name: health, about: {user: ", user_,
                          ", app: portal}, url: \"http://127.0.0.1:", kAppPort,
                          "/\", every: 1s, timeout: 1s, expect: {status: 200, body: ok}}]\n");
  const int port = options_.direct ? kAgentsPort : proxy(host).port();
  dir_.Write(Name(host) + "/agent.yaml",
             absl::StrCat("controller: {addresses: [\"", network(host).here(), ":", port, "\"], enrol: [\"",
                          network(host).here(), ":", kEnrolPort, "\"]}\nstate: ", in, "/agent\ntls: {key: ",
                          keys, "/agent.key, certificate: ", keys, "/agent.crt, trust_bundle: ", keys,
                          "/trust.bundle, root_pin: ", keys, "/root.pin}\nexecutor: {socket: ", in,
                          "/executor.sock}\ncollectors:\n  host: {every: 1s}\n", more));
  dir_.Write(
      Name(host) + "/sanctions/sanctions.yaml",
      app ? absl::StrCat("- {action: pm2.restart, user: ", user_, ", allow: {apps: [portal]}}\n") : "[]");
}

void ThreeHosts::StartPm2() {
  Pm2Daemon::Options options;
  options.inside = {"/usr/bin/nsenter", absl::StrCat("--net=", network(1).path())};
  auto pm2 =
      Pm2Daemon::Start(dir_.MakeDirectory("pm2"), {HangingApp("portal", control_.path(), kAppPort)}, options);
  Require(pm2.ok(), absl::StrCat("PM2: ", pm2.status().ToString()));
  pm2_ = *std::move(pm2);
}

void ThreeHosts::Launch(const std::string& name, const std::string& program,
                        std::vector<std::string> arguments, int network) {
  const auto other = programs_.find(name);
  arguments.insert(arguments.begin(), other != programs_.end() ? other->second : Program(program));
  Start(name, arguments, [&] {
    if (network >= 0 && setns(network, CLONE_NEWNET) != 0) _exit(126);
    for (const auto& [variable, value] : environments_[name]) setenv(variable.c_str(), value.c_str(), 1);
    const auto boot_time = boot_times_.find(name);
    if (boot_time != boot_times_.end()) EnterBootTime(boot_time->second);
  });
}

// libfaketime's file, read at each look at the clock; put in place whole.
void ThreeHosts::SetWall(const std::string& name, const std::string& clock) {
  const std::string path = dir_.Path("clock-" + name);
  dir_.Write("clock-" + name + ".new", clock + "\n");
  Require(rename((path + ".new").c_str(), path.c_str()) == 0, "setting a clock failed");
}

void ThreeHosts::FakeWall(const std::string& name) {
  SetWall(name, "+0");
  SetEnvironment(name, {{"LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"},
                        {"FAKETIME_TIMESTAMP_FILE", dir_.Path("clock-" + name)},
                        {"FAKETIME_NO_CACHE", "1"},
                        {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                        {"ASAN_OPTIONS", "verify_asan_link_order=0"}});  // in a build of the sanitizer's
}

void ThreeHosts::StartController() {
  Launch("controller", "quell-controller", {"run", "--config", dir_.Path("controller/controller.yaml")}, -1);
}

bool ThreeHosts::WaitForController() {
  return Await([this] { return QuellExit({"whoami"}) == 0; });
}

void ThreeHosts::StartExecutor(int host) {
  const std::string in = hosts_[Index(host)].directory;
  const std::string keys = KeysOf(host);
  const std::string worker = programs_.contains("worker") ? programs_["worker"] : Program("quell-worker");
  unlink((in + "/executor.sock").c_str());
  Launch(absl::StrCat("executor-", host), "quell-executor",
         {"--state",        in + "/executor",           "--socket",       in + "/executor.sock",
          "--agent-uid",    absl::StrCat(getuid()),     "--sanctions",    in + "/sanctions/sanctions.yaml",
          "--hold-file",    in + "/sanctions/hold",     "--trust-bundle", keys + "/trust.bundle",
          "--root-pin",     keys + "/root.pin",         "--host-id",      keys + "/host-id",
          "--agent-config", in + "/agent.yaml",         "--worker",       worker,
          "--reader",       Program("quell-pm2-reader")},
         network(host).fd());
  EXPECT_TRUE(WaitFor([&] { return access((in + "/executor.sock").c_str(), F_OK) == 0; }));
}

void ThreeHosts::StartAgent(int host) {
  Launch(absl::StrCat("agent-", host), "quell-agent",
         {"--config", hosts_[Index(host)].directory + "/agent.yaml"}, network(host).fd());
}

int ThreeHosts::Enrol(int host, std::string* error) {
  const std::string token = dir_.Path("token-" + Name(host));
  if (QuellExit({"agent", "token", "--host", Name(host), "--out", token}, nullptr, error) != 0) return -1;
  SpawnOptions options;
  options.program = "/usr/bin/nsenter";
  options.argv = {
      "nsenter",      absl::StrCat("--net=", network(host).path()),        Program("quell-agent"), "enrol",
      "--controller", absl::StrCat(network(host).here(), ":", kEnrolPort), "--token-file",         token,
      "--config",     hosts_[Index(host)].directory + "/agent.yaml"};
  options.memory_limit = 0;
  options.deadline = kMinute;
  auto child = RealProcess().Start(options);
  Require(child.ok(), child.status().ToString());
  const ExitStatus exit = (*child)->Wait();
  if (error != nullptr) *error = exit.error_output;
  return exit.signal != 0 ? 128 + exit.signal : exit.code;
}

void ThreeHosts::StartAll() {
  StartController();
  ASSERT_TRUE(WaitForController()) << Log("controller");
  for (int host = 1; host <= kHosts; ++host) {
    std::string error;
    ASSERT_TRUE(!options_.enrols || Enrol(host, &error) == 0) << error;
    StartExecutor(host);
    StartAgent(host);
  }
  for (int host = 1; host <= kHosts; ++host) ASSERT_TRUE(WaitForLiveness(host, "connected")) << Name(host);
  ASSERT_TRUE(!options_.app || Await([this] { return Value("probe_success") == 1; }));
}

int ThreeHosts::Starts() const {
  const std::string lines = ReadFile(control_.Path("starts"));
  return static_cast<int>(std::count(lines.begin(), lines.end(), '\n'));
}

int ThreeHosts::Restart(std::string* output) {
  std::string out, error;
  const int exit = QuellExit(RestartWords(), &out, &error);
  if (output != nullptr) *output = absl::StrCat(out, error);
  return exit;
}

bool ThreeHosts::WaitForStarts(int starts, Micros deadline) {
  return WaitFor([&] { return Starts() >= starts; }, deadline) && Starts() == starts;
}

std::vector<std::string> ThreeHosts::RestartWords() const {
  return {"run", "pm2.restart", "--host", Name(1), "--user", user_, "--app", "portal"};
}

void ThreeHosts::StartRestart(const std::string& name) {
  std::vector<std::string> words = RestartWords();
  words.insert(words.begin(), {"--socket", dir_.Path("operator.sock")});
  Launch(name, "quell", words, -1);
}

std::string ThreeHosts::Liveness(int host) {
  for (const Json& item : Items("hosts")) {
    if (item.value("name", "") == Name(host)) return item.value("liveness", "");
  }
  return "";
}

bool ThreeHosts::WaitForLiveness(int host, const std::string& liveness, Micros deadline) {
  return Await([&] { return Liveness(host) == liveness; }, deadline);
}

double ThreeHosts::Value(const std::string& query) {
  const Json answer = Quell({"query", query});
  if (!answer.is_object() || !answer.contains("result") || answer["result"].size() != 1) return NAN;
  const Json& value = answer["result"][0]["value"];
  const Json& number = value.is_array() ? value.back() : value;
  double out = NAN;
  if (number.is_number()) return number.get<double>();
  return number.is_string() && absl::SimpleAtod(number.get<std::string>(), &out) ? out : NAN;
}

int ThreeHosts::Incidents(const std::string& alert) {
  int count = 0;
  for (const Json& incident : Items("incidents")) count += absl::StrContains(incident.dump(), alert);
  return count;
}

int ThreeHosts::Commands(const std::string& state) {
  int count = 0;
  for (const Json& command : Items("commands")) count += command.value("state", "") == state;
  return count;
}

bool ThreeHosts::Await(const std::function<bool()>& condition, Micros deadline) {
  return WaitFor(
      [&] {
        if (condition()) return true;
        poll(nullptr, 0, 100);
        return false;
      },
      deadline);
}

long ThreeHosts::Resident(const std::string& program) const {
  for (const absl::string_view line :
       absl::StrSplit(ReadFile(absl::StrCat("/proc/", Pid(program), "/status")), '\n')) {
    if (absl::StartsWith(line, "VmRSS:")) return atol(std::string(line.substr(6)).c_str());
  }
  return 0;
}

}  // namespace quell::test
