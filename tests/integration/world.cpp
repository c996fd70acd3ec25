#include "tests/integration/world.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/status.h"
#include "common/security/pki.h"
#include "common/security/responder.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kHost[] = "web-1";

int RunToItsEnd(const std::string& program, const std::vector<std::string>& words, std::string* error) {
  SpawnOptions options;
  options.program = Program(program);
  options.argv = {program};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.memory_limit = 0;
  options.deadline = kMinute;
  auto child = RealProcess().Start(options);
  Require(child.ok(), child.status().ToString());
  ExitStatus exit = (*child)->Wait();
  if (error != nullptr) *error = exit.error_output;
  return exit.signal != 0 ? 128 + exit.signal : exit.code;
}

}  // namespace

World::World(WorldOptions options)
    : WorldPlace(),
      Console(dir_.Path("operator.sock"), FreePort()),
      Programs(dir_.path()),
      options_(std::move(options)) {
  user_ = getpwuid(getuid())->pw_name;
  agents_port_ = FreePort();
  enrol_port_ = FreePort();
  responders_port_ = FreePort();
  if (!options_.apps.empty()) {
    auto pm2 = Pm2Daemon::Start(dir_.MakeDirectory("pm2"), options_.apps);
    Require(pm2.ok(), absl::StrCat("PM2: ", pm2.status().ToString()));
    pm2_ = *std::move(pm2);
  }
  MakeKeys();
  WriteFiles();
}

void World::MakeKeys() {
  security::PkiOptions pki;
  pki.directory = dir_.Path("pki");
  pki.addresses = {"127.0.0.1"};
  if (options_.enrols) dir_.MakeDirectory("host");
  if (!options_.enrols) pki.agents = {kHost};
  pki.now = RealClock().Wall();
  auto made = security::InitPki(pki);
  Require(made.ok(), made.status().ToString());
}

void World::WriteFiles() {
  dir_.Write("controller/rules.d/rules.yml", options_.rules);
  dir_.Write("controller/policies.d/policies.yaml", options_.policies);
  dir_.Write("controller/controller.yaml",
             absl::StrCat(
                 "listen: {agents: \"127.0.0.1:", agents_port_, "\", web: \"127.0.0.1:", web_port(),
                 "\", enrol: \"", EnrolPort(), "\"", Responders(), "}\n",
                 "socket: ", dir_.Path("operator.sock"), "\nstore: {sqlite: ", dir_.Path("controller/log.db"),
                 "}\npki: {directory: ", dir_.Path("pki/controller"), "}\nmonitoring: ", options_.monitoring,
                 "\ndeadlines: ", options_.deadlines, "\nreceivers:\n  oncall: {type: email, smtp: \"",
                 mail_.Address(), "\", from: quell@localhost, to: oncall@localhost, tls: off, wakes: true}\n",
                 "  hook: {type: webhook, url: \"", hook_.Url("/hook"), "\"}\n",
                 absl::StrReplaceAll(options_.receivers, {{"MAIL", mail_.Address()}}),
                 "audience: ", options_.audience, "\nroutes: [{to: [hook]}]\nsources: ",
                 absl::StrReplaceAll(options_.sources, {{"DIR", dir_.path()}}), "\n"));
  const std::string users = pm2_ == nullptr
                                ? ""
                                : absl::StrCat("  pm2: {users: [{user: ", user_, ", home: ", pm2_->home(),
                                               "}], every: ", options_.every, "}\n");
  const std::string keys = HostKeys();
  dir_.Write("agent.yaml", absl::StrCat("controller: {addresses: [\"127.0.0.1:", agents_port_,
                                        "\"], enrol: [\"", EnrolPort(), "\"]}\nstate: ", dir_.Path("agent"),
                                        "\ntls: {key: ", keys, "/agent.key, certificate: ", keys,
                                        "/agent.crt, trust_bundle: ", keys, "/trust.bundle, root_pin: ", keys,
                                        "/root.pin}\nexecutor: {socket: ", dir_.Path("executor.sock"),
                                        "}\ncollectors:\n  host: {every: ", options_.every, "}\n", users,
                                        options_.collectors, "  probes: ", options_.probes, "\n",
                                        options_.changes.empty() ? "" : "  changes: ",
                                        absl::StrReplaceAll(options_.changes, {{"DIR", dir_.path()}}), "\n"));
  dir_.Write("sanctions/sanctions.yaml", options_.sanctions);
}

void World::StartController() {
  Start("controller",
        {Program("quell-controller"), "run", "--config", dir_.Path("controller/controller.yaml")});
  EXPECT_TRUE(WaitFor([this] { return QuellExit({"whoami"}) == 0; }, 60 * kSecond)) << Log("controller");
}

