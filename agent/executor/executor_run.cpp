// The Executor's second half: workers, evidence, intent, effect, outcome.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/executor/executor.h"
#include "agent/executor/worker_result.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kMostRefusals = 256;  // that wait to be told, and what they may hold together
constexpr size_t kMostRefusalBytes = 8 << 20;
constexpr size_t kMostBytesAtOnce = 2 << 20;  // of reports in one turn; the rest in the next
constexpr Micros kSendAgain = 15 * kSecond;
constexpr uint64_t kLargestCheckOutput = 256 << 10;
constexpr size_t kLongestReason = 1024;

uint32_t Or(uint32_t value, uint32_t otherwise) { return value == 0 ? otherwise : value; }

uint32_t EvidenceBytes(const v1::CommandBody& body) {
  return std::min(Or(body.evidence_budget_bytes(), kDefaultEvidenceBytes), kDefaultEvidenceBytes);
}

std::string WithSpared(const std::string& reason, const std::string& spared) {
  return absl::StrCat(reason, reason.empty() || spared.empty() ? "" : "; ", spared);
}

// What people approved, and who: the journal remembers it until it expires.
void KeepApprovals(const v1::CommandBody& body, v1::JournalIntent& intent) {
  v1::Intent approved;
  if (body.intent().empty() || !approved.ParseFromString(body.intent())) return;
  intent.set_approved_intent(body.intent());
  intent.set_approved_id(approved.id());
  intent.set_approved_until_us(approved.expires_us());
  *intent.mutable_approvals() = body.approvals();
}

}  // namespace

std::string Executor::AsksFor(const Command& command) {
  switch (Strictest(FindSanction(host_.ReadSanctions(), command.info).limits)) {
    case ApprovalNeeded::kOne:
      return "one person has to sign it who did not ask for it";
    case ApprovalNeeded::kTwo:
      return "two persons have to sign it";
    case ApprovalNeeded::kNone:
      break;
  }
  return "";
}

absl::Status Executor::StartWorker(Command& command, v1::WorkerTask task, Micros deadline) {
  const v1::CommandBody& body = command.verified.body;
  WorkerJob job;
  job.request.set_task(task);
  job.request.set_command_id(body.id());
  *job.request.mutable_action() = body.action();
  job.request.set_budget_ms(static_cast<uint32_t>(deadline / kMillisecond));
  const uint32_t bytes = EvidenceBytes(body);
  job.request.set_budget_bytes(bytes);
  job.request.set_pm2_home(command.user.pm2_home);
  job.user = task == v1::WORKER_TASK_RUN ? command.actor : command.user;
  job.request.set_target_uid(job.user.uid);
  job.request.set_by_person(ByPerson(body));
  if (command.sessions) *job.request.mutable_postgres() = command.postgres;
  *job.request.mutable_sessions() = command.intent.sessions();
  if (body.action().has_release_rollback()) QUELL_RETURN_IF_ERROR(FillRelease(command, job.request));
  job.deadline = deadline;
  job.output_limit = task == v1::WORKER_TASK_EVIDENCE ? bytes + kLargestCheckOutput : kLargestCheckOutput;
  auto worker = starter_.Start(job);
  if (!worker.ok()) return Annotate(worker.status(), "starting the worker");
  command.worker = *worker;
  command.phase_began = clock_.Monotonic();
  workers_[*worker] = body.id();
  return absl::OkStatus();
}

void Executor::OnWorkerExit(uint64_t worker, const ExitStatus& exit) {
  if (releases_.OnWorkerExit(worker, exit)) return;
  auto known = workers_.find(worker);
  if (known == workers_.end()) return;
  const std::string id = known->second;
  workers_.erase(known);
  Command& command = running_.at(id);
  switch (command.phase) {
    case Phase::kCheck:
      return AfterCheck(command, exit);
    case Phase::kMigrations:
      return AfterMigrations(command, exit);
    case Phase::kEvidence:
      return AfterEvidence(command, exit);
    case Phase::kEffect:
      return AfterEffect(command, exit);
    case Phase::kRecord:
      return;
  }
}

void Executor::AfterCheck(Command& command, const ExitStatus& exit) {
  auto result = ReadWorkerResult(exit);
  if (!result.ok() || !result->ok()) {
    const std::string reason =
        result.ok() ? result->reason() : absl::StrCat("the check failed: ", result.status().message());
    return Unstarted(v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, reason, command);
  }
  *command.intent.mutable_before() = result->before();
  if (command.sessions && !TakeSessions(*result, command)) return;
  if (command.verified.body.action().has_release_rollback()) return AfterReleaseCheck(*result, command);
  Checked(command);
}

