// Pm2Daemon: a real PM2 (the version that tests/support/pm2 pins, installed in build/pm2) with a PM2_HOME of
// its own inside a directory of the test. Started and stopped by PM2's own command; ends with this object,
// and also when the test program dies. One thread.
#pragma once
#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/process.h"

namespace quell::test {

struct Pm2App {
  std::string name;
  std::string source;           // JavaScript, written to a file of its own
  std::string settings = "{}";  // further keys of PM2's ecosystem file, as JSON: {"autorestart": false}
  std::map<std::string, std::string> environment;
};

class Pm2Daemon {
 public:
  struct Options {
    uid_t uid = static_cast<uid_t>(-1);  // of the daemon and its apps; needs root
    gid_t gid = static_cast<gid_t>(-1);
    std::map<std::string, std::string> environment;  // of the daemon
    // A program that runs what its further arguments say, and its own first ones: where the daemon is to
    // live.
    std::vector<std::string> inside;
  };
  // Starts a daemon with these apps (none is fine) below `directory`, which stays the caller's. One daemon
  // per directory. Returns when PM2's command says that they are started.
  static absl::StatusOr<std::unique_ptr<Pm2Daemon>> Start(const std::string& directory,
                                                          const std::vector<Pm2App>& apps,
                                                          const Options& options);
  static absl::StatusOr<std::unique_ptr<Pm2Daemon>> Start(const std::string& directory,
                                                          const std::vector<Pm2App>& apps) {
    return Start(directory, apps, Options());
  }
  Pm2Daemon(const Pm2Daemon&) = delete;
  ~Pm2Daemon();

  // PM2's command with these arguments; its standard output. What a person at the host would type.
  absl::StatusOr<std::string> Command(const std::vector<std::string>& arguments);
  absl::Status StartApps(const std::vector<Pm2App>& apps);

  const std::string& home() const { return home_; }
  std::string rpc_socket() const { return home_ + "/rpc.sock"; }
  std::string pub_socket() const { return home_ + "/pub.sock"; }
  pid_t pid() const;                             // the daemon's, from its pid file; 0 when there is none
  pid_t AppPid(std::string_view name);           // of the first app of that name; 0 when it does not run
  std::string AppStatus(std::string_view name);  // "online", "errored" …; "" when unknown
  int AppRestarts(std::string_view name);        // -1 when unknown
  // SIGKILL to the daemon; its apps are on their own then.
  void KillDaemon();
  // What PM2 itself logs.
  std::string Log() const;
  // Where the app of that name writes its standard output or error.
  std::string AppLog(std::string_view name, bool error = false) const;
  static bool Available();  // whether node and build/pm2 are there

 private:
  Pm2Daemon(std::string directory, Options options);
  absl::Status Prepare();
  absl::Status StartGuard();
  SpawnOptions CommandOptions(const std::vector<std::string>& arguments) const;
  std::string AppField(std::string_view name, std::string_view field);

  const std::string directory_;
  const std::string home_;
  const Options options_;
  int apps_ = 0;
  UniqueFd guard_;  // the guard process ends the daemon when this closes
  pid_t guard_pid_ = 0;
};

}  // namespace quell::test
