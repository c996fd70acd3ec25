#include "agent/app/agent.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "agent/collectors/changes/changes.h"
#include "agent/collectors/host/host.h"
#include "agent/collectors/pm2/pm2_collector.h"
#include "agent/collectors/postgres/postgres_collector.h"
#include "agent/collectors/probe/probe_collector.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

absl::StatusOr<std::string> ReadLine(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, RealDisk().Read(path, 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "";
  return name;
}

}  // namespace

Agent::~Agent() { Stop("restart"); }

absl::Status Agent::Start() {
  struct Step {
    const char* name;
    absl::Status (Agent::*run)();
  };
  static constexpr Step kSteps[] = {
      {"lock the state directory", &Agent::LockState},
      {"load the certificate and the trust bundle", &Agent::LoadIdentity},
      {"open the spool", &Agent::OpenSpool},
      {"prepare the collectors", &Agent::PrepareCollectors},
      {"start the link", &Agent::StartLink},
      {"start the collectors", &Agent::StartCollectors},
  };
  for (const Step& step : kSteps) {
    absl::Status status = (this->*step.run)();
    if (!status.ok()) return Annotate(status, step.name);
  }
  return absl::OkStatus();
}

// One agent per state directory, and nobody else's directory.
absl::Status Agent::LockState() {
  const std::string& path = config_.state;
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, absl::StrCat("making ", path));
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
  if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
    return absl::PermissionDeniedError(
        absl::StrCat(path, " is not a directory of this user's alone (mode 0700)"));
  const std::string file = path + "/lock";
  lock_ = UniqueFd(open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock_.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", file));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    return absl::FailedPreconditionError(absl::StrCat("another agent uses ", path));
  return absl::OkStatus();
}

absl::Status Agent::LoadIdentity() {
  const IdentityPlaces places{config_.key,      config_.certificate, config_.trust_bundle,
                              config_.root_pin, config_.host_id,     config_.state};
  QUELL_ASSIGN_OR_RETURN(identity_, AgentIdentity::Load(places, RealDisk(), RealClock()));
  facts_.version = version_;
  facts_.host_id = identity_->host_id();
  facts_.host_name = HostName();
  facts_.start = RandomBytes(16);
  facts_.trust_serial = identity_->trust_serial();
  QUELL_ASSIGN_OR_RETURN(facts_.boot_id, ReadLine("/proc/sys/kernel/random/boot_id"));
  return absl::OkStatus();
}

absl::Status Agent::OpenSpool() {
  const std::string directory = config_.state + "/spool";
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, absl::StrCat("making ", directory));
  Spool::Options options;
  options.directory = directory;
  options.boot_id = facts_.boot_id;
  QUELL_ASSIGN_OR_RETURN(spool_, Spool::Open(RealDisk(), RealClock(), options));
  head_ = std::make_unique<HeadMemory>(RealDisk(), config_.state + "/log-head");
  return absl::OkStatus();
}

absl::Status Agent::PrepareCollectors() {
  runner_ = std::make_unique<CollectorRunner>(RealClock(), *spool_);
  const CollectorsConfig& config = config_.collectors;
  runner_->Add(MakeHostCollector("", config.host.every, RealClock()));
  for (const ProbeConfig& probe : config.probes) runner_->Add(MakeProbeCollector(probe));
  for (const PostgresConfig& server : config.postgres) runner_->Add(MakePostgresCollector(server));
  if (config.changes)
    runner_->Add(MakeChangesCollector("", *config.changes, RealDisk(), config_.state + "/changes"));
  if (config.pm2.users.empty()) return absl::OkStatus();
  std::vector<std::string> users;
  for (const Pm2User& user : config.pm2.users) users.push_back(user.user);
  auto pm2 = std::make_unique<Pm2Collector>("", users, config.pm2.every, RealClock(), *spool_, RealDisk(),
                                            config_.state + "/pm2");
  pm2_ = pm2.get();
  runner_->Add(std::move(pm2));
  return absl::OkStatus();
}

absl::Status Agent::StartLink() {
  auto on_reader = [this](const std::string& user, UniqueFd fd) {
    if (pm2_ != nullptr) pm2_->Attach(user, fd.release());
  };
  auto on_connection = [this](bool connected, const std::string& why) {
    if (connected) {
      spool_->ExecutorConnected();
      LogInfo("connected to the executor");
    } else {
      LogWarning("no executor: %s", why);
    }
  };
  executor_ = std::make_unique<ExecutorClient>(config_.executor_socket, on_reader, on_connection);
  dialer_ =
      std::make_unique<GrpcDialer>([this] { return identity_->Tls(); }, identity_->trust(), RealClock());
  recovering_ = std::make_unique<RecoveringDialer>(*dialer_, *identity_, config_.enrol, RealClock());
  LinkOptions options;
  options.addresses = config_.addresses;
  options.on_cycle = [this] { watchdog_.Completed(0); };
  link_ = std::make_unique<Link>(options, facts_, RealClock(), *spool_, *executor_, *head_, *recovering_,
                                 identity_.get());
  executor_->Start();
  link_->Start();
  return absl::OkStatus();
}

absl::Status Agent::StartCollectors() {
  runner_->OnCycle([this] { watchdog_.Completed(1); });
  runner_->Start();
  return absl::OkStatus();
}

// What produces ends first, so that its last events still go out; then the link; then who calls the link.
void Agent::Stop(const std::string& goodbye) {
  if (link_ != nullptr && runner_ != nullptr) runner_->Stop();
  if (link_ != nullptr) link_->Stop(goodbye);
  executor_.reset();
  pm2_ = nullptr;
  runner_.reset();
  link_.reset();
}

}  // namespace quell::agent