void Executor::Checked(Command& command) {
  Step("checked");
  if (command.verified.body.dry_run()) {
    const std::string would = "would be done: it is sanctioned, and the target is as expected";
    return Unstarted(
        v1::OUTCOME_DRY_RUN, v1::REFUSAL_UNSPECIFIED,
        WithSpared(WithSpared(WithSpared(would, AsksFor(command)), command.would), command.spared), command);
  }
  if (command.info.ends_process) return StartEvidence(command);
  BeginEffect(command);
}

void Executor::StartEvidence(Command& command) {
  command.phase = Phase::kEvidence;
  const Micros budget =
      Micros{Or(command.verified.body.evidence_budget_ms(), kDefaultEvidenceMs)} * kMillisecond;
  const absl::Status started = StartWorker(command, v1::WORKER_TASK_EVIDENCE, budget);
  if (started.ok()) return;
  v1::EvidenceItem* item = command.intent.add_evidence();
  item->set_name("evidence");
  item->set_missing(std::string(started.message()));
  BeginEffect(command);
}

void Executor::AfterEvidence(Command& command, const ExitStatus& exit) {
  auto result = ReadWorkerResult(exit);
  if (result.ok()) {
    KeepEvidence(*result, EvidenceBytes(command.verified.body), *command.intent.mutable_evidence());
  } else {
    v1::EvidenceItem* item = command.intent.add_evidence();
    item->set_name("evidence");
    item->set_missing(std::string(result.status().message()));
  }
  AddKernelStacks(command);
  command.intent.set_evidence_ms(
      static_cast<uint32_t>((clock_.Monotonic() - command.phase_began) / kMillisecond));
  Step("evidence_taken");
  BeginEffect(command);
}

// The kernel stack is root's to read; its bytes go out as they are.
void Executor::AddKernelStacks(Command& command) {
  if (!options_.root) return;
  auto& evidence = *command.intent.mutable_evidence();
  for (const v1::Pm2Process& process : command.intent.before()) {
    auto stack = host_.KernelStack(process.pid(), command.user.uid);
    if (!stack.ok()) continue;  // the worker's own sentence about it stays
    auto missing = std::find_if(evidence.begin(), evidence.end(), [](const v1::EvidenceItem& item) {
      return item.name() == "kernel.stack" && !item.missing().empty();
    });
    v1::EvidenceItem* item = missing != evidence.end() ? &*missing : evidence.Add();
    item->Clear();
    item->set_name("kernel.stack");
    item->set_content(*std::move(stack));
  }
}

void Executor::BeginEffect(Command& command) {
  const v1::CommandBody& body = command.verified.body;
  v1::JournalIntent& intent = command.intent;
  intent.set_id(body.id());
  intent.set_body_sha256(command.verified.body_sha256);
  intent.set_epoch_number(body.epoch_number());
  intent.set_epoch_start(body.epoch_start());
  intent.set_wall_us(clock_.Wall());
  intent.set_boot_us(clock_.Boot());
  intent.set_boot_id(options_.boot_id);
  intent.set_action(command.info.name);
  for (const std::string& value : command.info.target) intent.add_target(value);
  KeepApprovals(body, intent);
  VerifyFailure failure;
  // Rates once more, for what others started meanwhile, and before this intent is itself one of the counted.
  bool may = Sanctioned(command, /*rates=*/true, failure);
  if (may) {
    const absl::Status written = journal_.WriteIntent(intent, clock_.Wall());
    may = written.ok();
    failure.kind = v1::REFUSAL_JOURNAL;
    failure.reason = std::string(written.message());
  }
  if (may) return StartEffect(command);
  Unstarted(v1::OUTCOME_REFUSED, failure.kind, failure.reason, command);
}

void Executor::StartEffect(Command& command) {
  const v1::CommandBody& body = command.verified.body;
  command.phase = Phase::kEffect;
  VerifyFailure failure;
  bool may = VerifyFreshness(command.verified, Context(), nonces_, clock_.Boot(), failure) &&
             Sanctioned(command, /*rates=*/false, failure) && NotHeld(failure);
  Step("rechecked");
  if (may) {
    const absl::Status noted = AboutToRollBack(command);
    may = noted.ok();
    failure.kind = v1::REFUSAL_JOURNAL;
    failure.reason = std::string(noted.message());
  }
  if (may) {
    const Micros deadline = Micros{Or(body.deadline_ms(), kDefaultDeadlineMs)} * kMillisecond;
    const absl::Status started = StartWorker(command, v1::WORKER_TASK_RUN, deadline);
    may = started.ok();
    failure.kind = v1::REFUSAL_CHECK;
    failure.reason = std::string(started.message());
  }
  if (may) return TellStarted(command);
  command.outcome = NewReport(body.id(), v1::OUTCOME_REFUSED, failure.reason);
  command.outcome.set_refusal(failure.kind);
  Record(command);
}

