#include "tests/support/pm2_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"
#include "tests/support/files.h"

namespace quell::test {
namespace {

constexpr char kPm2[] = QUELL_PM2_DIR "/node_modules/pm2/bin/pm2";
constexpr uid_t kSame = static_cast<uid_t>(-1);

// The first executable `name` on our PATH.
std::string FindProgram(std::string_view name) {
  const char* path = getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    std::string candidate = std::string(rest.substr(0, colon)) + "/" + std::string(name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.remove_prefix(std::min(rest.size(), colon + 1));
  }
  return "";
}

const std::string& Node() {
  static const std::string& node = *new std::string(FindProgram("node"));
  return node;
}

// Ends the apps that a killed daemon left behind: whoever has this daemon's home in its environment.
void KillOrphans(const std::string& home) {
  const std::string mark = std::string(1, '\0') + "PM2_HOME=" + home + std::string(1, '\0');
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid) || pid == getpid()) continue;
    const std::string environment = std::string(1, '\0') + ReadFile(entry.path() / "environ");
    if (environment.find(mark) != std::string::npos) kill(pid, SIGKILL);
  }
}

}  // namespace

bool Pm2Daemon::Available() { return !Node().empty() && access(kPm2, R_OK) == 0; }

Pm2Daemon::Pm2Daemon(std::string directory, Options options)
    : directory_(std::move(directory)), home_(directory_ + "/pm2"), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<Pm2Daemon>> Pm2Daemon::Start(const std::string& directory,
                                                            const std::vector<Pm2App>& apps,
                                                            const Options& options) {
  if (!Available()) {
    return absl::FailedPreconditionError(
        "starting PM2: it is not in build/pm2; run deploy/dependencies test");
  }
  std::unique_ptr<Pm2Daemon> daemon(new Pm2Daemon(directory, options));
  QUELL_RETURN_IF_ERROR(daemon->Prepare());
  QUELL_RETURN_IF_ERROR(daemon->StartGuard());
  QUELL_RETURN_IF_ERROR(daemon->Command({"ping"}).status());
  QUELL_RETURN_IF_ERROR(daemon->StartApps(apps));
  return daemon;
}

absl::Status Pm2Daemon::Prepare() {
  for (const std::string& path : {home_, directory_ + "/apps"}) {
    if (mkdir(path.c_str(), 0755) != 0) return ErrnoStatus(errno, "making " + path);
    if (options_.uid != kSame && chown(path.c_str(), options_.uid, options_.gid) != 0) {
      return ErrnoStatus(errno, "giving away " + path);
    }
  }
  return absl::OkStatus();
}

SpawnOptions Pm2Daemon::CommandOptions(const std::vector<std::string>& arguments) const {
  SpawnOptions o;
  o.argv = options_.inside;
  o.argv.insert(o.argv.end(), {Node(), kPm2});
  o.program = o.argv[0];
  o.argv.insert(o.argv.end(), arguments.begin(), arguments.end());
  o.environment = {"PATH=" + Node().substr(0, Node().rfind('/')) + ":/usr/local/bin:/usr/bin:/bin",
                   "HOME=" + directory_, "PM2_HOME=" + home_, "PM2_DISCRETE_MODE=true", "LANG=C.UTF-8"};
  for (const auto& [name, value] : options_.environment) o.environment.push_back(name + "=" + value);
  o.uid = options_.uid;
  o.gid = options_.gid;
  o.memory_limit = 0;  // node reserves far more address space than it uses
  o.open_files = 1024;
  o.deadline = 60 * kSecond;
  return o;
}

