// Programs: child processes of a test, by name, each with a log of its own. They die with the test, however
// it ends. One thread.
#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace quell::test {

// Where one of the programs that were built lies.
std::string Program(const std::string& name);

class Programs {
 public:
  // Their logs are DIRECTORY/NAME.log.
  explicit Programs(std::string directory) : directory_(std::move(directory)) {}
  Programs(const Programs&) = delete;
  ~Programs() { KillAll(); }

  // Starting what runs is an error. `prepare` runs in the child before the program does; _exit is how it
  // fails.
  void Start(const std::string& name, const std::vector<std::string>& words,
             const std::function<void()>& prepare = nullptr);
  // What still runs; once a test has failed, also prints what all of them logged.
  void KillAll();
  // SIGKILL, and reaped.
  void Kill(const std::string& name);
  // SIGTERM; its exit code.
  int Stop(const std::string& name);
  bool Running(const std::string& name);
  void Signal(const std::string& name, int signal) const;
  pid_t Pid(const std::string& name) const { return pids_.at(name); }
  std::string Log(const std::string& name) const;

 private:
  const std::string directory_;
  std::map<std::string, pid_t> pids_;
  std::set<std::string> started_;
};

}  // namespace quell::test
