// quell-controller: the start-up, step by step.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/supervisor.h"
#include "common/security/grpc_credentials.h"
#include "common/security/pki_command.h"
#include "common/security/responder_command.h"
#include "common/text/help.h"
#include "controller/app/controller.h"
#include "controller/app/load.h"

namespace quell::app {
namespace {

constexpr char kUsage[] =
    "quell-controller: takes telemetry in, declares incidents, issues sanctioned remedies\n"
    "\n"
    "  quell-controller run --config FILE     runs until SIGTERM; a file with mistakes: exit 2. SIGHUP "
    "loads\n"
    "                                         rules, policies, services and receivers anew, and keeps the "
    "old "
    "if bad\n"
    "  quell-controller check --config FILE   reads controller.yaml, rules, policies and the catalogue.yaml\n"
    "                                         beside it, and says every mistake\n"
    "  quell-controller pki init --dir D (--dns NAME | --address IP)... [--agent HOST]... [--agent-days N]\n"
    "                           [--passphrase-file F]\n"
    "                                         makes the installation's keys; nothing is ever overwritten\n"
    "  quell-controller pki recover --dir D --root-key F --bundle F (--dns NAME | --address IP)...\n"
    "                           [--passphrase-file F]\n"
    "                                         new keys for an installation whose controller was lost\n"
    "  quell-controller pki revoke --bundle F --root-key F --id UUID|NAME... [--passphrase-file F]\n"
    "                                         takes hosts', controllers' and persons' keys out of force, at "
    "the\n"
    "                                         hosts too; the controller reads the bundle when it starts\n"
    "  quell-controller pki issue-agent --dir D --agent HOST [--agent-days N]\n"
    "                                         keys for one more host\n"
    "  quell-controller responder issue REQUEST --name NAME --dir PKI [--days N] [--passphrase-file F] "
    "[--out F]\n"
    "                                         certifies a person's key, from `quell login --csr-out`, for "
    "at\n"
    "                                         most 30 days\n"
    "  quell-controller --version | --help\n"
    "\n"
    "FILE is /etc/quell/controller.yaml unless said.\n";

constexpr char kManual[] =
    ".SH FILES\n"
    ".TP\n/etc/quell/controller.yaml\nwhere it listens, whom it tells\n"
    ".TP\n/etc/quell/catalogue.yaml\nits services; beside controller.yaml, and only where there is one\n"
    ".TP\n/etc/quell/rules.d, /etc/quell/policies.d\nbefore those of the same name in /usr/share/quell; a "
    "link to /dev/null "
    "takes one away\n"
    ".TP\n/etc/quell/pki\nits keys, of \\fBquell\\-controller pki init\\fR\n"
    ".TP\n/var/lib/quell\\-controller\nthe log\n"
    ".SH SEE ALSO\nquell(1), quell\\-agent(8)\n";

int Usage() {
  fputs(kUsage, stderr);
  return 2;
}

#ifdef QUELL_CRASH_STEPS
// What a record is called in --crash-at besides its kind, where one kind says several things; else "".
std::string MomentOf(const v1::Payload& payload) {
  const auto lower = [](const std::string& name) { return absl::AsciiStrToLower(name); };
  if (payload.has_command_delivered()) return payload.command_delivered().handed_over() ? "handed_over" : "";
  if (payload.has_command_reported())
    return lower(v1::Outcome_Name(payload.command_reported().report().outcome()));
  if (payload.has_command_changed()) {
    const v1::CommandEntry& command = payload.command_changed().set();
    return command.verification() == v1::VERIFICATION_STATE_UNSPECIFIED
               ? ""
               : lower(v1::VerificationState_Name(command.verification()));
  }
  if (payload.has_incident_changed()) {
    const v1::Incident& incident = payload.incident_changed().set();
    return incident.status() == v1::INCIDENT_STATUS_UNSPECIFIED
               ? ""
               : lower(v1::IncidentStatus_Name(incident.status()));
  }
  return "";
}

// Of the tests' own build of this program: `--crash-at STEP:COMMIT` or `--crash-at STEP:KIND` ends it by
// SIGKILL at that step of the commit of this number since the start, or of the first one with a record of
// this kind or moment.
CommitHook CrashAt(const std::string& where) {
  const size_t colon = where.find(':');
  Require(colon != std::string::npos, "--crash-at takes STEP:COMMIT or STEP:KIND");
  return [at = where.substr(0, colon), what = where.substr(colon + 1)](std::string_view step, uint64_t commit,
                                                                       const engine::CommitGroup& group) {
    if (step != at) return;
    std::string kinds;
    bool here = what == std::to_string(commit);
    for (const engine::Record& record : group.records) {
      const auto* field = v1::Payload::descriptor()->FindFieldByNumber(record.payload.kind_case());
      const std::string moment = MomentOf(record.payload);
      kinds += " " + field->name() + (moment.empty() ? "" : "/" + moment);
      here = here || what == field->name() || what == moment;
    }
    if (!here) return;
    fprintf(stderr, "killed %s commit %llu:%s\n", at.c_str(), static_cast<unsigned long long>(commit),
            kinds.c_str());
    raise(SIGKILL);
  };
}

// Takes the option away from the words.
CommitHook TakeCrashPoint(std::vector<std::string>& words) {
  auto option = std::find(words.begin(), words.end(), "--crash-at");
  if (option == words.end() || option + 1 == words.end()) return {};
  CommitHook hook = CrashAt(option[1]);
  words.erase(option, option + 2);
  return hook;
}
#else
CommitHook TakeCrashPoint(const std::vector<std::string>&) { return {}; }
#endif

// The words after `run` or `check`; empty when they are not understood.
std::string ConfigPath(const std::vector<std::string>& words) {
  if (words.empty()) return "/etc/quell/controller.yaml";
  if (words.size() == 2 && words[0] == "--config") return words[1];
  if (words.size() == 1 && words[0].rfind("--config=", 0) == 0) return words[0].substr(9);
  return "";
}

int Check(const std::string& path) {
  config::Problems problems;
  Loaded loaded = LoadAll(path, problems);
  if (!problems.ok()) {
    fprintf(stderr, "%s", problems.ToString().c_str());
    return 1;
  }
  printf("%s: good; %d alerts, %d policies, %zu receivers, %zu services\n", path.c_str(),
         loaded.config.config.alerts_size(), loaded.config.config.policies_size(),
         loaded.config.receivers.size(), loaded.catalogue == nullptr ? 0 : loaded.catalogue->services.size());
  return 0;
}

// Signals are taken by this thread alone: blocked before any other thread is made.
sigset_t BlockSignals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return wanted;
}

// A bad file changes nothing: what was loaded stays in force.
void Reload(Controller& controller, const std::string& path) {
  config::Problems problems;
  Loaded loaded = LoadAll(path, problems);
  if (!problems.ok()) {
    for (const config::Mistake& mistake : problems.mistakes()) LogError("not loaded: %s", mistake.ToString());
    return;
  }
  controller.Reload(std::move(loaded));
  LogInfo("loaded %s anew", path);
}

// Until it is told to stop.
void Serve(Controller& controller, const std::string& path, const sigset_t& wanted) {
  for (int got = 0; sigwait(&wanted, &got) == 0;) {
    if (got != SIGHUP) return LogInfo("told to stop by signal %d", got);
    Reload(controller, path);
  }
}

int Run(const std::string& path, CommitHook hook) {
  config::Problems problems;
  Loaded loaded = LoadAll(path, problems);
  if (!problems.ok()) {
    fprintf(stderr, "%s", problems.ToString().c_str());
    return 2;
  }
  const sigset_t wanted = BlockSignals();
  StartLog("quell-controller");
  int exit = 0;
  {
    Controller controller(std::move(loaded), RealClock(), std::move(hook));
    if (absl::Status started = controller.Start(); !started.ok()) {
      LogError("the controller cannot start: %s", started.message());
      exit = 1;
    } else {
      TellSupervisor("READY=1");
      Serve(controller, path, wanted);
      TellSupervisor("STOPPING=1");
    }
    controller.Stop();
  }
  StopLog();
  return exit;
}

int Main(int argc, char** argv) {
  security::PrepareGrpcProcess();
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return Usage();
  const std::string verb = words[0];
  words.erase(words.begin());
  if (verb == "pki") return security::RunPkiCommand(words, std::cout, std::cerr, RealClock().Wall());
  if (verb == "responder")
    return security::RunResponderCommand(words, std::cout, std::cerr, RealClock().Wall());
  if (verb == "--version" || verb == "version") {
    puts("quell-controller " QUELL_VERSION);
    return 0;
  }
  if (verb == "--man" && words.empty()) {
    fputs(text::ManualPage(kUsage, {8, QUELL_VERSION, kManual}).c_str(), stdout);
    return 0;
  }
  if (verb == "--help" || verb == "-h" || verb == "help") {
    fputs(kUsage, stdout);
    return 0;
  }
  CommitHook hook = TakeCrashPoint(words);
  const std::string path = ConfigPath(words);
  if (path.empty()) return Usage();
  if (verb == "run") return Run(path, std::move(hook));
  if (verb == "check") return Check(path);
  return Usage();
}

}  // namespace
}  // namespace quell::app

int main(int argc, char** argv) { return quell::app::Main(argc, argv); }
