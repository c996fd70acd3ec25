// The programs themselves: quell-executor, quell-worker and quell-pm2-reader beside a real PM2. Side effects
// are counted where they happen: in PM2's own count of restarts.
#include "tests/agent/executor/program.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/executor/confine.h"
#include "agent/worker/frame.h"
#include "quell/v1/reader.pb.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::Pm2Daemon;
using testing::HasSubstr;
using testing::Not;

constexpr char kCanary[] = "canary-7f3a";
constexpr char kApp[] =
    "const s = require('http').createServer((q, r) => r.end('ok')); s.listen(0, '127.0.0.1');"
    "console.log('ready'); console.error('a complaint');";

class Programs : public testing::Test {
 protected:
  void SetUp() override {
    auto daemon = Pm2Daemon::Start(
        pm2_directory_.path(), {{.name = "portal", .source = kApp, .environment = {{"API_KEY", kCanary}}}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    executor_ = std::make_unique<ExecutorProgram>(OwnUserName(), daemon_->home());
  }
  std::unique_ptr<TestAgent> StartAndConnect() {
    executor_->Start();
    auto agent = executor_->Connect();
    EXPECT_TRUE(test::WaitFor([&] { return agent->client().Status().has_value(); }));
    return agent;
  }

  test::TempDir pm2_directory_;
  std::unique_ptr<Pm2Daemon> daemon_;
  std::unique_ptr<ExecutorProgram> executor_;
};

const v1::EvidenceItem* Item(const v1::CommandReport& report, const std::string& name) {
  for (const v1::EvidenceItem& item : report.evidence()) {
    if (item.name() == name) return &item;
  }
  return nullptr;
}

TEST_F(Programs, RestartAnAppWithEvidenceFirst) {
  auto agent = StartAndConnect();
  const pid_t before = daemon_->AppPid("portal");
  v1::CommandBody body = executor_->Body("portal", "");
  v1::Pm2Process* expected = body.mutable_action()->mutable_pm2_restart()->add_expect();
  expected->set_pm_id(0);
  expected->set_pid(before);
  ASSERT_TRUE(executor_->Submit(*agent, body));
  const v1::CommandReport report = agent->AwaitOutcome(body.id());
  ASSERT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
  EXPECT_EQ(daemon_->AppRestarts("portal"), 1);
  EXPECT_EQ(report.before(0).pid(), before);
  EXPECT_EQ(report.after(0).pid(), daemon_->AppPid("portal"));
  EXPECT_NE(report.after(0).pid(), before);
  EXPECT_EQ(agent->reports(body.id())[0].outcome(), v1::OUTCOME_STARTED);
  for (const char* name : {"describe", "log.out", "log.err", "proc.status", "proc.wchan", "proc.fds",
                           "proc.sockets", "kernel.stack"}) {
    const v1::EvidenceItem* item = Item(report, name);
    ASSERT_NE(item, nullptr) << name;
    EXPECT_NE(item->content().empty(), item->missing().empty()) << name << ": " << item->missing();
  }
  EXPECT_THAT(Item(report, "log.out")->content(), HasSubstr("ready"));
  EXPECT_THAT(Item(report, "log.err")->content(), HasSubstr("a complaint"));
  EXPECT_THAT(Item(report, "describe")->content(), HasSubstr("portal"));
  EXPECT_THAT(Item(report, "proc.status")->content(), HasSubstr(absl::StrCat("Pid:\t", before)));
  EXPECT_THAT(Item(report, "proc.fds")->content(), HasSubstr("socket:["));
  EXPECT_THAT(Item(report, "proc.sockets")->content(), HasSubstr("127.0.0.1:"));
  EXPECT_THAT(Item(report, "proc.sockets")->content(), HasSubstr("LISTEN"));
  EXPECT_LT(report.evidence_ms(), 2100u);
  EXPECT_THAT(agent->bytes(), Not(HasSubstr(kCanary)));
}

TEST_F(Programs, RefuseWhatIsNotTheEvidenceAnyMore) {
  auto agent = StartAndConnect();
  v1::CommandBody body = executor_->Body("portal", "");
  v1::Pm2Process* expected = body.mutable_action()->mutable_pm2_restart()->add_expect();
  expected->set_pid(daemon_->AppPid("portal") + 1);
  ASSERT_TRUE(executor_->Submit(*agent, body));
  const v1::CommandReport report = agent->AwaitOutcome(body.id());
  EXPECT_EQ(report.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(report.reason(), HasSubstr("another process than the evidence"));
  EXPECT_EQ(daemon_->AppRestarts("portal"), 0);
}

TEST_F(Programs, ObeyTheStopFileAndTheSanctionsAsTheyAreNow) {
  auto agent = StartAndConnect();
  executor_->directory().Write("hold", "");
  v1::CommandBody body = executor_->Body("portal", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  EXPECT_EQ(agent->AwaitOutcome(body.id()).refusal(), v1::REFUSAL_HOLD);
  unlink(executor_->hold_file().c_str());
  executor_->Sanctions("- {action: pm2.explode}\n");
  body = executor_->Body("portal", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  EXPECT_EQ(agent->AwaitOutcome(body.id()).refusal(), v1::REFUSAL_SANCTION);
  agent->client().SetTrustBundle("nonsense");  // any message makes the next status
  EXPECT_TRUE(test::WaitFor([&] {
    auto status = agent->client().Status();
    return status && status->sanctions_error().find("no action is called pm2.explode") != std::string::npos &&
           status->refused() >= 2;
  }));
  EXPECT_EQ(daemon_->AppRestarts("portal"), 0);
}

// Ends the executor by SIGKILL at each step of a command; a controller then sends the same id under a new
// nonce until it has an outcome.
TEST_F(Programs, F01_KilledAtEachStepRestartsTheAppAtMostOnce) {
  int restarts = 0, unknown = 0;
  for (const char* step : {"epoch_synced", "verified", "checked", "evidence_taken", "intent_appended",
                           "intent_synced", "rechecked", "worker_started", "started_appended", "worker_ended",
                           "outcome_appended", "outcome_synced"}) {
    executor_->FreshState();
    executor_->Start(step);
    auto agent = executor_->Connect();
    v1::CommandBody body = executor_->Body("portal", "");
    ASSERT_TRUE(executor_->Submit(*agent, body)) << step;
    ExitStatus ended;
    ASSERT_TRUE(executor_->AwaitEnd(&ended)) << step;
    ASSERT_EQ(ended.signal, SIGKILL) << step << ": " << ended.error_output;
    ASSERT_TRUE(test::WaitFor([&] { return !agent->connected(); }));
    executor_->Start();
    v1::CommandReport report;
    for (int round = 0; round < 5 && report.outcome() == v1::OUTCOME_UNSPECIFIED; ++round) {
      ASSERT_TRUE(test::WaitFor([&] { return agent->connected(); }));
      executor_->Submit(*agent, body);
      report = agent->AwaitOutcome(body.id(), 8 * kSecond);
    }
    const int now = daemon_->AppRestarts("portal");
    EXPECT_LE(now - restarts, 1) << step;
    if (report.outcome() == v1::OUTCOME_UNKNOWN) {
      ++unknown;
    } else {
      EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << step << ": " << report.reason();
      EXPECT_EQ(now - restarts, 1) << step;
    }
    restarts = now;
  }
  EXPECT_GE(unknown, 3);  // from INTENT synced to OUTCOME written
  EXPECT_LE(unknown, 7);
}

// The children of a process whose program has this name.
std::vector<pid_t> ChildrenNamed(pid_t parent, const std::string& name) {
  std::vector<pid_t> found;
  std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  while (const dirent* entry = readdir(proc.get())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    const std::string stat = test::ReadFile(absl::StrCat("/proc/", pid, "/stat"));
    const size_t end = stat.rfind(')');
    if (end == std::string::npos || stat.find("(" + name + ")") == std::string::npos) continue;
    const std::vector<std::string> fields = absl::StrSplit(stat.substr(end + 2), ' ');
    if (fields.size() > 1 && fields[1] == std::to_string(parent)) found.push_back(pid);
  }
  return found;
}

TEST_F(Programs, F02_AWorkerKilledDuringTheEffectIsUnknownAndNotRunAgain) {
  // Ignores SIGINT, so that the restart takes PM2's whole kill_timeout.
  ASSERT_TRUE(daemon_
                  ->StartApps({{.name = "stubborn",
                                .source = "process.on('SIGINT', () => {}); setInterval(() => {}, 1000);",
                                .settings = R"({"kill_timeout": 3000})"}})
                  .ok());
  auto agent = StartAndConnect();
  v1::CommandBody body = executor_->Body("stubborn", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  ASSERT_TRUE(test::WaitFor([&] { return !agent->reports(body.id()).empty(); }));  // STARTED
  std::vector<pid_t> workers;
  ASSERT_TRUE(test::WaitFor([&] {
    workers = ChildrenNamed(executor_->pid(), "quell-worker");
    return !workers.empty() && daemon_->AppStatus("stubborn") == "stopping";
  }));
  for (const pid_t worker : workers) kill(worker, SIGKILL);
  EXPECT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_UNKNOWN);
  // PM2 ends what it was told; the same command never tells it again.
  EXPECT_TRUE(test::WaitFor([&] { return daemon_->AppStatus("stubborn") == "online"; }));
  ASSERT_TRUE(executor_->Submit(*agent, body));
  EXPECT_TRUE(
      test::WaitFor([&] { return agent->reports(body.id()).back().refusal() == v1::REFUSAL_DUPLICATE; }));
  EXPECT_EQ(agent->reports(body.id()).back().outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_EQ(daemon_->AppRestarts("stubborn"), 1);
}

TEST_F(Programs, F02_NoWorkerOutlivesAKilledExecutor) {
  ASSERT_TRUE(daemon_
                  ->StartApps({{.name = "stubborn",
                                .source = "process.on('SIGINT', () => {}); setInterval(() => {}, 1000);",
                                .settings = R"({"kill_timeout": 3000})"}})
                  .ok());
  auto agent = StartAndConnect();
  v1::CommandBody body = executor_->Body("stubborn", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  std::vector<pid_t> workers;
  ASSERT_TRUE(test::WaitFor([&] {
    workers = ChildrenNamed(executor_->pid(), "quell-worker");
    return !agent->reports(body.id()).empty() && !workers.empty();
  }));
  executor_->Kill();
  for (const pid_t worker : workers) {
    EXPECT_TRUE(test::WaitFor([&] {
      const std::string stat = test::ReadFile(absl::StrCat("/proc/", worker, "/stat"));
      return stat.empty() || stat.find(") Z ") != std::string::npos;
    }));
  }
  executor_->Start();
  EXPECT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_UNKNOWN);
}

TEST_F(Programs, X02_ReplaysAfterARestoredJournalDoNothing) {
  auto agent = StartAndConnect();
  v1::CommandBody body = executor_->Body("portal", "");
  const std::string empty_journal = test::ReadFile(executor_->state() + "/journal");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  ASSERT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
  const std::string recorded = executor_->Sign(body);
  executor_->Kill();
  ASSERT_TRUE(test::WaitFor([&] { return !agent->connected(); }));
  FILE* journal = fopen((executor_->state() + "/journal").c_str(), "w");
  ASSERT_NE(journal, nullptr);
  fwrite(empty_journal.data(), 1, empty_journal.size(), journal);
  fclose(journal);
  executor_->Start();
  ASSERT_TRUE(test::WaitFor([&] { return agent->client().Status().has_value(); }));
  ASSERT_TRUE(agent->client().Submit(recorded));
  EXPECT_TRUE(
      test::WaitFor([&] { return agent->reports(body.id()).back().refusal() == v1::REFUSAL_STALE_NONCE; }));
  EXPECT_EQ(daemon_->AppRestarts("portal"), 1);
}

// Sends raw packets; true when the executor ended the connection.
bool EndsTheConnection(const std::string& socket, const std::vector<std::string>& packets) {
  auto fd = ConnectPackets(socket);
  if (!fd.ok()) return false;
  for (const std::string& packet : packets) {
    const auto gone = [&] {
      const ssize_t n = send(fd->get(), packet.data(), packet.size(), MSG_NOSIGNAL);
      return n >= 0 || errno != EAGAIN;  // sent, or the far end has closed it already
    };
    if (!test::WaitFor(gone)) return false;
  }
  PacketSocket reader(*std::move(fd));
  return test::WaitFor([&] {
    std::vector<Message> messages;
    return !reader.Receive(&messages).ok();
  });
}

TEST_F(Programs, X14_OversizedAndMalformedPacketsEndTheConnectionAndNothingElse) {
  executor_->Start();
  ASSERT_TRUE(test::WaitFor([&] { return ConnectPackets(executor_->socket()).ok(); }));
  EXPECT_TRUE(EndsTheConnection(executor_->socket(), {std::string("\0", 1) + std::string(100, '\xff')}));
  EXPECT_TRUE(EndsTheConnection(executor_->socket(), {"\x02 neither more nor last"}));
  EXPECT_TRUE(EndsTheConnection(executor_->socket(), {std::string(100'000, '\0')}));
  std::vector<std::string> endless(40, "\x01" + std::string(60'000, 'x'));
  EXPECT_TRUE(EndsTheConnection(executor_->socket(), endless));
  auto agent = executor_->Connect();
  v1::ExecutorStatus status;
  ASSERT_TRUE(agent->AwaitStatus(&status));
  EXPECT_GE(status.refused(), 4u);
  v1::CommandBody body = executor_->Body("portal", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  EXPECT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST(Packets, X14_AFarEndThatNeverStopsSendingIsReadInParts) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  UniqueFd sender(ends[0]);
  PacketSocket reader{UniqueFd(ends[1])};
  size_t sent = 0;
  while (sent < 1000 && send(sender.get(), "\0whole", 6, MSG_NOSIGNAL) == 6) ++sent;
  ASSERT_GT(sent, 100u);
  std::vector<Message> messages;
  ASSERT_TRUE(reader.Receive(&messages).ok());
  EXPECT_GT(messages.size(), 0u);
  EXPECT_LT(messages.size(), sent);
  while (messages.size() < sent) ASSERT_TRUE(reader.Receive(&messages).ok());
  EXPECT_EQ(messages.back().bytes, "whole");
}

// The lowest number that a new descriptor of this process would get; files that it opens for a moment only
// are looked past.
rlim_t LowestFree(pid_t pid) {
  rlim_t lowest = 1000;
  for (int look = 0; look < 100; ++look) {
    rlim_t number = 0;
    while (access(absl::StrCat("/proc/", pid, "/fd/", number).c_str(), F_OK) == 0) ++number;
    lowest = std::min(lowest, number);
  }
  return lowest;
}

TEST_F(Programs, OutOfDescriptorsTheAgentWaitsAndTheExecutorDoesNotSpin) {
  executor_->Start();
  ASSERT_TRUE(test::WaitFor([&] { return access(executor_->socket().c_str(), F_OK) == 0; }));
  rlimit before{};
  ASSERT_EQ(prlimit(executor_->pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit none{LowestFree(executor_->pid()), before.rlim_max};
  ASSERT_EQ(prlimit(executor_->pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  auto agent = executor_->Connect();
  v1::ExecutorStatus status;
  EXPECT_FALSE(test::WaitFor([&] { return agent->client().Status().has_value(); }, 2 * kSecond));
  ASSERT_EQ(prlimit(executor_->pid(), RLIMIT_NOFILE, &before, nullptr), 0);
  ASSERT_TRUE(agent->AwaitStatus(&status));
  EXPECT_GE(status.refused(), 2u);
  EXPECT_LE(status.refused(), 10u);
  v1::CommandBody body = executor_->Body("portal", "");
  ASSERT_TRUE(executor_->Submit(*agent, body));
  EXPECT_EQ(agent->AwaitOutcome(body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(Programs, X14_AnotherUsersConnectionIsRefused) {
  if (geteuid() != 0) {
    // The executor expects somebody else: then this process is the wrong peer.
    executor_->Start("", geteuid() + 1);
    EXPECT_FALSE(test::WaitFor([&] { return executor_->Connect()->connected(); }, kSecond));
    return;
  }
  executor_->Start("", 0);
  ASSERT_TRUE(test::WaitFor([&] { return access(executor_->socket().c_str(), F_OK) == 0; }));
  struct stat st {};
  ASSERT_EQ(stat(executor_->socket().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  chmod(executor_->socket().c_str(), 0666);  // suppose somebody opened it wide
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(3);
    _exit(EndsTheConnection(executor_->socket(), {}) ? 0 : 1);
  }
  int ended = 0;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_EQ(WEXITSTATUS(ended), 0);
  auto agent = executor_->Connect();
  v1::ExecutorStatus status;
  ASSERT_TRUE(agent->AwaitStatus(&status));
  EXPECT_EQ(status.refused(), 1u);
}

TEST_F(Programs, HandTheAgentAReaderAndStartItAgain) {
  auto agent = StartAndConnect();
  for (int round = 0; round < 2; ++round) {
    UniqueFd reader = agent->AwaitReader(OwnUserName());
    ASSERT_TRUE(reader.valid());
    v1::ReaderFrame frame;
    for (int i = 0; i < 20 && frame.apps_size() == 0; ++i) {
      auto bytes = ReadWorkerFrame(reader.get(), 1 << 20);  // the same framing
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      ASSERT_TRUE(frame.ParseFromString(*bytes));
    }
    ASSERT_GT(frame.apps_size(), 0);
    EXPECT_EQ(frame.apps(0).name(), "portal");
    for (const pid_t pid : ChildrenNamed(executor_->pid(), "quell-pm2-reade")) kill(pid, SIGKILL);
  }
}

TEST_F(Programs, OpenNoIpSocketAndLinkNoGrpc) {
  executor_->Start();
  auto agent = executor_->Connect();
  ASSERT_TRUE(test::WaitFor([&] { return agent->connected(); }));
  EXPECT_THAT(test::ReadFile(absl::StrCat("/proc/", executor_->pid(), "/status")), HasSubstr("Seccomp:\t2"));
  for (const char* program : {"/bin/quell-executor", "/bin/quell-worker"}) {
    SpawnOptions options;
    options.program = "/usr/bin/nm";
    options.argv = {"nm", std::string(QUELL_BINARY_DIR) + program};
    options.output_limit = 256 << 20;
    options.memory_limit = 0;
    options.deadline = 60 * kSecond;
    auto nm = RealProcess().Start(options);
    ASSERT_TRUE(nm.ok()) << nm.status();
    const ExitStatus status = (*nm)->Wait();
    ASSERT_EQ(status.code, 0) << status.error_output;
    ASSERT_THAT(status.output, HasSubstr(" main"));
    EXPECT_EQ(status.output.find("grpc"), std::string::npos) << program;
  }
}

TEST(Confine, LeavesUnixSocketsAlone) {
  const pid_t child = fork();
  if (child == 0) {
    if (!ConfineSockets().ok()) _exit(2);
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EAFNOSUPPORT) _exit(3);
    if (socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || socket(AF_PACKET, SOCK_RAW, 0) >= 0) _exit(4);
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0) _exit(5);
    _exit(0);
  }
  int ended = 0;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_EQ(WEXITSTATUS(ended), 0);
}

TEST_F(Programs, TwoExecutorsDoNotShareAJournal) {
  auto agent = StartAndConnect();
  SpawnOptions options;
  options.program = std::string(QUELL_BINARY_DIR) + "/bin/quell-executor";
  options.argv = {"quell-executor", "--state", executor_->state()};
  auto second = RealProcess().Start(options);
  ASSERT_TRUE(second.ok());
  const ExitStatus status = (*second)->Wait();
  EXPECT_EQ(status.code, 1);
  EXPECT_THAT(status.error_output, HasSubstr("another executor uses"));
}

}  // namespace
}  // namespace quell::agent
