// World: a whole quell on this machine, of the real programs: controller, executor, agent and, where wanted,
// a PM2 with apps, a mail and a webhook receiver. Everything lies in a directory of its own, under this
// process's user, on free ports. One thread.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/integration/console.h"
#include "tests/integration/programs.h"
#include "tests/support/files.h"
#include "tests/support/http_receiver.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/smtp_receiver.h"

namespace quell::test {

struct WorldOptions {
  std::vector<Pm2App> apps;
  std::string rules;     // a rule file
  std::string policies;  // a file of policies.d
  std::string sanctions = "[]";
  std::string probes = "[]";          // agent.yaml's collectors.probes
  std::string every = "1s";           // of the collectors host and pm2
  std::string collectors;             // further ones: lines with two spaces in front
  std::vector<std::string> executor;  // further words for the executor
  std::string monitoring = "2s";
  std::string deadlines = "{}";
  std::string audience = "{P0: [oncall], P1: [oncall], P2: [oncall]}";
  std::string receivers;       // further ones: lines with two spaces in front
  std::string changes;         // agent.yaml's collectors.changes; DIR is the world's directory
  std::string sources = "[]";  // controller.yaml's; DIR likewise
  bool people = false;         // the responders' listener is on: see LogIn
  bool enrols = false;         // the host's keys come with a token, over the network, instead of from `pki`
};

// The directory, there before what lies in it.
struct WorldPlace {
  TempDir dir_;
};

class World : private WorldPlace, public Console, public Programs {
 public:
  explicit World(WorldOptions options);
  ~World() { KillAll(); }  // before what they talk to goes
  // The programs, each ready when it returns. Starting what runs is an error.
  void StartAll();
  void StartController();
  // The controller's program that ends at a step (STEP:COMMIT or STEP:KIND); doesn't wait for it.
  void StartControllerUntil(const std::string& crash_at);
  void StartExecutor();
  void StartAgent();
  // Where the host's certificate, trust bundle and id lie.
  std::string HostKeys() const;
  // A token made by the command line, and `quell-agent enrol` with it: its exit code.
  int Enrol(std::string* error = nullptr);
  int AgentExit(const std::vector<std::string>& words, std::string* error = nullptr);
  // Of a controller that will not start.
  int ControllerExit(std::string* error = nullptr);
  std::string EnrolPort() const;
  uint16_t agents_port() const { return agents_port_; }
  // A person with a certificate and this role, on a machine of their own: what QuellAs speaks as.
  void LogIn(const std::string& person, const std::string& role);
  int QuellAs(const std::string& person, std::vector<std::string> words, std::string* output = nullptr,
              std::string* error = nullptr);

  // Until the controller sees the host connected and its apps.
  void WaitUntilSeen();

  Pm2Daemon& pm2() { return *pm2_; }
  HttpReceiver& hook() { return hook_; }
  SmtpReceiver& mail() { return mail_; }
  const TempDir& dir() const { return dir_; }
  const std::string& user() const { return user_; }

 private:
  void MakeKeys();
  std::string Responders() const;
  void WriteFiles();

  const WorldOptions options_;
  HttpReceiver hook_;
  SmtpReceiver mail_;
  std::unique_ptr<Pm2Daemon> pm2_;
  std::string user_;
  uint16_t agents_port_ = 0;
  uint16_t enrol_port_ = 0;
  uint16_t responders_port_ = 0;
};

}  // namespace quell::test
