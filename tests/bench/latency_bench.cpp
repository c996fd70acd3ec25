// From a fault to its remedy, with the real programs on this machine: controller, executor, agent, worker and
// a PM2 with apps.
//
//   latency_bench [ROUNDS]     (default: 100)
//
// In each round PM2 gives up on one of ten apps (autorestart off, exit code 1), quell declares an incident
// and restarts the app. Afterwards as many commands are only tried, with `quell run --dry-run`. The times:
//   gave up: PM2's own, the `at` of its exit event, read off its bus beside quell (whole ms, rounded down);
//   declared: engine time of the decision, declared_at;
//   on disk: engine time when the command had been handed over, which is after the commit, delivered_at;
//   worker started: the executor's own time of it, mapped to engine time, started_at;
//   evidence: what the executor spent on it, evidence_seconds (whole ms, rounded down).
// Engine time follows this machine's wall clock, so they may be subtracted. What an fsync costs is measured
// between the rounds, on the same disk, and stands beside each line.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/pm2/bus.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "tests/bench/figures.h"
#include "tests/integration/world.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr int kMostApps = 10;
constexpr absl::Duration kPace = absl::Milliseconds(1500);  // between rounds: one's end is not another's load

constexpr char kApp[] = R"js(
const fs = require("fs"), file = process.env.CONTROL + "/" + process.env.NAME;
process.on("SIGUSR2", () => process.exit(1));
setInterval(() => {}, 1e9);
fs.writeFileSync(file + ".new", String(process.pid));
fs.renameSync(file + ".new", file);
)js";

constexpr char kRules[] = R"(groups:
- name: apps
  interval: 1s
  rules:
  - alert: AppGivenUp
    expr: pm2_app_given_up == 1
    labels: {severity: P1}
    annotations: {summary: "{{ $labels.app }} on {{ $labels.instance }} is down"}
)";

constexpr char kPolicies[] = R"(policies:
- name: restart-app
  mode: automatic
  when: {alert: [AppGivenUp]}
  page: {unless_verified_in: 90s}
  steps:
  - action: pm2.restart
    with: {user: $labels.user, app: $labels.app}
    verify: {cleared: true, within: 30s, hold: 1s}
  guard: {cooldown: 0s, attempts: {max: 100, within: 1h}, fresh: 10s}
  otherwise: page
)";

// PM2's exit events, as they come off its bus. Read by a thread of its own.
class ExitTimes {
 public:
  explicit ExitTimes(const std::string& home) {
    auto bus = pm2::Pm2Bus::Connect(home, getuid(), kSecond, RealClock());
    Require(bus.ok(), bus.status().ToString());
    thread_ = NamedThread("exits", [this, bus = std::shared_ptr<pm2::Pm2Bus>(*std::move(bus))] {
      while (!stop_) {
        (void)bus->Read(RealClock().Monotonic() + 100 * kMillisecond, [this](pm2::BusMessage&& message) {
          if (auto* event = std::get_if<v1::Pm2Event>(&message)) Take(*event);
        });
      }
    });
  }
  ~ExitTimes() {
    stop_ = true;
    thread_.Join();
  }
  // The n-th unplanned exit of this app; 0: not seen.
  Micros At(const std::string& app, size_t n) {
    absl::MutexLock lock(&mutex_);
    return n < exits_[app].size() ? exits_[app][n] : 0;
  }

 private:
  void Take(const v1::Pm2Event& event) {
    if (event.event() != "exit" || event.exit_code() != 1) return;
    absl::MutexLock lock(&mutex_);
    exits_[event.app()].push_back(event.at_ms() * kMillisecond);
  }
  std::atomic<bool> stop_{false};
  absl::Mutex mutex_;
  std::map<std::string, std::vector<Micros>> exits_ ABSL_GUARDED_BY(mutex_);
  NamedThread thread_;
};

class Disk {
 public:
  explicit Disk(const std::string& path)
      : fd_(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_APPEND, 0600)) {}
  ~Disk() { close(fd_); }
  void FsyncOnce(Percentiles& taken) const {
    static const std::string block(8192, 'b');
    const Micros begin = RealClock().Monotonic();
    Require(write(fd_, block.data(), block.size()) == static_cast<ssize_t>(block.size()) && fsync(fd_) == 0,
            "writing the file that measures the disk failed");
    taken.Add(RealClock().Monotonic() - begin);
  }

 private:
  const int fd_;
};

class Bench {
 public:
  explicit Bench(int rounds) : rounds_(rounds), world_(Options(std::min(rounds, kMostApps))) {
    world_.StartAll();
  }

  int Run() {
    ExitTimes exits(world_.pm2().home());
    Disk disk(world_.dir().Path("fsync"));
    const int apps = std::min(rounds_, kMostApps);
    for (int i = 0; i < rounds_; ++i) {
      if (!GiveUp(AppName(i % apps), static_cast<size_t>(i / apps), disk)) return 1;
    }
    for (int i = 0; i < apps; ++i) {
      const auto wanted = static_cast<size_t>((rounds_ - i + apps - 1) / apps);
      if (!WaitResolved(AppName(i), wanted)) return 1;
    }
    for (int i = 0; i < rounds_; ++i) DryRun(AppName(i % apps));
    return Report(exits);
  }

 private:
  static std::string AppName(int i) { return absl::StrCat("app-", i); }

