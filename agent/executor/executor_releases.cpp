// The Executor's part for rollbacks: what its workers are told, what the book and the database say to what
// they found.
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/actions/migrations.h"
#include "agent/executor/executor.h"
#include "agent/executor/worker_result.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr Micros kMigrationsDeadline = 5 * kSecond;
constexpr uint64_t kLargestMigrations = 256 << 10;
constexpr size_t kLongestPath = 1024;

const v1::EvidenceItem* MigrationsOf(const v1::WorkerResult& result) {
  for (const v1::EvidenceItem& item : result.evidence()) {
    if (item.name() == kMigrationsItem) return &item;
  }
  return nullptr;
}

std::string Unread(absl::string_view why) {
  return absl::StrCat(why, ": a person may accept that (accept_migrations)");
}

}  // namespace

DeploymentKey Executor::DeploymentOf(const Command& command) const {
  const v1::ReleaseRollback& rollback = command.verified.body.action().release_rollback();
  const auto entries = FindSanction(host_.ReadSanctions(), command.info).limits;
  return {rollback.user(), rollback.deployment(), entries.empty() ? "" : entries.front().release->path};
}

// The deployment as this host's sanctions name it now.
absl::Status Executor::FillRelease(const Command& command, v1::WorkerRequest& request) const {
  const auto entries = FindSanction(host_.ReadSanctions(), command.info).limits;
  QUELL_ASSIGN_OR_RETURN(*request.mutable_release(),
                         releases_.PlaceOf(entries, ByPerson(command.verified.body)));
  if (command.phase == Phase::kCheck) return absl::OkStatus();
  const v1::ReleaseChange& found = command.intent.release();
  *request.mutable_to() = found.to();
  request.mutable_action()->mutable_release_rollback()->set_expect_current(found.from().name());
  return absl::OkStatus();
}

void Executor::AfterReleaseCheck(const v1::WorkerResult& result, Command& command) {
  const auto refuse = [&](absl::string_view why) {
    Unstarted(v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, {why.data(), why.size()}, command);
  };
  const bool by_person = ByPerson(command.verified.body);
  const absl::Status judged = releases_.Judge(DeploymentOf(command), result.release(), by_person);
  if (!judged.ok()) return refuse(judged.message());
  *command.intent.mutable_release() = result.release();
  command.would = result.reason();
  const bool accepted = command.verified.body.action().release_rollback().accept_migrations();
  if (accepted && !by_person) return refuse("accept_migrations needs a person");
  for (const SanctionEntry& entry : FindSanction(host_.ReadSanctions(), command.info).limits) {
    if (entry.release->migrations_connection.empty() || accepted) continue;
    const v1::EvidenceItem* brought = MigrationsOf(result);
    if (brought == nullptr || !brought->missing().empty()) {
      return refuse(
          Unread(brought == nullptr ? "the release's migrations are not told" : brought->missing()));
    }
    command.migrations = brought->content();
    const absl::Status started = StartMigrations(*entry.release, command);
    if (!started.ok()) refuse(Unread(started.message()));
    return;
  }
  Checked(command);
}

// The database is asked by a worker of its own: the owner's has no role there, and this one reads nothing
// else.
absl::Status Executor::StartMigrations(const ReleaseSanction& sanction, Command& command) {
  VerifyFailure failure;
  WorkerJob job;
  if (!FindSystemUser("quell-agent", job.user, failure)) return absl::FailedPreconditionError(failure.reason);
  QUELL_ASSIGN_OR_RETURN(*job.request.mutable_postgres(), host_.FindPostgres(sanction.migrations_connection));
  if (!sanction.migrations_query_file.empty()) {
    QUELL_ASSIGN_OR_RETURN(*job.request.mutable_release()->mutable_migrations_query(),
                           host_.ReadQuery(sanction.migrations_query_file));
  }
  job.request.set_task(v1::WORKER_TASK_CHECK);
  job.request.set_command_id(command.verified.body.id());
  *job.request.mutable_action() = command.verified.body.action();
  job.request.set_budget_ms(static_cast<uint32_t>(kMigrationsDeadline / kMillisecond));
  job.request.set_target_uid(job.user.uid);
  job.deadline = kMigrationsDeadline;
  job.output_limit = kLargestMigrations;
  QUELL_ASSIGN_OR_RETURN(command.worker, starter_.Start(job));
  command.phase = Phase::kMigrations;
  workers_[command.worker] = command.verified.body.id();
  return absl::OkStatus();
}

void Executor::AfterMigrations(Command& command, const ExitStatus& exit) {
  const auto refuse = [&](const std::string& why) {
    Unstarted(v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, Unread(why), command);
  };
  const auto result = ReadWorkerResult(exit);
  if (!result.ok())
    return refuse(absl::StrCat("applied migrations can't be read: ", result.status().message()));
  const v1::EvidenceItem* applied = MigrationsOf(*result);
  if (!result->ok() || applied == nullptr) return refuse(result->reason());
  const std::set<std::string> brought = absl::StrSplit(command.migrations, '\n', absl::SkipEmpty());
  size_t since = 0;
  std::string first;
  for (absl::string_view name : absl::StrSplit(applied->content(), '\n', absl::SkipEmpty())) {
    if (brought.count(std::string(name)) > 0) continue;
    if (since++ == 0) first = MakeUtf8({name.data(), std::min<size_t>(name.size(), 200)});
  }
  if (since == 0) return Checked(command);
  refuse(absl::StrCat(command.intent.release().to().name(), " lacks ", since,
                      " migrations that were applied to the database, the first: ", first));
}

absl::Status Executor::AboutToRollBack(const Command& command) {
  if (!command.intent.has_release()) return absl::OkStatus();
  return releases_.NoteRollback(DeploymentOf(command), command.intent.release());
}

void Executor::TakeRunning(std::string_view path, Command& command) {
  *command.outcome.mutable_release() = command.intent.release();
  command.outcome.mutable_release()->set_running(std::string(CutUtf8(path, kLongestPath)));
  releases_.LookSoon();
}

}  // namespace quell::agent
