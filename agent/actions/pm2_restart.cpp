#include "agent/actions/pm2_restart.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/actions/evidence.h"
#include "agent/actions/proc.h"
#include "agent/pm2/rpc.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kProc[] = "/proc";
constexpr int kLogLines = 200;
constexpr size_t kMostProcesses = 16;  // whose evidence is taken
constexpr Micros kConnectWithin = 2 * kSecond;
constexpr Micros kComeBackWithin = 3 * kSecond;
constexpr Micros kMargin = 100 * kMillisecond;  // for writing the result before the parent's deadline

v1::Pm2Process ProcessOf(const v1::Pm2App& app) {
  v1::Pm2Process process;
  process.set_pm_id(app.pm_id());
  process.set_pid(app.pid());
  process.set_started_ms(app.started_ms());
  return process;
}

v1::WorkerResult Refused(std::string reason) {
  v1::WorkerResult result;
  result.set_refusal(v1::REFUSAL_CHECK);
  result.set_reason(std::move(reason));
  return result;
}

std::vector<v1::Pm2App> Named(std::vector<v1::Pm2App> apps, const std::string& name) {
  const auto other = [&](const v1::Pm2App& app) { return app.name() != name || app.module(); };
  apps.erase(std::remove_if(apps.begin(), apps.end(), other), apps.end());
  return apps;
}

// The programs of quell itself, and whatever this worker descends from: restarting those would cut the branch
// that this sits on.
bool IsQuellItself(const v1::Pm2App& app) {
  const std::string& path = app.exec_path();
  const std::string base = path.substr(path.rfind('/') + 1);
  for (const char* name :
       {"quell", "quell-agent", "quell-controller", "quell-executor", "quell-worker", "quell-pm2-reader"}) {
    if (base == name) return true;
  }
  int64_t pid = getpid();
  for (int i = 0; i < 64 && pid > 1; ++i) {
    pid = ParentPid(kProc, pid);
    if (pid > 1 && pid == app.pid()) return true;
  }
  return false;
}

// Stopped, and by PM2 itself: no restart is configured, and either its exit says that it failed, or the
// evidence was taken when it was gone already. Evidence of a living process that is stopped now means that
// somebody stopped it.
bool GivenUp(const v1::Pm2App& app, const v1::Pm2Restart& wanted) {
  if (app.autorestart()) return false;
  const auto lived = [&](const v1::Pm2Process& p) { return p.pm_id() == app.pm_id() && p.pid() != 0; };
  return app.exit_code() != 0 || std::none_of(wanted.expect().begin(), wanted.expect().end(), lived);
}

// "pid 50, was 40": of a process that is gone, or was, or whose id the evidence does not tell, what there is.
std::string PidThenAndNow(const v1::Pm2Process& expected, const v1::Pm2App& app) {
  if (app.pid() == 0) return "";
  return absl::StrCat("pid ", app.pid(),
                      expected.pid() > 0    ? absl::StrCat(", was ", expected.pid())
                      : expected.pid() == 0 ? ", there was none"
                                            : "",
                      "; ");
}

// Expected: pid 0 when there was no process, below 0 when its id is not known; then its start alone tells.
bool IsAnother(const v1::Pm2Process& expected, const v1::Pm2App& app) {
  if (expected.started_ms() != 0 && app.started_ms() != expected.started_ms()) return true;
  if (expected.pid() > 0) return app.pid() != 0 && app.pid() != expected.pid();
  // Between an exit and the next start the list still tells the old pid.
  return expected.pid() == 0 && app.pid() != 0 && app.status() == "online";
}

std::string AgainstEvidence(const v1::Pm2Restart& wanted, const std::vector<v1::Pm2App>& listed) {
  for (const v1::Pm2Process& expected : wanted.expect()) {
    auto app = std::find_if(listed.begin(), listed.end(),
                            [&](const v1::Pm2App& a) { return a.pm_id() == expected.pm_id(); });
    if (app == listed.end()) {
      return absl::StrCat("another process than the evidence: there is no pm_id ", expected.pm_id(),
                          " any more");
    }
    if (IsAnother(expected, *app)) {
      return absl::StrCat("another process than the evidence: ", PidThenAndNow(expected, *app),
                          "it was started again since");
    }
  }
  return "";
}

