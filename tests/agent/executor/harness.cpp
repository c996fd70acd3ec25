#include "tests/agent/executor/harness.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

namespace quell::agent {

void FakeHost::Sanctions(const std::string& yaml) {
  sanctions = SanctionsFile();
  config::Problems problems;
  ParseSanctions("sanctions.yaml", yaml, problems, sanctions.entries);
  sanctions.sha256 = Sha256(yaml);
  sanctions.error = problems.ToString();
  if (!problems.ok()) sanctions.entries.clear();
}

World::World() : pki(clock.Wall()), bundle(pki.signed_bundle()) {
  google::protobuf::SetLogHandler(nullptr);  // as the program does
  host.Sanctions("- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}}\n");
}

ExecutorOptions World::Options() {
  ExecutorOptions options;
  options.host_id = kHostId;
  options.boot_id = "boot-1";
  options.journal_path = "/state/journal";
  options.trust_path = "/state/trust.bundle";
  options.releases_path = "/state/releases";
  options.root_pin = pki.pin();
  options.root = root;
  options.own_uid = root ? 0 : 1000;
  options.random = [](size_t n) { return RandomBytes(n); };
  options.on_step = on_step;
  return options;
}

std::unique_ptr<Executor> World::Start() {
  workers.running.clear();
  auto executor = std::make_unique<Executor>(Options(), clock, disk, workers, host);
  executor->Open(bundle).IgnoreError();
  return executor;
}

v1::CommandBody World::Body(Executor& executor, const std::string& app) {
  v1::CommandBody body;
  body.set_id(RandomBytes(16));
  body.set_host_id(kHostId);
  body.mutable_action()->mutable_pm2_restart()->set_user("deploy");
  body.mutable_action()->mutable_pm2_restart()->set_app(app);
  body.set_cause("INC-20261123-031207");
  body.set_requested_by("policy:restart-hung-app");
  body.set_epoch_number(epoch);
  body.set_epoch_start(epoch_start);
  body.set_nonce(executor.Status().nonce());
  body.set_valid_for_ms(30'000);
  body.set_evidence_budget_ms(2000);
  body.set_evidence_budget_bytes(1 << 20);
  body.set_deadline_ms(30'000);
  return body;
}

std::string World::Sign(const v1::CommandBody& body) const {
  v1::SignedCommand command;
  command.set_body(body.SerializeAsString());
  command.set_key_id(pki.command_key().Id());
  command.set_signature(pki.command_key().Sign(security::kCommandContext, command.body()));
  return command.SerializeAsString();
}

void World::End(Executor& executor, const v1::WorkerResult& result) {
  ASSERT_FALSE(workers.running.empty());
  const uint64_t worker = workers.running.rbegin()->first;
  workers.running.erase(worker);
  ExitStatus exit;
  exit.output = result.SerializeAsString();
  executor.OnWorkerExit(worker, exit);
}

void World::EndAbruptly(Executor& executor, int signal) {
  ASSERT_FALSE(workers.running.empty());
  const uint64_t worker = workers.running.rbegin()->first;
  workers.running.erase(worker);
  ExitStatus exit;
  exit.signal = signal;
  executor.OnWorkerExit(worker, exit);
}

void World::EndAll(Executor& executor) {
  while (!workers.running.empty()) End(executor, Fine());
}

int World::Effects() const {
  int n = 0;
  for (const auto& [id, times] : workers.effects) n += times;
  return n;
}

v1::WorkerResult Fine() {
  v1::WorkerResult result;
  result.set_ok(true);
  v1::Pm2Process* process = result.add_before();
  process->set_pm_id(0);
  process->set_pid(1234);
  process->set_started_ms(1'700'000'000'000);
  v1::EvidenceItem* item = result.add_evidence();
  item->set_name("describe");
  item->set_content("name: portal");
  return result;
}

std::vector<v1::CommandReport> TakeReports(Executor& executor) {
  std::vector<v1::CommandReport> reports;
  for (const v1::ExecutorToAgent& message : executor.TakeMessages()) {
    for (const v1::CommandReport& report : message.reports()) reports.push_back(report);
  }
  return reports;
}

v1::CommandReport LastReport(Executor& executor, const std::string& id) {
  executor.OnAgentConnected();
  v1::CommandReport last;
  for (const v1::CommandReport& report : TakeReports(executor)) {
    if (report.id() == id) last = report;
  }
  return last;
}

}  // namespace quell::agent
