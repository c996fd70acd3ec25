#include "tests/agent/executor/program.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

constexpr char kHostId[] = "0b3f5a6e-1111-4222-8333-444455556666";

bool Ends(v1::Outcome outcome) {
  return outcome != v1::OUTCOME_UNSPECIFIED && outcome != v1::OUTCOME_STARTED;
}

}  // namespace

std::string OwnUserName() {
  const passwd* entry = getpwuid(geteuid());
  return entry == nullptr ? "" : entry->pw_name;
}

TestAgent::TestAgent(const std::string& socket)
    : client_(
          socket,
          [this](const std::string& user, UniqueFd fd) {
            absl::MutexLock lock(&mutex_);
            readers_[user] = std::move(fd);
          },
          [this](bool connected, const std::string&) {
            absl::MutexLock lock(&mutex_);
            connected_ = connected;
          }) {
  client_.SetCallbacks([] {},
                       [this](v1::CommandReport report) {
                         absl::MutexLock lock(&mutex_);
                         reports_.push_back(std::move(report));
                         return true;
                       });
  client_.Start();
}

bool TestAgent::connected() {
  absl::MutexLock lock(&mutex_);
  return connected_;
}

bool TestAgent::AwaitStatus(v1::ExecutorStatus* status) {
  return test::WaitFor([&] {
    auto newest = client_.Status();
    if (newest) *status = *newest;
    return newest.has_value();
  });
}

std::vector<v1::CommandReport> TestAgent::reports(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  std::vector<v1::CommandReport> found;
  for (const v1::CommandReport& report : reports_) {
    if (report.id() == id) found.push_back(report);
  }
  return found;
}

v1::CommandReport TestAgent::AwaitOutcome(const std::string& id, Micros within) {
  v1::CommandReport last;
  test::WaitFor(
      [&] {
        for (const v1::CommandReport& report : reports(id)) {
          if (Ends(report.outcome())) last = report;
        }
        return Ends(last.outcome());
      },
      within);
  return last;
}

std::string TestAgent::bytes() {
  absl::MutexLock lock(&mutex_);
  std::string all;
  for (const v1::CommandReport& report : reports_) all += report.SerializeAsString();
  return all;
}

UniqueFd TestAgent::AwaitReader(const std::string& user) {
  UniqueFd fd;
  test::WaitFor([&] {
    absl::MutexLock lock(&mutex_);
    auto reader = readers_.find(user);
    if (reader == readers_.end()) return false;
    fd = std::move(reader->second);
    readers_.erase(reader);
    return true;
  });
  return fd;
}

ExecutorProgram::ExecutorProgram(const std::string& user, const std::string& pm2_home)
    : pki_(RealClock().Wall()), user_(user) {
  pki_.WriteAgent(directory_.path(), kHostId);
  Sanctions(absl::StrCat("- {action: pm2.restart, user: ", user, ", allow: {apps: [\"*\"]}}\n"));
  directory_.Write("agent.yaml",
                   absl::StrCat("collectors:\n  pm2: {users: [{user: ", user, ", home: ", pm2_home, "}]}\n"));
}

ExecutorProgram::~ExecutorProgram() { Kill(); }

void ExecutorProgram::Start(const std::string& crash_at, uid_t agent_uid) {
  Kill();
  const std::string programs = std::string(QUELL_BINARY_DIR) + "/bin/";
  SpawnOptions options;
  options.program = std::string(QUELL_BINARY_DIR) + "/tests/quell-executor-steps";
  options.argv = {"quell-executor",
                  "--state",
                  state(),
                  "--socket",
                  socket(),
                  "--sanctions",
                  directory_.Path("sanctions.yaml"),
                  "--hold-file",
                  hold_file(),
                  "--trust-bundle",
                  directory_.Path("trust.bundle"),
                  "--root-pin",
                  directory_.Path("root.pin"),
                  "--host-id",
                  directory_.Path("host-id"),
                  "--agent-config",
                  directory_.Path("agent.yaml"),
                  "--worker",
                  programs + "quell-worker",
                  "--reader",
                  programs + "quell-pm2-reader"};
  if (!crash_at.empty()) options.argv.insert(options.argv.end(), {"--crash-at", crash_at});
  if (agent_uid != static_cast<uid_t>(-1)) {
    options.argv.insert(options.argv.end(), {"--agent-uid", absl::StrCat(agent_uid)});
  }
  options.deadline = 300 * kSecond;
  options.memory_limit = 0;
  auto child = RealProcess().Start(options);
  ASSERT_TRUE(child.ok()) << child.status();
  child_ = *std::move(child);
}

bool ExecutorProgram::AwaitEnd(ExitStatus* status) {
  if (child_ == nullptr) return false;
  *status = child_->Wait();
  child_.reset();
  return true;
}

void ExecutorProgram::Kill() {
  if (child_ == nullptr) return;
  child_->Kill();
  child_->Wait();
  child_.reset();
}

v1::CommandBody ExecutorProgram::Body(const std::string& app, const std::string& nonce) {
  v1::CommandBody body;
  body.set_id(RandomBytes(16));
  body.set_host_id(kHostId);
  body.mutable_action()->mutable_pm2_restart()->set_user(user_);
  body.mutable_action()->mutable_pm2_restart()->set_app(app);
  body.set_requested_by("policy:test");
  body.set_epoch_number(1);
  body.set_epoch_start(std::string(16, 'e'));
  body.set_nonce(nonce);
  body.set_valid_for_ms(30'000);
  return body;
}

std::string ExecutorProgram::Sign(const v1::CommandBody& body) const {
  v1::SignedCommand command;
  command.set_body(body.SerializeAsString());
  command.set_key_id(pki_.command_key().Id());
  command.set_signature(pki_.command_key().Sign(security::kCommandContext, command.body()));
  return command.SerializeAsString();
}

bool ExecutorProgram::Submit(TestAgent& agent, v1::CommandBody& body) {
  v1::ExecutorStatus status;
  if (!agent.AwaitStatus(&status)) return false;
  body.set_nonce(status.nonce());
  return agent.client().Submit(Sign(body));
}

}  // namespace quell::agent
