#include "agent/actions/release_app.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/actions/pm2_app.h"
#include "agent/actions/pm2_restart.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kLookEvery = 50 * kMillisecond;
constexpr Micros kAskAgain = 200 * kMillisecond;

// Whether `path` is `directory` or lies below it.
bool LiesIn(absl::string_view path, absl::string_view directory) {
  return absl::ConsumePrefix(&path, directory) && (path.empty() || path[0] == '/');
}

// What `path` below the open release is; links are followed as long as they stay in the release.
absl::Status CheckBelow(int release, const std::string& directory, const std::string& path, mode_t type) {
  absl::string_view below = path;
  absl::ConsumePrefix(&below, directory);
  absl::ConsumePrefix(&below, "/");
  const std::string name = below.empty() ? "." : std::string(below);
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(syscall(SYS_openat2, release, name.c_str(), &how, sizeof how)));
  struct stat st {};
  const bool there = fd.valid() && fstat(fd.get(), &st) == 0;
  if (there && (st.st_mode & S_IFMT) == type) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the app is started with ", below.empty() ? "the release" : std::string(below), ", which ",
                   directory, " does not have", there ? " as such" : ""));
}

std::string WorkingDirectory(int64_t pid) {
  char text[4096];
  const ssize_t n = readlink(absl::StrCat("/proc/", pid, "/cwd").c_str(), text, sizeof text);
  return n <= 0 ? "" : std::string(text, static_cast<size_t>(n));
}

}  // namespace

absl::StatusOr<ReleaseApp> ReleaseApp::Look(const v1::WorkerRequest& request, const ReleaseDirectory& place,
                                            const std::string& to, int release, Clock& clock) {
  ReleaseApp app(request, clock, absl::StrCat(place.path(), "/releases/"), place.PathOf(to));
  const std::string& user = request.action().release_rollback().user();
  auto session = OpenPm2Session(request, request.release().app(), kConnectWithin, clock);
  if (!session.ok()) return absl::FailedPreconditionError(NoPm2(user, session.status()));
  app.client_ = std::move(session->client);
  v1::Pm2Restart restart;
  restart.set_user(user);
  restart.set_app(request.release().app());
  const Pm2Judgement judgement = JudgePm2Restart(restart, session->listed);
  if (!judgement.reason.empty()) return absl::FailedPreconditionError(judgement.reason);
  QUELL_ASSIGN_OR_RETURN(const auto configs, app.client_->ListStartConfigs(app.releases_));
  for (const v1::Pm2App& listed : judgement.targets) {
    auto config = std::find_if(configs.begin(), configs.end(),
                               [&](const pm2::StartConfig& c) { return c.pm_id == listed.pm_id(); });
    if (config == configs.end())
      return absl::FailedPreconditionError("the app changed while it was looked at");
    QUELL_RETURN_IF_ERROR(app.Add(listed, *config, place, to, release));
  }
  return app;
}

absl::Status ReleaseApp::Add(const v1::Pm2App& app, const pm2::StartConfig& config,
                             const ReleaseDirectory& place, const std::string& to, int release) {
  const auto refused = [&](absl::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat("pm_id ", app.pm_id(), " of ", app.name(), " ", why));
  };
  const std::string exec = InRelease(config.exec_path, place, to);
  const std::string cwd = InRelease(config.cwd, place, to);
  const std::string cwd_key = InRelease(config.cwd_key, place, to);
  const std::string pwd = InRelease(config.pwd, place, to);
  if (exec.empty() && cwd.empty()) {
    return refused(absl::StrCat("runs from ", config.cwd, ", not from a release of this deployment"));
  }
  if (config.arguments_mention) return refused("names a release in its arguments or its interpreter");
  if (config.shadowed) return refused("has a variable in its environment that hides from PM2 where it runs");
  if (!exec.empty()) QUELL_RETURN_IF_ERROR(CheckBelow(release, target_, exec, S_IFREG));
  if (!cwd.empty()) QUELL_RETURN_IF_ERROR(CheckBelow(release, target_, cwd, S_IFDIR));
  Mover& mover = movers_.emplace_back();
  mover.app = app;
  mover.from = {config.exec_path, config.cwd, cwd_key.empty() ? "" : config.cwd_key,
                pwd.empty() ? "" : config.pwd};
  mover.to = {exec.empty() ? config.exec_path : exec, cwd.empty() ? config.cwd : cwd, cwd_key, pwd};
  environment_mentions_ = std::max(environment_mentions_, config.environment_mentions);
  return absl::OkStatus();
}

std::vector<v1::Pm2Process> ReleaseApp::before() const {
  std::vector<v1::Pm2Process> processes;
  for (const Mover& mover : movers_) processes.push_back(ProcessOf(mover.app));
  return processes;
}

absl::Status ReleaseApp::Start(Micros deadline) {
  for (Mover& mover : movers_) {
    mover.touched = true;
    QUELL_RETURN_IF_ERROR(Move(mover, mover.to, deadline));
  }
  return absl::OkStatus();
}

