#include "agent/actions/pm2_app.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr char kProc[] = "/proc";
constexpr int kLogLines = 200;
constexpr size_t kMostProcesses = 16;  // whose evidence is taken

}  // namespace

absl::StatusOr<Pm2Session> OpenPm2Session(const v1::WorkerRequest& request, const std::string& app,
                                          Micros within, Clock& clock) {
  Pm2Session session;
  QUELL_ASSIGN_OR_RETURN(session.client,
                         pm2::Pm2Client::Connect(request.pm2_home(), request.target_uid(), within, clock));
  QUELL_ASSIGN_OR_RETURN(session.listed, session.client->ListApps(within));
  const auto other = [&](const v1::Pm2App& listed) { return listed.name() != app || listed.module(); };
  session.listed.erase(std::remove_if(session.listed.begin(), session.listed.end(), other),
                       session.listed.end());
  return session;
}

std::string NoPm2(const std::string& user, const absl::Status& status) {
  return absl::StrCat("the PM2 of ", user, " does not answer: ", status.message());
}

v1::Pm2Process ProcessOf(const v1::Pm2App& app) {
  v1::Pm2Process process;
  process.set_pm_id(app.pm_id());
  process.set_pid(app.pid());
  process.set_started_ms(app.started_ms());
  return process;
}

Micros RestartDeadlineOf(const v1::Pm2App& app) {
  return app.kill_timeout_ms() > 0 ? pm2::RestartDeadline(app.kill_timeout_ms() * kMillisecond)
                                   : pm2::RestartDeadline();
}

void CollectPm2App(EvidenceCollector& collector, const v1::WorkerRequest& request, const Pm2Subject& subject,
                   Micros within, Clock& clock) {
  auto session = OpenPm2Session(request, subject.app, within, clock);
  std::vector<v1::Pm2App> apps;
  if (session.ok()) {
    apps = session->listed;
  } else {
    collector.Missing("describe", NoPm2(subject.user, session.status()));
    collector.Missing("log.out", "PM2 did not say where it is");
    collector.Missing("log.err", "PM2 did not say where it is");
    for (const v1::Pm2Process& expected : subject.expected) {
      v1::Pm2App& app = apps.emplace_back();
      app.set_pm_id(expected.pm_id());
      app.set_pid(expected.pid());
    }
  }
  if (apps.size() > kMostProcesses) {
    collector.Missing("processes", absl::StrCat("of ", apps.size(), " processes the first ", kMostProcesses,
                                                " were looked at"));
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
}

v1::WorkerResult RefusedResult(std::string reason) {
  v1::WorkerResult result;
  result.set_refusal(v1::REFUSAL_CHECK);
  result.set_reason(MakeUtf8(reason));
  return result;
}

void Pause(Micros d) {
  const timespec time{d / kSecond, (d % kSecond) * 1000};
  nanosleep(&time, nullptr);
}

}  // namespace quell::agent