struct Session {
  std::unique_ptr<pm2::Pm2Client> client;
  std::vector<v1::Pm2App> listed;  // of the app's name
};

absl::StatusOr<Session> OpenSession(const v1::WorkerRequest& request, Clock& clock, Micros within) {
  Session session;
  QUELL_ASSIGN_OR_RETURN(session.client,
                         pm2::Pm2Client::Connect(request.pm2_home(), request.target_uid(), within, clock));
  QUELL_ASSIGN_OR_RETURN(auto apps, session.client->ListApps(within));
  session.listed = Named(std::move(apps), request.action().pm2_restart().app());
  return session;
}

std::string NoDaemon(const v1::WorkerRequest& request, const absl::Status& status) {
  return absl::StrCat("the PM2 of ", request.action().pm2_restart().user(),
                      " does not answer: ", status.message());
}

void Pause(Micros d) {
  const timespec time{d / kSecond, (d % kSecond) * 1000};
  nanosleep(&time, nullptr);
}

class Pm2RestartAction final : public Action {
 public:
  v1::WorkerResult Check(const v1::WorkerRequest& request, Clock& clock) override {
    auto session = OpenSession(request, clock, kConnectWithin);
    if (!session.ok()) return Refused(NoDaemon(request, session.status()));
    Pm2Judgement judgement = JudgePm2Restart(request.action().pm2_restart(), session->listed);
    return Judged(judgement);
  }

  v1::WorkerResult Evidence(const v1::WorkerRequest& request, Clock& clock) override;
  v1::WorkerResult Run(const v1::WorkerRequest& request, Clock& clock) override;

 private:
  static v1::WorkerResult Judged(const Pm2Judgement& judgement) {
    if (!judgement.reason.empty()) return Refused(judgement.reason);
    v1::WorkerResult result;
    result.set_ok(true);
    for (const v1::Pm2App& app : judgement.targets) *result.add_before() = ProcessOf(app);
    return result;
  }
  static void AwaitAll(const v1::WorkerRequest& request, Clock& clock, Micros deadline,
                       const std::vector<v1::Pm2App>& before, v1::WorkerResult& result);
};

v1::WorkerResult Pm2RestartAction::Evidence(const v1::WorkerRequest& request, Clock& clock) {
  const Micros began = clock.Monotonic();
  const Micros budget = Micros{request.budget_ms()} * kMillisecond;
  v1::WorkerResult result;
  result.set_ok(true);
  EvidenceCollector collector(clock, began, budget - std::min(budget / 4, kMargin), request.budget_bytes(),
                              result);
  // A daemon that hangs costs half of the time; what /proc says of the expected processes is had all the
  // same.
  auto session = OpenSession(request, clock, std::max<Micros>(budget / 4, kMillisecond));
  std::vector<v1::Pm2App> apps;
  if (session.ok()) {
    apps = session->listed;
  } else {
    collector.Missing("describe", NoDaemon(request, session.status()));
    collector.Missing("log.out", "PM2 did not say where it is");
    collector.Missing("log.err", "PM2 did not say where it is");
    for (const v1::Pm2Process& expected : request.action().pm2_restart().expect()) {
      v1::Pm2App& app = apps.emplace_back();
      app.set_pm_id(expected.pm_id());
      app.set_pid(expected.pid());
    }
  }
  if (apps.size() > kMostProcesses) {
    collector.Missing("processes",
                      absl::StrCat("of ", apps.size(), " processes the first 16 were looked at"));
    apps.resize(kMostProcesses);
  }
  for (const v1::Pm2App& app : apps) {
    const std::string suffix = apps.size() == 1 ? "" : absl::StrCat("/", app.pm_id());
    const uint64_t share = request.budget_bytes() / (3 * apps.size());  // of the bytes, for each of two logs
    if (session.ok()) {
      collector.Item("describe" + suffix,
                     [&]() -> absl::StatusOr<std::string> { return app.Utf8DebugString(); });
      collector.Item("log.out" + suffix, [&] { return TailOfLog(app.out_log_path(), kLogLines, share); });
      collector.Item("log.err" + suffix, [&] { return TailOfLog(app.err_log_path(), kLogLines, share); });
    }
    CollectProcess(collector, kProc, app.pid(), suffix);
  }
  return result;
}

