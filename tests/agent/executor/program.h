// The real quell-executor with its files in a directory of the test's own, and an agent's end of its socket.
// One thread, but for what the client's thread collects.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "agent/executor/client.h"
#include "common/base/process.h"
#include "common/base/thread.h"
#include "tests/common/security/test_pki.h"
#include "tests/support/files.h"

namespace quell::agent {

// Collects what the executor says.
class TestAgent {
 public:
  explicit TestAgent(const std::string& socket);
  ExecutorClient& client() { return client_; }
  bool AwaitStatus(v1::ExecutorStatus* status);  // of a live connection
  // The newest report about `id` whose outcome ends it; UNSPECIFIED when none came in time.
  v1::CommandReport AwaitOutcome(const std::string& id, Micros within = 20 * kSecond);
  std::vector<v1::CommandReport> reports(const std::string& id);
  std::string bytes();  // everything that came, for canaries
  UniqueFd AwaitReader(const std::string& user);
  bool connected();

 private:
  absl::Mutex mutex_;
  std::vector<v1::CommandReport> reports_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, UniqueFd> readers_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  ExecutorClient client_;
};

class ExecutorProgram {
 public:
  // `user`: whose PM2 at `pm2_home` it may restart everything of.
  ExecutorProgram(const std::string& user, const std::string& pm2_home);
  ~ExecutorProgram();

  void Start(const std::string& crash_at = "", uid_t agent_uid = static_cast<uid_t>(-1));
  bool AwaitEnd(ExitStatus* status);  // of a program that ends by itself
  void Kill();                        // SIGKILL, and waits
  pid_t pid() const { return child_ == nullptr ? 0 : child_->pid(); }

  std::unique_ptr<TestAgent> Connect() { return std::make_unique<TestAgent>(socket()); }
  v1::CommandBody Body(const std::string& app, const std::string& nonce);
  std::string Sign(const v1::CommandBody& body) const;
  // Submits under the newest nonce of `agent`.
  bool Submit(TestAgent& agent, v1::CommandBody& body);
  void Sanctions(const std::string& yaml) { directory_.Write("sanctions.yaml", yaml); }

  std::string socket() const { return directory_.Path("executor.sock"); }
  std::string state() const { return directory_.Path(state_); }
  void FreshState() { state_ = "state-" + std::to_string(++states_); }
  std::string hold_file() const { return directory_.Path("hold"); }
  const test::TempDir& directory() const { return directory_; }

 private:
  test::TempDir directory_;
  testing_support::TestPki pki_;
  const std::string user_;
  std::string state_ = "state-0";
  int states_ = 0;
  std::unique_ptr<ChildProcess> child_;
};

std::string OwnUserName();

}  // namespace quell::agent
