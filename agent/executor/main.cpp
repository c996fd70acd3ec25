// quell-executor: the only program that can make its host act. Root (or one user, for that user's own
// targets), no network: it opens Unix sockets alone.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/executor/confine.h"
#include "agent/executor/guarded_file.h"
#include "agent/executor/real_host.h"
#include "agent/executor/server.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/status.h"
#include "common/base/supervisor.h"
#include "common/text/help.h"

namespace quell::agent {
namespace {

constexpr char kManual[] =
    ".SH FILES\n"
    ".TP\n/etc/quell/sanctions.yaml, sanctions.d\nwhat this host may be made to do; root\\(aqs own\n"
    ".TP\n/etc/quell/hold\nwhile it exists nothing is done\n"
    ".TP\n/var/lib/quell\\-executor\njournal, trust, recorded releases\n"
    ".SH SEE ALSO\nquell\\-agent(8)\n";

struct Options {
  std::string state = "/var/lib/quell-executor";
  std::string socket = "/run/quell/executor.sock";
  int64_t agent_uid = -1;
  std::string agent_user;
  std::string monitor_user = "quell-agent";
  std::string remedy_user = "quell-remedy";
  std::string sanctions = "/etc/quell/sanctions.yaml";
  std::string hold_file = "/etc/quell/hold";
  std::string trust_bundle = "/etc/quell/trust.bundle";
  std::string root_pin = "/etc/quell/root.pin";
  std::string host_id = "/etc/quell/host-id";
  std::string agent_config = "/etc/quell/agent.yaml";
  std::string worker = "/usr/lib/quell/quell-worker";
  std::string reader = "/usr/lib/quell/quell-pm2-reader";
  int64_t releases_every = kReleasesEvery / kSecond;
  std::string crash_at;  // a journal step to end at, in the tests' own build of this program
};

void Describe(CLI::App& app, Options& o) {
  app.add_option("--state", o.state, "directory of journal, trust and releases, made when absent")
      ->capture_default_str();
  app.add_option("--socket", o.socket, "where the agent connects")->capture_default_str();
  CLI::Option* uid =
      app.add_option("--agent-uid", o.agent_uid, "user of the agent; without it: the one this runs as");
  app.add_option("--agent-user", o.agent_user, "user of the agent, by name")->excludes(uid);
  app.add_option("--monitor-user", o.monitor_user, "user that looks at PostgreSQL servers (as root)")
      ->capture_default_str();
  app.add_option("--remedy-user", o.remedy_user, "user that acts on PostgreSQL servers (as root)")
      ->capture_default_str();
  app.add_option("--sanctions", o.sanctions, "what this host may be made to do")->capture_default_str();
  app.add_option("--hold-file", o.hold_file, "while it exists nothing is done")->capture_default_str();
  app.add_option("--trust-bundle", o.trust_bundle, "the installed trust bundle")->capture_default_str();
  app.add_option("--root-pin", o.root_pin, "hex SHA-256 of the trust root's key")->capture_default_str();
  app.add_option("--host-id", o.host_id, "this host's uuid")->capture_default_str();
  app.add_option("--agent-config", o.agent_config, "agent.yaml, for its PM2 users and PostgreSQL servers")
      ->capture_default_str();
  app.add_option("--worker", o.worker, "quell-worker's path")->capture_default_str();
  app.add_option("--reader", o.reader, "quell-pm2-reader's path")->capture_default_str();
  app.add_option("--releases-every", o.releases_every,
                 "seconds between looks at a deployment's current release")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
#ifdef QUELL_CRASH_STEPS
  app.add_option("--crash-at", o.crash_at, "ends the process by SIGKILL at this step");
#endif
}

// One line of a guarded file.
absl::StatusOr<std::string> ReadLine(const std::string& path, uid_t owner) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadGuardedFile(path, owner, 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

// The directory is this process's alone, and only one process uses it. The descriptor holds the lock.
absl::StatusOr<UniqueFd> LockState(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("making ", directory));
  }
  struct stat st {};
  if (lstat(directory.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", directory));
  if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(directory, " is not a directory of this user's own"));
  }
  if ((st.st_mode & 077) != 0 && chmod(directory.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("closing ", directory, " to others"));
  }
  const std::string path = absl::StrCat(directory, "/lock");
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(absl::StrCat("another executor uses ", directory));
  }
  return lock;
}

absl::StatusOr<UniqueFd> StopSignals() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  // Blocked before there are threads, so in all of them.
  if (pthread_sigmask(SIG_BLOCK, &stop, nullptr) != 0) return ErrnoStatus(errno, "blocking signals");
  UniqueFd fd(signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "making a signalfd");
  return fd;
}