absl::Status ReleaseApp::StartBack(Micros deadline) {
  for (Mover& mover : movers_) {
    if (mover.touched) QUELL_RETURN_IF_ERROR(Move(mover, mover.from, deadline));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Pm2App> ReleaseApp::Find(int64_t pm_id, Micros deadline) {
  const Micros left = std::max<Micros>(deadline - clock_->Monotonic(), kMillisecond);
  auto apps = client_->ListApps(std::min(left, kConnectWithin));
  if (!apps.ok()) {
    // A connection that broke, or a daemon that another has taken the place of.
    auto anew = pm2::Pm2Client::Connect(request_->pm2_home(), request_->target_uid(),
                                        std::min(left, kConnectWithin), *clock_);
    if (!anew.ok()) {
      unknown_ = true;  // whatever it was about to do
      return anew.status();
    }
    client_ = *std::move(anew);
    apps = client_->ListApps(std::min(left, kConnectWithin));
  }
  if (!apps.ok()) return apps.status();
  for (const v1::Pm2App& app : *apps) {
    if (app.pm_id() == pm_id && app.name() == request_->release().app()) return app;
  }
  return absl::NotFoundError(absl::StrCat("PM2 lists no pm_id ", pm_id, " any more"));
}

absl::Status ReleaseApp::Move(Mover& mover, const pm2::StartPaths& paths, Micros deadline) {
  const int64_t pm_id = mover.app.pm_id();
  const auto before = Find(pm_id, deadline);
  QUELL_RETURN_IF_ERROR(before.status());
  while (true) {
    const Micros began = clock_->Monotonic();
    const Micros within = std::min(RestartDeadlineOf(mover.app), deadline - began);
    if (within <= 0) return absl::DeadlineExceededError(absl::StrCat("no time was left for pm_id ", pm_id));
    const absl::Status done = client_->RestartFrom(pm_id, paths, within);
    starting_ += clock_->Monotonic() - began;
    unknown_ = absl::IsDeadlineExceeded(done) || absl::IsUnavailable(done);
    if (absl::IsUnavailable(done)) return done;
    // PM2 says no while the app waits for its next restart; it has taken the paths all the same, and that
    // restart may come first.
    if (absl::IsAborted(done) && clock_->Monotonic() + kAskAgain < deadline) {
      Pause(kAskAgain);
      const auto now = Find(pm_id, deadline);
      if (!now.ok()) return now.status();
      if (now->pid() == 0 || now->pid() == before->pid() || now->status() != "online") continue;
    } else if (!done.ok() && !absl::IsDeadlineExceeded(done)) {
      return done;
    }
    break;
  }
  auto up = AwaitUp(mover, before->pid(), paths, deadline);
  if (!up.ok()) return up.status();
  unknown_ = false;
  after_.erase(std::remove_if(after_.begin(), after_.end(),
                              [&](const v1::Pm2Process& p) { return p.pm_id() == pm_id; }),
               after_.end());
  after_.push_back(ProcessOf(*up));
  return absl::OkStatus();
}

absl::StatusOr<v1::Pm2App> ReleaseApp::AwaitUp(const Mover& mover, int64_t old_pid,
                                               const pm2::StartPaths& paths, Micros deadline) {
  const int64_t pm_id = mover.app.pm_id();
  int64_t pid = 0;
  Micros since = 0;
  int stopped = 0;
  std::string behind = "was not seen online";
  while (true) {
    const auto app = Find(pm_id, deadline);
    QUELL_RETURN_IF_ERROR(app.status());
    const bool online = app->status() == "online" && app->pid() > 0 && app->pid() != old_pid;
    if (pid != 0 && app->pid() != pid) {
      return absl::FailedPreconditionError(
          absl::StrCat("pm_id ", pm_id, " exited within a second of its start"));
    }
    if (online && pid == 0) {
      pid = app->pid();
      since = clock_->Monotonic();
      unknown_ = false;  // it was started: what follows can be seen
    }
    stopped = app->status() == "stopped" ? stopped + 1 : 0;
    if (app->status() == "errored" || stopped > 2) {
      return absl::FailedPreconditionError(absl::StrCat("pm_id ", pm_id, " is ", app->status()));
    }
    if (pid != 0) {
      const absl::Status runs = RunsFrom(*app, paths);
      if (runs.ok() && clock_->Monotonic() - since >= kStaysUp) return *app;
      behind = runs.ok() ? "had not been up for a second" : std::string(runs.message());
    }
    if (clock_->Monotonic() + kLookEvery >= deadline) break;
    Pause(kLookEvery);
  }
  return absl::DeadlineExceededError(absl::StrCat("pm_id ", pm_id, " ", behind));
}

absl::Status ReleaseApp::RunsFrom(const v1::Pm2App& app, const pm2::StartPaths& paths) const {
  if (app.exec_path() != paths.exec_path || app.cwd() != paths.cwd) {
    return absl::FailedPreconditionError(absl::StrCat("runs from ", app.exec_path()));
  }
  // The release that these paths lie in: an app may work elsewhere, but not in another release.
  const std::string& in = absl::StartsWith(paths.cwd, releases_) ? paths.cwd : paths.exec_path;
  const std::string release = in.substr(0, in.find('/', releases_.size()));
  const std::string works_in = WorkingDirectory(app.pid());
  if (absl::StartsWith(works_in, releases_) && absl::StartsWith(in, releases_) &&
      !LiesIn(works_in, release)) {
    return absl::FailedPreconditionError(absl::StrCat("works in ", works_in));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReleaseApp::Running(Micros deadline) {
  std::string running;
  for (const Mover& mover : movers_) {
    const auto app = Find(mover.app.pm_id(), deadline);
    QUELL_RETURN_IF_ERROR(app.status());
    if (app->pid() <= 0) {
      return absl::FailedPreconditionError(absl::StrCat("pm_id ", app->pm_id(), " has no process"));
    }
    QUELL_RETURN_IF_ERROR(Annotate(RunsFrom(*app, mover.to), absl::StrCat("pm_id ", app->pm_id())));
    if (!running.empty()) continue;
    const std::string works_in = WorkingDirectory(app->pid());
    running = LiesIn(works_in, target_) ? works_in : app->exec_path();
  }
  return running;
}

}  // namespace quell::agent