  WorldOptions Options(int apps) {
    WorldOptions options;
    for (int i = 0; i < apps; ++i) {
      options.apps.push_back({.name = AppName(i),
                              .source = kApp,
                              .settings = R"({"autorestart": false})",
                              .environment = {{"CONTROL", control_.path()}, {"NAME", AppName(i)}}});
    }
    options.rules = kRules;
    options.policies = kPolicies;
    options.sanctions = absl::StrCat("- {action: pm2.restart, user: ", getpwuid(getuid())->pw_name,
                                     ", allow: {apps: [\"app-*\"]}}\n");
    options.monitoring = "1s";
    return options;
  }

  std::vector<Json> All(const std::string& kind) {
    const Json listed = world_.Quell({"get", kind, "--all", "--limit", "1000"});
    if (!listed.is_object() || !listed.contains("items")) return {};
    return listed["items"].get<std::vector<Json>>();
  }

  bool WaitResolved(const std::string& app, size_t wanted) {
    auto resolved = [&] {
      size_t seen = 0;
      for (const Json& incident : All("incidents"))
        seen += incident["status"] == "resolved" && incident["services"][0] == app;
      return seen >= wanted;
    };
    if (WaitFor(resolved, kMinute)) return true;
    fprintf(stderr, "%s was not brought back %zu times\n%s\n", app.c_str(), wanted,
            world_.Log("controller").c_str());
    return false;
  }

  // Lets an app fail whose earlier incidents are over.
  bool GiveUp(const std::string& app, size_t before, Disk& disk) {
    if (!WaitResolved(app, before)) return false;
    pid_t pid = 0;
    auto runs = [&] { return absl::SimpleAtoi(ReadFile(control_.Path(app)), &pid) && pid != killed_[app]; };
    if (!WaitFor(runs)) return false;
    absl::SleepFor(kPace / 2);
    for (int i = 0; i < 3; ++i) disk.FsyncOnce(fsyncs_);
    killed_[app] = pid;
    if (kill(pid, SIGUSR2) != 0) return false;
    absl::SleepFor(kPace / 2);
    return true;
  }

  void DryRun(const std::string& app) {
    const Micros begin = RealClock().Monotonic();
    const int exit = world_.QuellExit(
        {"run", "pm2.restart", "--host", "web-1", "--user", world_.user(), "--app", app, "--dry-run"});
    if (exit == 0) run_.Add(RealClock().Monotonic() - begin);
  }

  void Line(const char* what, Percentiles& taken) {
    if (taken.count() == 0) return;
    printf("%-52s %8.1f %8.1f %6zu   %.2f ms\n", what, taken.Milliseconds(0.5), taken.Milliseconds(0.99),
           taken.count(), fsyncs_.Milliseconds(0.5));
  }

  int Report(ExitTimes& exits) {
    std::map<std::string, Json> commands;  // by incident
    Percentiles tried_delivered, tried;
    for (Json& command : All("commands")) {
      if (command["dry_run"] == true) {
        tried_delivered.Add(TimeOf(command, "delivered_at") - TimeOf(command, "issued_at"));
        tried.Add(TimeOf(command, "finished_at") - TimeOf(command, "issued_at"));
      } else if (command["state"] == "succeeded") {
        const std::string incident = command["incident"].get<std::string>();
        commands[incident] = std::move(command);
      }
    }
    std::vector<Json> incidents = All("incidents");
    std::sort(incidents.begin(), incidents.end(),
              [](const Json& a, const Json& b) { return a["number"] < b["number"]; });
    Percentiles declared, durable, started, evidence, without, finished;
    std::map<std::string, size_t> seen;
    for (const Json& incident : incidents) {
      const std::string app = incident["services"][0].get<std::string>();
      const Micros gave_up = exits.At(app, seen[app]++);
      const Json& command = commands[incident["id"].get<std::string>()];
      if (gave_up == 0 || !command.is_object()) continue;
      const Micros at = TimeOf(incident, "declared_at");
      const Micros taken = TimeOf(command, "started_at") - at;
      const auto spent = static_cast<Micros>(command.value("evidence_seconds", 0.0) * kSecond);
      declared.Add(at - gave_up);
      durable.Add(TimeOf(command, "delivered_at") - gave_up);
      started.Add(taken);
      evidence.Add(spent);
      without.Add(taken - spent);
      finished.Add(TimeOf(command, "finished_at") - at);
    }
    printf("%-52s %8s %8s %6s   %s\n", "ms", "p50", "p99", "n", "fsync p50");
    Line("PM2 gave up -> declared", declared);
    Line("PM2 gave up -> declared, on disk, command handed over", durable);
    Line("declared -> worker started", started);
    Line("  of which evidence", evidence);
    Line("declared -> worker started, without evidence", without);
    Line("declared -> outcome (the app runs again)", finished);
    Line("command, tried only: issued -> handed over", tried_delivered);
    Line("command, tried only: issued -> outcome", tried);
    Line("the same with `quell run` around it", run_);
    printf("fsync on this disk, in the same minutes: p50 %.2f ms, p99 %.2f ms of %zu\n",
           fsyncs_.Milliseconds(0.5), fsyncs_.Milliseconds(0.99), fsyncs_.count());
    const auto wanted = static_cast<size_t>(rounds_);
    return declared.count() == wanted && tried.count() == wanted ? 0 : 1;
  }

  const int rounds_;
  TempDir control_;  // before the world, whose apps write there
  World world_;
  std::map<std::string, pid_t> killed_;
  Percentiles fsyncs_, run_;
};

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int rounds = argc > 1 ? atoi(argv[1]) : 100;
  if (rounds < 1 || rounds > 300) {
    fprintf(stderr, "usage: latency_bench [ROUNDS], 1 to 300\n");
    return 2;
  }
  return quell::test::Bench(rounds).Run();
}