absl::StatusOr<ExecutorOptions> CoreOptions(const Options& o, uid_t owner) {
  ExecutorOptions options;
  QUELL_ASSIGN_OR_RETURN(options.host_id, ReadLine(o.host_id, owner));
  if (!IsUuid(options.host_id)) return absl::InvalidArgumentError(absl::StrCat(o.host_id, " holds no uuid"));
  QUELL_ASSIGN_OR_RETURN(options.root_pin, ReadLine(o.root_pin, owner));
  QUELL_ASSIGN_OR_RETURN(const std::string boot, RealDisk().Read("/proc/sys/kernel/random/boot_id", 4096));
  options.boot_id = std::string(absl::StripAsciiWhitespace(boot));
  options.journal_path = absl::StrCat(o.state, "/journal");
  options.trust_path = absl::StrCat(o.state, "/trust.bundle");
  options.releases_path = absl::StrCat(o.state, "/releases");
  options.releases_every = o.releases_every * kSecond;
  options.own_uid = geteuid();
  options.own_gid = getegid();
  options.root = options.own_uid == 0;
  options.system_users = {{"quell-agent", o.monitor_user}, {"quell-remedy", o.remedy_user}};
  options.random = [](size_t n) { return RandomBytes(n); };
  if (!o.crash_at.empty()) {
    options.on_step = [at = o.crash_at](std::string_view step) {
      if (step == at) raise(SIGKILL);
    };
  }
  return options;
}

// Users whose PM2 is to be read. Without root only this one can be.
std::vector<HostUser> ReaderUsers(RealHost& host, const std::vector<Pm2User>& users) {
  std::vector<HostUser> out;
  for (const Pm2User& user : users) {
    auto found = host.FindUser(user.name);
    const bool possible = found.ok() && (geteuid() == 0 || found->uid == geteuid());
    if (possible) {
      out.push_back(*std::move(found));
    } else {
      LogError("PM2 of %s is not read: %s", user.name,
               found.ok() ? "this executor runs without root, as another user" : found.status().ToString());
    }
  }
  return out;
}

absl::StatusOr<uid_t> AgentUid(const Options& o, RealHost& host) {
  if (o.agent_user.empty()) return o.agent_uid < 0 ? geteuid() : static_cast<uid_t>(o.agent_uid);
  QUELL_ASSIGN_OR_RETURN(const HostUser user, host.FindUser(o.agent_user));
  return user.uid;
}

absl::Status RunExecutor(const Options& o) {
  const uid_t owner = geteuid();
  QUELL_ASSIGN_OR_RETURN(UniqueFd stop, StopSignals());
  StartLog("quell-executor");
  QUELL_ASSIGN_OR_RETURN(const UniqueFd lock, LockState(o.state));
  QUELL_ASSIGN_OR_RETURN(ExecutorOptions core, CoreOptions(o, owner));
  QUELL_ASSIGN_OR_RETURN(const std::vector<Pm2User> pm2_users, ReadPm2Users(o.agent_config, owner));
  RealHostOptions host_options{o.sanctions, o.hold_file};
  host_options.owner = owner;
  host_options.agent_yaml = o.agent_config;
  for (const Pm2User& user : pm2_users) host_options.pm2_homes[user.name] = user.home;
  RealHost host(host_options);
  auto bundle = ReadGuardedFile(o.trust_bundle, owner, 1 << 20);
  if (!bundle.ok()) LogError("the installed trust bundle: %s", bundle.status().ToString());

  ChildPool pool(RealProcess());
  PoolWorkers workers(pool, o.worker);
  Executor executor(core, RealClock(), RealDisk(), workers, host);
  const absl::Status opened = executor.Open(bundle.ok() ? *bundle : "");
  QUELL_RETURN_IF_ERROR(executor.fatal());
  if (!opened.ok()) LogError("every command is refused: %s", opened.ToString());
  Readers readers(pool, RealClock(), o.reader, ReaderUsers(host, pm2_users));
  QUELL_ASSIGN_OR_RETURN(const uid_t agent_uid, AgentUid(o, host));
  QUELL_ASSIGN_OR_RETURN(UniqueFd listener, ListenPackets(o.socket, agent_uid));
  Server server(executor, pool, readers, RealClock(), std::move(listener), agent_uid, std::move(stop));
  LogInfo("listening at %s for the agent, uid %d", o.socket, agent_uid);
  Watchdog watchdog(RealClock(), 1);
  server.OnRound([&watchdog] { watchdog.Completed(0); });
  TellSupervisor("READY=1");
  const absl::Status ended = server.Run();
  TellSupervisor("STOPPING=1");
  unlink(o.socket.c_str());
  return ended;
}

}  // namespace
}  // namespace quell::agent

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  CLI::App app("Does on this host what signed commands ask and the host's own file allows.",
               "quell-executor");
  quell::agent::Options options;
  quell::agent::Describe(app, options);
  if (const auto text = quell::text::PackagingText(app, {8, QUELL_VERSION, quell::agent::kManual},
                                                   {argv + 1, argv + argc})) {
    fputs(text->c_str(), stdout);
    return 0;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  umask(077);
  google::protobuf::SetLogHandler(nullptr);  // its lines are as many as an agent likes; refusals are counted
  absl::Status status = quell::agent::ConfineSockets();
  if (status.ok()) status = quell::agent::RunExecutor(options);
  if (!status.ok()) fprintf(stderr, "quell-executor: %s\n", status.ToString().c_str());
  quell::StopLog();
  if (status.ok()) return 0;
  return absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status) || absl::IsNotFound(status) ? 2
                                                                                                         : 1;
}
