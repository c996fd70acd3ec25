#include "agent/actions/pm2_restart.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/actions/pm2_app.h"
#include "agent/actions/proc.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kProc[] = "/proc";
constexpr Micros kComeBackWithin = 3 * kSecond;

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

// Stopped, and by PM2 itself: no restart is configured, and the evidence was taken when it was gone already.
// Evidence of a living process that is stopped now means that somebody stopped it, whatever its exit code:
// one that is told to end may fail at it. So does no evidence.
bool GivenUp(const v1::Pm2App& app, const v1::Pm2Restart& wanted) {
  const auto was_gone = [&](const v1::Pm2Process& p) { return p.pm_id() == app.pm_id() && p.pid() == 0; };
  return !app.autorestart() && std::any_of(wanted.expect().begin(), wanted.expect().end(), was_gone);
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

absl::StatusOr<Pm2Session> OpenSession(const v1::WorkerRequest& request, Clock& clock, Micros within) {
  return OpenPm2Session(request, request.action().pm2_restart().app(), within, clock);
}

std::string NoDaemon(const v1::WorkerRequest& request, const absl::Status& status) {
  return NoPm2(request.action().pm2_restart().user(), status);
}

class Pm2RestartAction final : public Action {
 public:
  v1::WorkerResult Check(const v1::WorkerRequest& request, Clock& clock) override {
    auto session = OpenSession(request, clock, kConnectWithin);
    if (!session.ok()) return RefusedResult(NoDaemon(request, session.status()));
    Pm2Judgement judgement = JudgePm2Restart(request.action().pm2_restart(), session->listed);
    return Judged(judgement);
  }

  v1::WorkerResult Evidence(const v1::WorkerRequest& request, Clock& clock) override;
  v1::WorkerResult Run(const v1::WorkerRequest& request, Clock& clock) override;

 private:
  static v1::WorkerResult Judged(const Pm2Judgement& judgement) {
    if (!judgement.reason.empty()) return RefusedResult(judgement.reason);
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
  EvidenceCollector collector(clock, began, budget - std::min(budget / 4, kWorkerMargin),
                              request.budget_bytes(), result);
  const v1::Pm2Restart& wanted = request.action().pm2_restart();
  // A daemon that hangs costs half of the time; what /proc says of the expected processes is had all the
  // same.
  CollectPm2App(collector, request,
                {wanted.user(), wanted.app(), {wanted.expect().begin(), wanted.expect().end()}},
                std::max<Micros>(budget / 4, kMillisecond), clock);
  return result;
}

v1::WorkerResult Pm2RestartAction::Run(const v1::WorkerRequest& request, Clock& clock) {
  const Micros deadline = clock.Monotonic() + Micros{request.budget_ms()} * kMillisecond - kWorkerMargin;
  auto session = OpenSession(request, clock, kConnectWithin);
  if (!session.ok()) return RefusedResult(NoDaemon(request, session.status()));
  const Pm2Judgement judgement = JudgePm2Restart(request.action().pm2_restart(), session->listed);
  v1::WorkerResult result = Judged(judgement);
  if (!result.ok()) return result;
  for (const v1::Pm2App& app : judgement.targets) {
    const Micros within = std::min(RestartDeadlineOf(app), deadline - clock.Monotonic());
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