v1::WorkerResult Pm2RestartAction::Run(const v1::WorkerRequest& request, Clock& clock) {
  const Micros deadline = clock.Monotonic() + Micros{request.budget_ms()} * kMillisecond - kMargin;
  auto session = OpenSession(request, clock, kConnectWithin);
  if (!session.ok()) return Refused(NoDaemon(request, session.status()));
  const Pm2Judgement judgement = JudgePm2Restart(request.action().pm2_restart(), session->listed);
  v1::WorkerResult result = Judged(judgement);
  if (!result.ok()) return result;
  for (const v1::Pm2App& app : judgement.targets) {
    const Micros kill_timeout =
        app.kill_timeout_ms() > 0 ? app.kill_timeout_ms() * kMillisecond : 1600 * kMillisecond;
    const Micros within = std::min(pm2::RestartDeadline(kill_timeout), deadline - clock.Monotonic());
    const absl::Status done = within <= 0 ? absl::DeadlineExceededError("no time was left")
                                          : session->client->Restart(app.pm_id(), within);
    if (done.ok()) continue;
    result.set_ok(false);
    result.set_unknown(within > 0 && (absl::IsDeadlineExceeded(done) || absl::IsUnavailable(done)));
    result.set_reason(absl::StrCat("restarting pm_id ", app.pm_id(), ": ", done.message()));
    break;
  }
  AwaitAll(request, clock, std::min(deadline, clock.Monotonic() + kComeBackWithin), judgement.targets,
           result);
  return result;
}

// Fills `after`; a process that isn't another one and online by the deadline makes a success into a failure.
void Pm2RestartAction::AwaitAll(const v1::WorkerRequest& request, Clock& clock, Micros deadline,
                                const std::vector<v1::Pm2App>& before, v1::WorkerResult& result) {
  std::string behind = "PM2 did not answer after the restart";
  while (true) {
    const Micros left = std::max<Micros>(deadline - clock.Monotonic(), kMillisecond);
    auto session = OpenSession(request, clock, left);
    if (session.ok()) {
      behind.clear();
      result.clear_after();
      for (const v1::Pm2App& old : before) {
        auto now = std::find_if(session->listed.begin(), session->listed.end(),
                                [&](const v1::Pm2App& app) { return app.pm_id() == old.pm_id(); });
        const bool there = now != session->listed.end();
        if (there) *result.add_after() = ProcessOf(*now);
        const bool anew = there && now->pid() > 0 && now->pid() != old.pid() && now->status() == "online";
        if (!anew) {
          behind = absl::StrCat("after the restart pm_id ", old.pm_id(), " is ",
                                there ? now->status() : std::string("gone"),
                                there && now->pid() == 0 ? " without a process" : "");
        }
      }
    }
    if (!result.ok() || behind.empty()) return;
    if (clock.Monotonic() + 50 * kMillisecond >= deadline) break;
    Pause(50 * kMillisecond);
  }
  result.set_ok(false);
  result.set_reason(behind);
}

}  // namespace

Pm2Judgement JudgePm2Restart(const v1::Pm2Restart& wanted, const std::vector<v1::Pm2App>& listed) {
  Pm2Judgement judgement;
  if (listed.empty()) {
    judgement.reason = absl::StrCat("the PM2 of ", wanted.user(), " has no app of that name");
    return judgement;
  }
  judgement.reason = AgainstEvidence(wanted, listed);
  if (!judgement.reason.empty()) return judgement;
  for (const v1::Pm2App& app : listed) {
    if (IsQuellItself(app)) {
      judgement.reason =
          absl::StrCat("pm_id ", app.pm_id(), " is a part of quell, which never acts on itself");
      return judgement;
    }
    const bool by_hand = app.status() == "stopping" || (app.status() == "stopped" && !GivenUp(app, wanted));
    if (!by_hand) judgement.targets.push_back(app);
  }
  if (judgement.targets.empty()) judgement.reason = "it was stopped by hand: PM2 lists it as stopped";
  return judgement;
}

std::unique_ptr<Action> MakePm2Restart() { return std::make_unique<Pm2RestartAction>(); }

}  // namespace quell::agent
