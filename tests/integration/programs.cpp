#include "tests/integration/programs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/support/files.h"

namespace quell::test {

std::string Program(const std::string& name) { return absl::StrCat(QUELL_BINARY_DIR, "/bin/", name); }

void Programs::KillAll() {
  for (const std::string& name : started_) {
    if (Running(name)) Kill(name);
    if (testing::Test::HasFailure()) printf("---- %s\n%s\n", name.c_str(), Log(name).c_str());
  }
  started_.clear();
}

void Programs::Start(const std::string& name, const std::vector<std::string>& words,
                     const std::function<void()>& prepare) {
  Require(!Running(name), absl::StrCat(name, " runs already"));
  std::vector<char*> argv;
  std::vector<std::string> all = words;
  for (std::string& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = absl::StrCat(directory_, "/", name, ".log");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  Require(pid >= 0, "fork failed");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    if (prepare) prepare();
    execv(argv[0], argv.data());
    _exit(127);
  }
  pids_[name] = pid;
  started_.insert(name);
}

bool Programs::Running(const std::string& name) {
  auto found = pids_.find(name);
  if (found == pids_.end()) return false;
  if (waitpid(found->second, nullptr, WNOHANG) == 0) return true;
  pids_.erase(found);
  return false;
}

void Programs::Kill(const std::string& name) {
  const pid_t pid = pids_.at(name);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  pids_.erase(name);
}

void Programs::Signal(const std::string& name, int signal) const { kill(pids_.at(name), signal); }

int Programs::Stop(const std::string& name) {
  const pid_t pid = pids_.at(name);
  kill(pid, SIGTERM);
  int status = 0;
  waitpid(pid, &status, 0);
  pids_.erase(name);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Programs::Log(const std::string& name) const {
  return ReadFile(absl::StrCat(directory_, "/", name, ".log"));
}

}  // namespace quell::test
