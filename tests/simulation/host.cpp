#include <algorithm>
#include <map>
#include <set>

#include "common/base/ids.h"
#include "tests/common/security/test_pki.h"
#include "tests/simulation/pki.h"
#include "tests/simulation/world.h"

namespace quell::simulation {
namespace {

struct Crashed {};  // thrown out of the executor at one of its steps: the process ends there

agent::SanctionsFile Allowed(size_t approvals) {
  static const char* const kApprovals[] = {"none", "one", "two"};
  agent::SanctionsFile file;
  config::Problems problems;
  agent::ParseSanctions(
      "sanctions.yaml",
      std::string("- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}, approval: ") +
          kApprovals[approvals] + "}\n",
      problems, file.entries);
  file.sha256 = Sha256("simulated");
  return file;
}

}  // namespace

SimHost::SimHost(World& world, int n)
    : index(n),
      id("00000000-0000-4000-8000-" + std::to_string(100000000000 + n)),
      name("web-" + std::to_string(n)),
      world_(world),
      sanctions_(Allowed(world.bugs.sanctions_forget_approval ? 0 : world.approvals())) {}

bool SimHost::Reachable() const { return executor_ != nullptr && world_.clock.Wall() >= partitioned_until; }

absl::StatusOr<agent::HostUser> SimHost::FindUser(std::string_view user) {
  if (user != "deploy") return absl::NotFoundError("no such user");
  return agent::HostUser{"deploy", 1000, 1000, "/home/deploy", "/home/deploy/.pm2"};
}

void SimHost::Hang(bool with_release) {
  world_.Trace(name + (with_release ? " got a bad release" : " hangs"));
  if (!hung) hung_since = world_.now();
  hung = true;
  bad_release = bad_release || with_release;
}

void SimHost::Heal() { hung = bad_release; }

void SimHost::Start() {
  agent::ExecutorOptions options;
  options.host_id = id;
  options.boot_id = "boot-1";
  options.journal_path = "/state/journal";
  options.trust_path = "/state/trust.bundle";
  options.root_pin = Pki().pin();
  options.root = true;
  options.random = [this](size_t n) { return world_.random.Bytes(n); };
  options.on_step = [this](std::string_view step) {
    world_.Trace(name + " " + std::string(step));
    if (in_call_ && world_.chaos() && world_.random.OneIn(25)) throw Crashed{};
  };
  ++life_;
  executor_ = std::make_unique<agent::Executor>(options, world_.clock, disk_, *this, *this);
  executor_->Open(PkiBundle()).IgnoreError();
  world_.After(static_cast<Micros>(world_.random.Below(2000)) * kMillisecond, [this] { Connect(); });
}

void SimHost::Crash() {
  world_.Trace(name + " crashes");
  ++world_.crashes;
  ++life_;
  executor_.reset();
  Disconnect();
  if (world_.bugs.journal_forgets) disk_.files().erase("/state/journal");
  disk_.Crash(world_.random.Below(40));
  world_.After(kSecond + static_cast<Micros>(world_.random.Below(4000)) * kMillisecond, [this] { Start(); });
}

void SimHost::Guarded(const std::function<void(agent::Executor&)>& call) {
  if (executor_ == nullptr) return;
  bool crashed = false;
  in_call_ = true;
  try {
    call(*executor_);
  } catch (const Crashed&) {
    crashed = true;
  }
  in_call_ = false;
  if (crashed || !executor_->fatal().ok()) return Crash();
  Flush();
}

void SimHost::Flush() {
  if (session == 0) return;
  for (const v1::ExecutorToAgent& message : executor_->TakeMessages()) {
    for (const v1::CommandReport& report : message.reports()) {
      world_.Frame(*this, [this, report, at = session] { world_.controller.Reported(*this, at, report); });
    }
  }
}

void SimHost::Connect() {
  if (session != 0 || executor_ == nullptr) return;
  if (!Reachable() || !world_.controller.up()) {
    world_.After(kSecond + static_cast<Micros>(world_.random.Below(1000)) * kMillisecond,
                 [this] { Connect(); });
    return;
  }
  session = ++sessions_;
  session_since = world_.now();
  world_.Trace(name + " connects");
  world_.controller.Connected(*this, session);
  Guarded([](agent::Executor& executor) {
    executor.OnAgentConnected();
    executor.Tick();
  });
  Every2s();
}

void SimHost::Disconnect() {
  if (session == 0) return;
  session = 0;
  world_.controller.Disconnected(*this);
  world_.After(kSecond, [this] { Connect(); });
}

void SimHost::Every2s() {
  Guarded([](agent::Executor& executor) { executor.Tick(); });
  if (executor_ == nullptr || session == 0) return;
  const std::string nonce = executor_->Status().nonce();
  world_.Frame(*this, [this, at = session, nonce, healthy = !hung, sampled = world_.now()] {
    world_.controller.Heard(*this, at, nonce, healthy, sampled);
  });
}

void SimHost::Submit(const std::string& bytes) {
  v1::SignedCommand command;
  v1::CommandBody body;
  if (command.ParseFromString(bytes) && body.ParseFromString(command.body()))
    given_[HexEncode(body.id())] = body;
  Guarded([&](agent::Executor& executor) { executor.Submit(bytes); });
}

void SimHost::Cancel(const std::string& cancelled) {
  Guarded([&](agent::Executor& executor) { executor.Cancel(cancelled); });
}

bool SimHost::Stopped() const { return world_.now() < stopped_until; }
bool SimHost::Held() { return Stopped() && !world_.bugs.stop_file_unseen; }

void SimHost::Acknowledge(uint64_t seq) {
  Guarded([&](agent::Executor& executor) { executor.Acknowledge(seq); });
}

bool SimHost::Consented(const std::string& command) const {
  auto given = given_.find(command);
  if (given == given_.end()) return false;
  const v1::CommandBody& body = given->second;
  v1::Intent intent;
  intent.ParseFromString(body.intent());
  const bool same = intent.action().SerializeAsString() == body.action().SerializeAsString() &&
                    std::count(intent.host_ids().begin(), intent.host_ids().end(), id) == 1 &&
                    intent.expires_us() > world_.now();
  std::set<std::string> persons;
  for (const v1::Approval& approval : body.approvals()) {
    if (!security::VerifyApproval(approval, body.intent(), Pki().bundle(), world_.now()).ok()) continue;
    const bool asked = body.requested_by() == "person:" + approval.person();
    if (same && (!asked || world_.approvals() == 2)) persons.insert(approval.person());
  }
  return persons.size() >= world_.approvals();
}

absl::StatusOr<uint64_t> SimHost::Start(const agent::WorkerJob& job) {
  const uint64_t worker = ++workers_;
  if (job.request.task() == v1::WORKER_TASK_RUN) {
    world_.Effect(HexEncode(job.request.command_id()), *this);
    ++pid;
    if (job.request.action().pm2_restart().app() == kRollsBack && !world_.random.OneIn(8))
      bad_release = false;
    if (!world_.random.OneIn(4)) Heal();  // else it doesn't help
  }
  const bool held = job.request.task() != v1::WORKER_TASK_RUN && world_.HeldMeanwhile(*this);
  const Micros longest = held || world_.random.OneIn(10) ? 6000 : 800;
  const Micros takes = static_cast<Micros>(5 + world_.random.Below(longest)) * kMillisecond;
  world_.After(takes, [this, worker, job, life = life_] {
    if (life == life_) EndWorker(worker, job);
  });
  return worker;
}

void SimHost::EndWorker(uint64_t worker, const agent::WorkerJob& job) {
  v1::WorkerResult result;
  result.set_ok(true);
  const auto& expect = job.request.action().pm2_restart().expect();
  if (job.request.task() == v1::WORKER_TASK_CHECK && !expect.empty() && (expect[0].pid() != pid || !hung)) {
    result.set_ok(false);
    result.set_refusal(v1::REFUSAL_CHECK);
    result.set_reason(hung ? "another process than the evidence" : "healed");
  }
  v1::Pm2Process* process = result.add_before();
  process->set_pid(pid);
  if (job.request.task() == v1::WORKER_TASK_RUN) *result.add_after() = *process;
  ExitStatus exit;
  exit.output = result.SerializeAsString();
  if (world_.chaos() && world_.random.OneIn(20)) {
    exit.output.clear();
    exit.signal = 9;
    if (job.request.task() == v1::WORKER_TASK_RUN) world_.EndedBadly(HexEncode(job.request.command_id()));
  }
  Guarded([&](agent::Executor& executor) { executor.OnWorkerExit(worker, exit); });
}

}  // namespace quell::simulation