void World::StartControllerUntil(const std::string& crash_at) {
  Start("controller", {absl::StrCat(QUELL_BINARY_DIR, "/tests/quell-controller-steps"), "run", "--config",
                       dir_.Path("controller/controller.yaml"), "--crash-at", crash_at});
}

void World::StartExecutor() {
  const std::string keys = HostKeys();
  unlink(dir_.Path("executor.sock").c_str());
  std::vector<std::string> words = {Program("quell-executor"),
                                    "--state",
                                    dir_.Path("executor"),
                                    "--socket",
                                    dir_.Path("executor.sock"),
                                    "--agent-uid",
                                    absl::StrCat(getuid()),
                                    "--sanctions",
                                    dir_.Path("sanctions/sanctions.yaml"),
                                    "--hold-file",
                                    dir_.Path("sanctions/hold"),
                                    "--trust-bundle",
                                    keys + "/trust.bundle",
                                    "--root-pin",
                                    keys + "/root.pin",
                                    "--host-id",
                                    keys + "/host-id",
                                    "--agent-config",
                                    dir_.Path("agent.yaml"),
                                    "--worker",
                                    Program("quell-worker"),
                                    "--reader",
                                    Program("quell-pm2-reader")};
  words.insert(words.end(), options_.executor.begin(), options_.executor.end());
  Start("executor", words);
  EXPECT_TRUE(WaitFor([this] { return access(dir_.Path("executor.sock").c_str(), F_OK) == 0; }));
}

void World::StartAgent() { Start("agent", {Program("quell-agent"), "--config", dir_.Path("agent.yaml")}); }

std::string World::HostKeys() const {
  return dir_.Path(options_.enrols ? std::string("host") : absl::StrCat("pki/agent-", kHost));
}

// Off unless wanted, as it comes.
std::string World::Responders() const {
  return options_.people ? absl::StrCat(", responders: \"127.0.0.1:", responders_port_, "\"") : "";
}

std::string World::EnrolPort() const { return absl::StrCat("127.0.0.1:", enrol_port_); }

int World::Enrol(std::string* error) {
  const std::string token = dir_.Path("token");
  unlink(token.c_str());
  if (QuellExit({"agent", "token", "--host", kHost, "--label", "role=web", "--out", token}, nullptr, error) !=
      0)
    return -1;
  return AgentExit(
      {"enrol", "--controller", EnrolPort(), "--token-file", token, "--config", dir_.Path("agent.yaml")},
      error);
}

int World::AgentExit(const std::vector<std::string>& words, std::string* error) {
  return RunToItsEnd("quell-agent", words, error);
}

int World::ControllerExit(std::string* error) {
  return RunToItsEnd("quell-controller", {"run", "--config", dir_.Path("controller/controller.yaml")}, error);
}

void World::StartAll() {
  StartController();
  std::string error;
  EXPECT_TRUE(!options_.enrols || Enrol(&error) == 0) << error;
  StartExecutor();
  StartAgent();
  WaitUntilSeen();
}

void World::WaitUntilSeen() {
  EXPECT_TRUE(WaitFor(
      [this] {
        for (const Json& host : Items("hosts")) {
          if (host.value("liveness", "") != "connected") return false;
        }
        return !Items("hosts").empty() && Items("apps").size() >= options_.apps.size();
      },
      60 * kSecond));
}

void World::LogIn(const std::string& person, const std::string& role) {
  const std::string request = dir_.Path(person + ".csr");
  std::string error;
  Require(QuellAs(person, {"login", "--csr-out", request, "--name", person}, nullptr, &error) == 0, error);
  security::ResponderIssue issue;
  issue.directory = dir_.Path("pki");
  issue.request = ReadFile(request);
  issue.name = person;
  issue.now = RealClock().Wall();
  const auto pass = security::IssueResponder(issue);
  Require(pass.ok(), pass.status().ToString());
  dir_.Write(person + ".pass", security::FormatPass(*pass));
  const int in = QuellAs(person,
                         {"login", "--certificate", dir_.Path(person + ".pass"), "--address",
                          absl::StrCat("127.0.0.1:", responders_port_)},
                         nullptr, &error);
  Require(in == 0, error);
  Require(QuellExit({"responder", "role", person, role}, nullptr, &error) == 0, error);
}

int World::QuellAs(const std::string& person, std::vector<std::string> words, std::string* output,
                   std::string* error) {
  return RunQuell(words, {absl::StrCat("HOME=", dir_.Path(absl::StrCat("home-", person)))}, output, error);
}

}  // namespace quell::test