// A shell that waits on a pipe of ours: it closes when we end, however that happens.
absl::Status Pm2Daemon::StartGuard() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "making a pipe");
  const UniqueFd reader(fds[0]);
  guard_.reset(fds[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, reader.get(), 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::string script =
      "read -r line; [ -e \"$PM2_HOME/pm2.pid\" ] || exit 0; "
      "pid=$(cat \"$PM2_HOME/pm2.pid\"); \"$0\" \"$1\" kill; "
      "grep -q \"$PM2_HOME\" \"/proc/$pid/cmdline\" && kill -9 \"$pid\"";
  std::vector<std::string> strings = {"sh", "-c", script, Node(), kPm2};
  std::vector<char*> argv;
  for (std::string& s : strings) argv.push_back(s.data());
  argv.push_back(nullptr);
  std::vector<std::string> environment = CommandOptions({}).environment;
  std::vector<char*> envp;
  for (std::string& s : environment) envp.push_back(s.data());
  envp.push_back(nullptr);
  const int error = posix_spawn(&guard_pid_, "/bin/sh", &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "starting the guard of a PM2 daemon");
}

Pm2Daemon::~Pm2Daemon() {
  if (pid() != 0) Command({"kill"}).IgnoreError();
  KillOrphans(home_);
  guard_.reset();
  if (guard_pid_ > 0) waitpid(guard_pid_, nullptr, 0);
}

absl::StatusOr<std::string> Pm2Daemon::Command(const std::vector<std::string>& arguments) {
  QUELL_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> child, RealProcess().Start(CommandOptions(arguments)));
  const ExitStatus status = child->Wait();
  if (status.code == 0 && status.signal == 0) return status.output;
  return absl::InternalError(absl::StrCat("pm2 ", arguments.empty() ? "" : arguments[0], " ended with code ",
                                          status.code, ", signal ", status.signal, ": ", status.output,
                                          status.error_output));
}

absl::Status Pm2Daemon::StartApps(const std::vector<Pm2App>& apps) {
  if (apps.empty()) return absl::OkStatus();
  nlohmann::json list = nlohmann::json::array();
  for (const Pm2App& app : apps) {
    nlohmann::json entry = nlohmann::json::parse(app.settings);
    const std::string script = absl::StrCat(directory_, "/apps/app", ++apps_, ".js");
    if (!entry.contains("script")) {
      std::ofstream(script) << app.source;
      entry["script"] = script;
    }
    entry["name"] = app.name;
    if (!entry.contains("cwd")) entry["cwd"] = directory_ + "/apps";
    for (const auto& [name, value] : app.environment) entry["env"][name] = value;
    list.push_back(std::move(entry));
  }
  const std::string ecosystem = absl::StrCat(directory_, "/apps/ecosystem", apps_, ".json");
  std::ofstream(ecosystem) << nlohmann::json{{"apps", list}}.dump();
  return Command({"start", ecosystem}).status();
}

pid_t Pm2Daemon::pid() const {
  int pid = 0;
  return absl::SimpleAtoi(ReadFile(home_ + "/pm2.pid"), &pid) ? pid : 0;
}

std::string Pm2Daemon::AppField(std::string_view name, std::string_view field) {
  const absl::StatusOr<std::string> list = Command({"jlist"});
  if (!list.ok()) return "";
  const nlohmann::json parsed = nlohmann::json::parse(*list, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_array()) return "";
  for (const nlohmann::json& app : parsed) {
    if (app.value("name", "") != name) continue;
    const nlohmann::json& from = field == "pid" ? app : app["pm2_env"];
    const auto it = from.find(std::string(field));
    if (it == from.end()) return "";
    return it->is_string() ? it->get<std::string>() : it->dump();
  }
  return "";
}

pid_t Pm2Daemon::AppPid(std::string_view name) {
  int pid = 0;
  return absl::SimpleAtoi(AppField(name, "pid"), &pid) ? pid : 0;
}

std::string Pm2Daemon::AppStatus(std::string_view name) { return AppField(name, "status"); }

int Pm2Daemon::AppRestarts(std::string_view name) {
  int restarts = 0;
  return absl::SimpleAtoi(AppField(name, "restart_time"), &restarts) ? restarts : -1;
}

void Pm2Daemon::KillDaemon() {
  const pid_t daemon = pid();
  if (daemon > 1) kill(daemon, SIGKILL);
}

std::string Pm2Daemon::Log() const { return ReadFile(home_ + "/pm2.log"); }

std::string Pm2Daemon::AppLog(std::string_view name, bool error) const {
  return home_ + "/logs/" + std::string(name) + (error ? "-error.log" : "-out.log");
}

}  // namespace quell::test