void Executor::TellStarted(Command& command) {
  const std::string& id = command.verified.body.id();
  v1::CommandReport report = NewReport(id, v1::OUTCOME_STARTED, "");
  *report.mutable_before() = command.intent.before();
  *report.mutable_sessions() = command.intent.sessions();
  report.set_evidence_ms(command.intent.evidence_ms());
  Step("worker_started");
  v1::JournalStarted started;
  started.set_id(id);
  started.set_wall_us(report.wall_us());
  started.set_monotonic_us(report.monotonic_us());
  const absl::Status written = journal_.WriteStarted(started);
  if (!written.ok()) LogWarning("the start of a worker is not in the journal: %s", written.ToString());
  AddPending(std::move(report), false);
}

void Executor::AfterEffect(Command& command, const ExitStatus& exit) {
  Step("worker_ended");
  auto result = ReadWorkerResult(exit);
  const std::string& id = command.verified.body.id();
  if (!result.ok()) {
    command.outcome = NewReport(id, v1::OUTCOME_UNKNOWN,
                                absl::StrCat("how it went is not known: ", result.status().message()));
  } else if (result->unknown()) {
    command.outcome = NewReport(id, v1::OUTCOME_UNKNOWN, result->reason());
  } else if (result->ok()) {
    command.outcome = NewReport(id, v1::OUTCOME_SUCCEEDED, WithSpared(result->reason(), command.spared));
  } else if (result->refusal() != v1::REFUSAL_UNSPECIFIED) {
    command.outcome = NewReport(id, v1::OUTCOME_REFUSED, result->reason());
    command.outcome.set_refusal(v1::REFUSAL_CHECK);
  } else {
    command.outcome = NewReport(id, v1::OUTCOME_FAILED, result->reason());
  }
  *command.outcome.mutable_before() = command.intent.before();
  *command.outcome.mutable_sessions() = command.intent.sessions();
  if (result.ok()) *command.outcome.mutable_after() = result->after();
  if (command.intent.has_release()) {
    TakeRunning(result.ok() ? result->release().running() : std::string(), command);
  }
  Record(command);
}

// Until the outcome is in the journal it is not told: a full disk keeps it (and its target) waiting.
void Executor::Record(Command& command) {
  command.phase = Phase::kRecord;
  const absl::Status written = journal_.WriteOutcome(command.outcome);
  if (!written.ok()) {
    LogError("an outcome waits for the journal: %s", written.ToString());
    return;
  }
  if (command.outcome.outcome() == v1::OUTCOME_REFUSED) ++refused_;
  const std::string id = command.verified.body.id();
  AddPending(Journal::FullReport(*journal_.Find(id)), true);
  running_.erase(id);
}

v1::CommandReport Executor::NewReport(std::string_view id, v1::Outcome outcome, std::string_view reason) {
  v1::CommandReport report;
  report.set_seq(journal_.NextReportSeq());
  report.set_id(std::string(id));
  report.set_outcome(outcome);
  report.set_reason(MakeUtf8(CutUtf8(reason, kLongestReason)));
  report.set_wall_us(clock_.Wall());
  report.set_monotonic_us(clock_.Monotonic());
  return report;
}

void Executor::AddPending(v1::CommandReport report, bool durable) {
  const uint64_t seq = report.seq();
  Pending& added = pending_[seq];
  added.bytes = report.ByteSizeLong();
  added.report = std::move(report);
  added.durable = durable;
  size_t refusals = 0;
  size_t bytes = 0;
  for (const auto& [number, pending] : pending_) {
    refusals += pending.durable ? 0 : 1;
    bytes += pending.durable ? 0 : pending.bytes;
  }
  for (auto it = pending_.begin(); refusals > kMostRefusals || bytes > kMostRefusalBytes;) {
    if (it->second.durable) {
      ++it;
      continue;
    }
    --refusals;
    bytes -= it->second.bytes;
    it = pending_.erase(it);
    ++reports_dropped_;
  }
}

