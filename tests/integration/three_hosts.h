// ThreeHosts: a controller and three hosts on this machine, of the real programs, each host in a network of
// its own with agent and executor; on web-1 also a PM2 whose app counts its starts in a file. Between each
// host and the controller lies a ChaosProxy, or nothing. Needs root, and EnterOwnNetwork in main. One thread.
//
// The programs are called controller, agent-N and executor-N; N is 1 to 3.
#pragma once
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/console.h"
#include "tests/integration/programs.h"
#include "tests/support/chaos_proxy.h"
#include "tests/support/files.h"
#include "tests/support/http_receiver.h"
#include "tests/support/network.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/smtp_receiver.h"

namespace quell::test {

// How much more memory a bound allows: the address sanitizer keeps what was freed for a while.
#ifdef __SANITIZE_ADDRESS__
inline constexpr long kMemoryFactor = 8;
#else
inline constexpr long kMemoryFactor = 1;
#endif

struct ThreeHostsOptions {
  bool direct = false;  // without proxies
  bool app = true;      // PM2 and its app on web-1
  bool rules = true;    // false: nothing is detected but what the controller itself sees
  bool enrols = false;  // keys come with tokens; else `pki` makes them
  int stubs = 0;        // so many further agents get keys, in pki/agent-stub-N, for stand-ins
  std::string monitoring = "2s";
  std::string lost_after = "10s";
  std::string certificate_lifetime = "24h";
};

struct HostsPlace {
  TempDir dir_;
};

class ThreeHosts : private HostsPlace, public Console, public Programs {
 public:
  static constexpr int kHosts = 3;

  explicit ThreeHosts(ThreeHostsOptions options = ThreeHostsOptions());
  ~ThreeHosts() { KillAll(); }  // before what they talk to goes

  void StartAll();
  void StartController();
  // Its command line answers.
  bool WaitForController();
  void StartExecutor(int host);
  void StartAgent(int host);
  int Enrol(int host, std::string* error = nullptr);
  // Another program for the next start of one of them; "worker": for those of the executors started then.
  void SetProgram(const std::string& name, const std::string& path) { programs_[name] = path; }
  void SetEnvironment(const std::string& name, const std::map<std::string, std::string>& environment) {
    environments_[name] = environment;
  }
  // From the next start on the program's wall clock is what SetWall says: "+1h", "-10s", "+0", or a local
  // time "2026-01-02 03:04:05" at which it stands still. The monotonic clock goes on as it does.
  void FakeWall(const std::string& name);
  void SetWall(const std::string& name, const std::string& clock);
  // From the next start on, the program's boot-time clock is so far ahead (or behind).
  void SetBootTime(const std::string& name, int seconds) { boot_times_[name] = seconds; }

  NetworkHost& network(int host) { return *hosts_[Index(host)].network; }
  ChaosProxy& proxy(int host) { return *hosts_[Index(host)].proxy; }
  Pm2Daemon& pm2() { return *pm2_; }
  HttpReceiver& hook() { return hook_; }
  const TempDir& dir() const { return dir_; }
  static std::string Name(int host);
  std::string KeysOf(int host) const;

  // The real effect: how often web-1's app has been started.
  int Starts() const;
  // An app counts itself a moment after PM2 says that it runs. False also when there are more.
  bool WaitForStarts(int starts, Micros deadline = 20 * kSecond);
  void Hang() { control_.Write("hang", ""); }
  // `quell run pm2.restart` of that app; the exit code.
  int Restart(std::string* output = nullptr);
  // The same as one of the programs, not waited for.
  void StartRestart(const std::string& name);
  std::string Liveness(int host);
  bool WaitForLiveness(int host, const std::string& liveness, Micros deadline = kMinute);
  // What an instant query of one element says; NaN when there is none or more.
  double Value(const std::string& query);
  // Incidents about this alert, of whatever status.
  int Incidents(const std::string& alert);
  int Commands(const std::string& state);
  // As WaitFor, but looks less often: each look starts a program.
  static bool Await(const std::function<bool()>& condition, Micros deadline = kMinute);
  // Resident memory of a program, in KiB.
  long Resident(const std::string& program) const;

 private:
  struct Host {
    std::string directory;
    std::unique_ptr<NetworkHost> network;
    std::unique_ptr<ChaosProxy> proxy;
  };
  static size_t Index(int host) { return static_cast<size_t>(host - 1); }
  void MakeKeys();
  void WriteController();
  void WriteHost(int host);
  void StartPm2();
  std::vector<std::string> RestartWords() const;
  void Launch(const std::string& name, const std::string& program, std::vector<std::string> arguments,
              int network);

  const ThreeHostsOptions options_;
  TempDir control_;
  HttpReceiver hook_;
  SmtpReceiver mail_;
  std::array<Host, kHosts> hosts_;
  std::unique_ptr<Pm2Daemon> pm2_;
  std::string user_;
  std::map<std::string, std::string> programs_;
  std::map<std::string, std::map<std::string, std::string>> environments_;
  std::map<std::string, int> boot_times_;
};

}  // namespace quell::test
