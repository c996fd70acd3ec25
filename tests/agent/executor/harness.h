// The real Executor over a clock set by hand, a disk in memory, workers that end when the test says so, and a
// host made of fields. Signs commands as a controller does.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/executor/executor.h"
#include "common/base/ids.h"
#include "common/security/signing.h"
#include "tests/common/security/test_pki.h"

namespace quell::agent {

inline constexpr char kHostId[] = "0b3f5a6e-1111-4222-8333-444455556666";

class FakeHost final : public HostView {
 public:
  bool Held() override { return held; }
  SanctionsFile ReadSanctions() override { return sanctions; }
  absl::StatusOr<HostUser> FindUser(std::string_view name) override {
    if (name == "quell-agent") return HostUser{"quell-agent", 990, 990, "/", ""};
    if (name == "quell-remedy") return HostUser{"quell-remedy", 991, 991, "/", ""};
    if (name != "deploy") return absl::NotFoundError("no such user");
    return HostUser{"deploy", 1000, 1000, "/home/deploy", "/home/deploy/.pm2"};
  }
  absl::StatusOr<v1::PostgresPlace> FindPostgres(std::string_view connection) override {
    if (connection != "main") return absl::NotFoundError("no such server");
    return postgres;
  }
  absl::StatusOr<std::string> ReadQuery(const std::string& path) override {
    if (query.empty()) return absl::NotFoundError(path + " is not there");
    return query;
  }
  absl::StatusOr<std::string> KernelStack(int64_t, uid_t) override { return std::string("[<0>] ep_poll"); }
  void Sanctions(const std::string& yaml);

  bool held = false;
  SanctionsFile sanctions;
  v1::PostgresPlace postgres;
  std::string query;
};

class FakeWorkers final : public WorkerStarter {
 public:
  absl::StatusOr<uint64_t> Start(const WorkerJob& job) override {
    if (!refuse.ok()) return refuse;
    running[++last] = job;
    if (job.request.task() == v1::WORKER_TASK_RUN) ++effects[job.request.command_id()];
    return last;
  }
  void Kill(uint64_t worker) override { killed.push_back(worker); }

  absl::Status refuse;
  uint64_t last = 0;
  std::map<uint64_t, WorkerJob> running;
  std::vector<uint64_t> killed;
  std::map<std::string, int> effects;  // command id -> how often its effect was started
};

// What outlives a process: disk, clock, host, and the count of effects.
struct World {
  World();
  FakeClock clock;
  MemoryDisk disk;
  FakeHost host;
  FakeWorkers workers;
  testing_support::TestPki pki;
  std::string bundle;
  std::function<void(std::string_view)> on_step;

  // A new start of the process: nothing of an earlier one in memory, its workers are gone.
  std::unique_ptr<Executor> Start();
  v1::CommandBody Body(Executor& executor, const std::string& app = "portal");
  std::string Sign(const v1::CommandBody& body) const;
  // Lets the newest worker end with this result.
  void End(Executor& executor, const v1::WorkerResult& result);
  void EndAbruptly(Executor& executor, int signal);
  // Check, evidence and effect, each ending well.
  void EndAll(Executor& executor);
  int Effects() const;
  ExecutorOptions Options();

  std::string epoch_start = std::string(16, 'e');
  uint64_t epoch = 3;
  bool root = true;
};

v1::WorkerResult Fine();
// Reports not yet taken, in order.
std::vector<v1::CommandReport> TakeReports(Executor& executor);
// The last report about this id; one with OUTCOME_UNSPECIFIED when there is none.
v1::CommandReport LastReport(Executor& executor, const std::string& id);

}  // namespace quell::agent