// Refused, cancelled or only tried: nothing of it is in the journal, and the same id may come again.
void Executor::Refuse(std::string_view id, v1::RefusalKind kind, std::string_view reason) {
  ++refused_;
  // What runs, or is known to the journal, is told from there and not contradicted by bytes that are no
  // command.
  if (id.empty() || running_.count(std::string(id)) > 0 || journal_.Find(id) != nullptr) return;
  v1::CommandReport report = NewReport(id, v1::OUTCOME_REFUSED, reason);
  report.set_refusal(kind);
  AddPending(std::move(report), false);
}

void Executor::Unstarted(v1::Outcome outcome, v1::RefusalKind kind, std::string_view reason,
                         Command& command) {
  if (outcome == v1::OUTCOME_REFUSED) ++refused_;
  const std::string id = command.verified.body.id();
  v1::CommandReport report = NewReport(id, outcome, reason);
  report.set_refusal(kind);
  *report.mutable_before() = command.intent.before();
  *report.mutable_sessions() = command.intent.sessions();
  *report.mutable_evidence() = command.intent.evidence();
  if (command.intent.has_release()) *report.mutable_release() = command.intent.release();
  report.set_evidence_ms(command.intent.evidence_ms());
  AddPending(std::move(report), false);
  running_.erase(id);
}

void Executor::AnswerFromJournal(const JournalEntry& entry) {
  ++refused_;
  v1::CommandReport report;
  if (entry.outcome) {
    report = Journal::FullReport(entry);
    report.set_seq(journal_.NextReportSeq());
  } else {
    report = NewReport(entry.intent.id(), v1::OUTCOME_STARTED, "it was started before");
  }
  report.set_refusal(v1::REFUSAL_DUPLICATE);
  AddPending(std::move(report), false);
}

void Executor::Cancel(std::string_view id) {
  auto command = running_.find(std::string(id));
  if (command == running_.end()) return;
  const Phase phase = command->second.phase;
  const bool before_effect =
      phase == Phase::kCheck || phase == Phase::kMigrations || phase == Phase::kEvidence;
  if (!before_effect) return;
  const uint64_t worker = command->second.worker;
  workers_.erase(worker);
  starter_.Kill(worker);
  Unstarted(v1::OUTCOME_CANCELLED, v1::REFUSAL_UNSPECIFIED, "cancelled before anything was done",
            command->second);
}

void Executor::Stop() {
  stopping_ = true;
  std::vector<std::string> ids;
  for (const auto& [id, command] : running_) ids.push_back(id);
  for (const std::string& id : ids) Cancel(id);
}

void Executor::Acknowledge(uint64_t seq) {
  bool durable = false;
  while (!pending_.empty() && pending_.begin()->first <= seq) {
    durable = durable || pending_.begin()->second.durable;
    pending_.erase(pending_.begin());
  }
  if (!durable) return;
  const absl::Status written = journal_.WriteAcked(seq);
  if (!written.ok()) LogWarning("an acknowledgement is not in the journal: %s", written.ToString());
}

void Executor::OnAgentConnected() {
  for (auto& [seq, pending] : pending_) pending.sent_at = -1;
  status_due_ = true;
}

void Executor::Tick() {
  if (nonces_.Tick(clock_.Boot())) status_due_ = true;
  std::vector<Command*> waiting;
  for (auto& [id, command] : running_) {
    if (command.phase == Phase::kRecord) waiting.push_back(&command);
  }
  for (Command* command : waiting) Record(*command);
  releases_.Tick();
  for (auto& [seq, pending] : pending_) {
    if (pending.sent_at >= 0 && clock_.Monotonic() - pending.sent_at >= kSendAgain) pending.sent_at = -1;
  }
}

std::vector<v1::ExecutorToAgent> Executor::TakeMessages() {
  std::vector<v1::ExecutorToAgent> messages;
  if (status_due_) *messages.emplace_back().mutable_status() = Status();
  status_due_ = false;
  size_t bytes = 0;
  for (auto& [seq, pending] : pending_) {
    if (pending.sent_at >= 0) continue;
    if (bytes >= kMostBytesAtOnce) break;
    bytes += pending.report.ByteSizeLong();
    pending.sent_at = clock_.Monotonic();
    *messages.emplace_back().add_reports() =
        pending.report;  // one each: with its evidence it may fill a frame
  }
  return messages;
}

absl::Status Executor::fatal() const { return journal_.fatal() ? journal_.status() : absl::OkStatus(); }

void Executor::Step(std::string_view step) {
  if (options_.on_step) options_.on_step(step);
}

}  // namespace quell::agent
