// quell-agent: measures its host and tells a controller; hands signed commands, unopened, to the executor.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/app/agent.h"
#include "agent/app/doctor.h"
#include "agent/app/enrol_command.h"
#include "agent/app/init.h"
#include "agent/app/lists.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/supervisor.h"
#include "common/security/grpc_credentials.h"
#include "common/text/help.h"

namespace quell::agent {
namespace {

constexpr int kUnusable = 2;  // what is configured can't work

constexpr char kManual[] =
    ".SH FILES\n"
    ".TP\n/etc/quell/agent.yaml\nwhat is measured, for which controller\n"
    ".TP\n/etc/quell/agent.key, agent.crt, trust.bundle, root.pin, host\\-id\nmade by "
    "\\fBquell\\-agent enrol\\fR\n"
    ".TP\n/var/lib/quell\\-agent\nwhat waits for the controller; later certificates\n"
    ".SH EXIT STATUS\n0 done, 1 failed, 2 what is configured can\\(aqt work, 4 refused by the controller, 6 "
    "controller "
    "unreachable.\n"
    ".SH SEE ALSO\nquell\\-executor(8), quell\\-controller(8), quell(1)\n";

struct Flags {
  std::string config = "/etc/quell/agent.yaml";
  bool list_metrics = false;
  bool list_actions = false;
  bool check = false;
  bool verbose = false;
  bool enrol = false;
  bool doctor = false;
  std::string draft;  // which one; empty: none
  DoctorOptions doctor_options;
  EnrolFlags enrolment;
};

void DescribeEnrol(CLI::App& app, Flags& flags) {
  CLI::App* enrol = app.add_subcommand("enrol",
                                       "makes this host one of the fleet, with a token that a "
                                       "responder had made");
  enrol->add_option("--controller", flags.enrolment.controller, "the controller's enrolment port, host:7401")
      ->required();
  enrol
      ->add_option("--token-file", flags.enrolment.token_file,
                   "the token, in a file that nobody else can read; - for standard input")
      ->required();
  enrol->add_option("--config", flags.config, "agent.yaml: says where keys and certificates lie");
  enrol->add_option("--host", flags.enrolment.host, "fail unless the token is for this name");
  enrol->add_option("--user", flags.enrolment.user, "who gets the key: the agent's user");
  enrol->add_flag("--again", flags.enrolment.again, "although this host has a certificate");
  enrol->callback([&flags] { flags.enrol = true; });
}

void DescribeLooks(CLI::App& app, Flags& flags) {
  CLI::App* doctor =
      app.add_subcommand("doctor", "what this host's agent can and can't see, and what mends it: exit 1");
  doctor->add_option("--config", flags.config, "agent.yaml");
  doctor->add_option("--sanctions", flags.doctor_options.sanctions, "the executor's")->capture_default_str();
  doctor->callback([&flags] { flags.doctor = true; });
  CLI::App* init = app.add_subcommand(
      "init", "prints a draft of agent.yaml, or of sanctions.yaml, from what runs here; writes nothing");
  init->add_option("FILE", flags.draft, "agent or sanctions; agent unless said")
      ->check(CLI::IsMember({"agent", "sanctions"}));
  init->callback([&flags] {
    if (flags.draft.empty()) flags.draft = "agent";
  });
}

void Describe(CLI::App& app, Flags& flags) {
  app.add_option("--config", flags.config, "agent.yaml")->capture_default_str();
  app.add_flag("--list-metrics", flags.list_metrics,
               "prints what can be measured, and who could have made it up");
  app.add_flag("--list-actions", flags.list_actions, "prints what a host can be asked to do");
  app.add_flag("--verbose", flags.verbose, "logs more");
  app.add_subcommand("check", "reads the files and says what is wrong with them")->callback([&flags] {
    flags.check = true;
  });
  DescribeEnrol(app, flags);
  DescribeLooks(app, flags);
  app.set_version_flag("--version", QUELL_VERSION);
}

// Systemd forbids log-ins while it shuts the machine down.
const char* GoodbyeReason() { return access("/run/nologin", F_OK) == 0 ? "reboot" : "restart"; }

int RunAgent(AgentConfig config, const Flags& flags) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);  // before there are threads, so in all of them
  signal(SIGPIPE, SIG_IGN);
  StartLog("quell-agent", flags.verbose ? LogLevel::kDebug : LogLevel::kInfo);
  Agent agent(std::move(config), QUELL_VERSION);
  absl::Status status = agent.Start();
  if (!status.ok()) {
    LogError("can't start: %s", status.ToString());
    return absl::IsUnavailable(status) || absl::IsInternal(status) ? 1 : kUnusable;
  }
  TellSupervisor("READY=1");
  int signal_number = 0;
  sigwait(&stop, &signal_number);
  TellSupervisor("STOPPING=1");
  LogInfo("stopping, on signal %d", signal_number);
  agent.Stop(GoodbyeReason());
  return 0;
}

int PrintDraft(const std::string& which) {
  const auto draft = which == "agent" ? AgentDraft : SanctionsDraft;
  fputs(draft(FindPm2(""), FindPostgres("")).c_str(), stdout);
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Measures this host and tells a quell controller.", "quell-agent");
  Flags flags;
  Describe(app, flags);
  if (const auto text = text::PackagingText(app, {8, QUELL_VERSION, kManual}, {argv + 1, argv + argc})) {
    fputs(text->c_str(), stdout);
    return 0;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUnusable;
  }
  if (flags.list_metrics) fputs(ListMetrics().c_str(), stdout);
  if (flags.list_actions) fputs(ListActions().c_str(), stdout);
  if (flags.list_metrics || flags.list_actions) return 0;
  if (!flags.draft.empty()) return PrintDraft(flags.draft);
  flags.doctor_options.config = flags.config;
  if (flags.doctor) return RunDoctor(flags.doctor_options, RealClock());
  config::Problems problems;
  AgentConfig config = LoadAgentConfig(flags.config, problems);
  if (!problems.ok()) {
    fputs(problems.ToString().c_str(), stderr);
    return kUnusable;
  }
  if (flags.enrol) return RunEnrol(flags.enrolment, config, RealClock());
  return flags.check ? 0 : RunAgent(std::move(config), flags);
}

}  // namespace
}  // namespace quell::agent

int main(int argc, char** argv) {
  quell::security::PrepareGrpcProcess();
  umask(077);
  const int code = quell::agent::Main(argc, argv);
  quell::StopLog();
  return code;
}
