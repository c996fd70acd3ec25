#include "agent/executor/executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/security/trust.h"

namespace quell::agent {
namespace {

constexpr size_t kMostRunning = 8;
constexpr size_t kMostOutcomes = 64;
constexpr size_t kMostOutcomeBytes = 8 << 20;
constexpr Micros kCheckDeadline = 5 * kSecond;
// Reads a whole release. With the evidence it still leaves most of a nonce's 30 s to the command's way here.
constexpr Micros kReleaseCheckDeadline = 12 * kSecond;
constexpr uint64_t kLargestBundle = 1 << 20;
constexpr size_t kLongestError = 4096;

}  // namespace

Executor::Executor(ExecutorOptions options, Clock& clock, Disk& disk, WorkerStarter& starter, HostView& host)
    : options_(std::move(options)),
      clock_(clock),
      disk_(disk),
      starter_(starter),
      host_(host),
      journal_(disk, {options_.journal_path, options_.boot_id}),
      nonces_(options_.random),
      releases_({options_.releases_path, options_.own_uid, options_.root, options_.releases_every}, clock,
                disk, starter, host, [this](const DeploymentKey& key) {
                  for (const auto& [id, command] : running_) {
                    const v1::ReleaseRollback& rollback = command.verified.body.action().release_rollback();
                    if (rollback.user() == key.user && rollback.deployment() == key.deployment) return true;
                  }
                  return false;
                }) {
  journal_.on_step = options_.on_step;
}

absl::Status Executor::Open(std::string_view bundle) {
  nonces_.Tick(clock_.Boot());
  LoadTrust(bundle);
  releases_.Open();
  QUELL_RETURN_IF_ERROR(journal_.Open(clock_.Wall()));
  RecoverUnknown();
  return trust_ ? journal_.status() : absl::FailedPreconditionError(trust_error_);
}

void Executor::LoadTrust(std::string_view bundle) {
  const auto kept = disk_.Read(options_.trust_path, kLargestBundle);
  for (const std::string& bytes : {std::string(bundle), kept.ok() ? *kept : std::string()}) {
    if (bytes.empty()) continue;
    auto opened = security::OpenTrustBundle(bytes, options_.root_pin, clock_.Wall());
    if (!opened.ok()) {
      trust_error_ = absl::StrCat("opening the trust bundle: ", opened.status().message());
    } else if (!trust_ || opened->serial() > trust_->serial()) {
      trust_ = *std::move(opened);
    }
  }
  if (!trust_ && trust_error_.empty()) trust_error_ = "this host has no trust bundle";
}

// A command that was started by an earlier run of this process, or may have been: nobody can say how it
// ended.
void Executor::RecoverUnknown() {
  std::vector<std::string> open;
  for (const auto& [id, entry] : journal_.entries()) {
    if (!entry.outcome) open.push_back(id);
  }
  for (const std::string& id : open) {
    const bool started = journal_.Find(id)->started.has_value();
    v1::CommandReport report = NewReport(
        id, v1::OUTCOME_UNKNOWN,
        started ? "the executor ended while the worker ran; how it went is not known"
                : "the executor ended when the worker was about to start; whether it did is not known");
    const v1::JournalIntent& intent = journal_.Find(id)->intent;
    if (intent.has_release()) *report.mutable_release() = intent.release();
    if (!journal_.WriteOutcome(report).ok()) return;  // the next start says it again
  }
  for (const auto& [id, entry] : journal_.entries()) {
    if (entry.outcome && !entry.acked) AddPending(Journal::FullReport(entry), true);
  }
}

VerifyContext Executor::Context() {
  VerifyContext context;
  context.trust = trust_ ? &*trust_ : nullptr;
  context.host_id = options_.host_id;
  context.epoch_number = journal_.epoch_number();
  context.epoch_start = journal_.epoch_start();
  context.wall_now = clock_.Wall();
  return context;
}

absl::Status Executor::Receive(std::string_view packet) {
  v1::AgentToExecutor message;
  if (!message.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
    ++refused_;
    return absl::InvalidArgumentError("the agent's packet is not a message of this protocol");
  }
  if (message.reports_acked() > 0) Acknowledge(message.reports_acked());
  if (!message.trust_bundle().empty()) {
    const absl::Status taken = OfferTrust(message.trust_bundle());
    if (!taken.ok() && !absl::IsAlreadyExists(taken))
      LogWarning("trust bundle refused: %s", taken.ToString());
  }
  if (!message.cancel().empty()) Cancel(message.cancel());
  if (!message.submit().empty()) Submit(message.submit());
  if (message.status()) status_due_ = true;
  return absl::OkStatus();
}

void Executor::Submit(std::string_view signed_command) {
  VerifyFailure failure;
  const VerifyContext context = Context();
  auto verified = VerifyCommand(signed_command, context, failure);
  if (!verified) return Refuse(failure.id, failure.kind, failure.reason);
  Command command;
  command.verified = *std::move(verified);
  const v1::CommandBody& body = command.verified.body;
  if (running_.count(body.id()) > 0) {
    ++refused_;  // its report is on the way
    return;
  }
  if (stopping_) return Refuse(body.id(), v1::REFUSAL_BUSY, "this executor is stopping");
  if (!journal_.status().ok()) {
    return Refuse(body.id(), v1::REFUSAL_JOURNAL, std::string(journal_.status().message()));
  }
  if (const JournalEntry* known = journal_.Find(body.id())) return AnswerFromJournal(*known);
  command.info = DescribeAction(body.action());
  command.sessions = SessionTargetOf(body.action());
  command.targets = TargetKeys(command);
  // The epoch is raised only by a command that is fresh as well: a recorded one must not fence a living
  // controller.
  const bool ready = VerifyFreshness(command.verified, context, nonces_, clock_.Boot(), failure) &&
                     RaiseEpoch(body, failure) && HasRoom(command, failure) &&
                     Sanctioned(command, /*rates=*/true, failure) && NotHeld(failure) &&
                     FindTargetUser(command, failure) && FindServer(command, failure);
  if (!ready) return Refuse(body.id(), failure.kind, failure.reason);
  Step("verified");
  const std::string id = body.id();
  Command& kept = running_[id] = std::move(command);
  const Micros deadline =
      kept.verified.body.action().has_release_rollback() ? kReleaseCheckDeadline : kCheckDeadline;
  const absl::Status started = StartWorker(kept, v1::WORKER_TASK_CHECK, deadline);
  if (!started.ok()) {
    Unstarted(v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, std::string(started.message()), kept);
  }
}

bool Executor::RaiseEpoch(const v1::CommandBody& body, VerifyFailure& failure) {
  if (body.epoch_number() == journal_.epoch_number()) return true;
  const absl::Status written = journal_.WriteEpoch(body.epoch_number(), body.epoch_start());
  if (written.ok()) {
    status_due_ = true;
    return true;
  }
  failure.kind = v1::REFUSAL_JOURNAL;
  failure.reason = std::string(written.message());
  return false;
}

std::vector<std::string> Executor::TargetKeys(const Command& command) {
  const absl::string_view nul("\0", 1);
  std::vector<std::string> keys = {absl::StrJoin(command.info.target, nul)};
  if (!command.verified.body.action().has_release_rollback()) return keys;
  // A rollback starts its deployment's app anew: nothing else may touch that meanwhile.
  for (const SanctionEntry& entry : FindSanction(host_.ReadSanctions(), command.info).limits) {
    if (!entry.release->app.empty()) keys.push_back(absl::StrCat(command.info.user, nul, entry.release->app));
  }
  return keys;
}

bool Executor::HasRoom(const Command& command, VerifyFailure& failure) {
  failure.kind = v1::REFUSAL_BUSY;
  for (const auto& [id, other] : running_) {
    const bool apart = std::none_of(other.targets.begin(), other.targets.end(), [&](const std::string& key) {
      return std::find(command.targets.begin(), command.targets.end(), key) != command.targets.end();
    });
    if (apart) continue;
    failure.reason = "another command runs on this target";
    return false;
  }
  if (running_.size() >= kMostRunning) {
    failure.reason = absl::StrCat(kMostRunning, " commands run already");
    return false;
  }
  size_t outcomes = 0, bytes = 0;
  for (const auto& [seq, pending] : pending_) {
    if (pending.durable) ++outcomes, bytes += pending.report.ByteSizeLong();
  }
  if (outcomes >= kMostOutcomes || bytes >= kMostOutcomeBytes) {
    failure.reason =
        absl::StrCat(outcomes, " outcomes wait to be acknowledged; none is dropped for a new command");
    return false;
  }
  return true;
}

// What was approved is this command, and has started no other one here: an approval of a plan is good for one
// command on each host.
bool Executor::IntentHolds(const v1::CommandBody& body, VerifyFailure& failure) {
  failure.kind = v1::REFUSAL_VERIFY;
  failure.reason = CheckIntent(body, clock_.Wall());
  if (!failure.reason.empty()) return false;
  if (body.intent().empty()) return true;
  v1::Intent intent;
  intent.ParseFromString(body.intent());
  const JournalEntry* used = journal_.FindApproved(intent.id());
  if (used == nullptr || used->intent.id() == body.id()) return true;
  failure.reason = absl::StrCat("what was approved was begun on this host before, by command ",
                                HexEncode(used->intent.id()));
  return false;
}

Consent Executor::ConsentTo(const v1::CommandBody& body) {
  return ConsentOf(body, trust_ ? &*trust_ : nullptr, clock_.Wall());
}

bool Executor::Sanctioned(const Command& command, bool rates, VerifyFailure& failure) {
  if (!IntentHolds(command.verified.body, failure)) return false;
  failure.kind = v1::REFUSAL_SANCTION;
  const Sanction sanction = FindSanction(host_.ReadSanctions(), command.info);
  failure.reason = sanction.reason;
  if (!sanction.allowed) return false;
  if (command.sessions) return SessionsSanctioned(command, rates, failure);
  if (rates && !WithinRates(sanction.limits, command.info, failure)) return false;
  failure.kind = v1::REFUSAL_APPROVAL;
  failure.reason = ApprovalRefusal(sanction.limits, ConsentTo(command.verified.body));
  return failure.reason.empty();
}

bool Executor::NotHeld(VerifyFailure& failure) {
  if (!host_.Held()) return true;
  failure.kind = v1::REFUSAL_HOLD;
  failure.reason = "this host's stop file is there: nothing is done until it is removed";
  return false;
}

bool Executor::WithinRates(const std::vector<SanctionEntry>& entries, const ActionInfo& info,
                           VerifyFailure& failure) {
  for (const SanctionEntry& entry : entries) {
    if (!entry.per_hour) continue;
    const uint64_t started =
        journal_.CountStarted(clock_.Wall(), clock_.Boot(), kHour, [&](const v1::JournalIntent& intent) {
          return intent.target_size() > 0 && intent.action() == info.name &&
                 intent.target(0) == info.target.front() &&
                 EntryMatches(entry, intent.action(), info.user, intent.target(intent.target_size() - 1));
        });
    if (started < static_cast<uint64_t>(*entry.per_hour)) continue;
    failure.kind = v1::REFUSAL_SANCTION;
    failure.reason =
        absl::StrCat(entry.where, " allows ", *entry.per_hour, " an hour, and there were ", started);
    return false;
  }
  return true;
}

bool Executor::FindTargetUser(Command& command, VerifyFailure& failure) {
  failure.kind = v1::REFUSAL_SANCTION;
  if (command.info.user.empty()) {
    return FindSystemUser(command.info.looks_as, command.user, failure) &&
           FindSystemUser(command.info.acts_as, command.actor, failure);
  }
  auto user = host_.FindUser(command.info.user);
  if (!user.ok()) {
    failure.reason = std::string(user.status().message());
    return false;
  }
  if (!options_.root && user->uid != options_.own_uid) {
    failure.reason = absl::StrCat("this executor runs without root, as uid ", options_.own_uid,
                                  ", and acts on that user's own targets alone");
    return false;
  }
  command.user = *std::move(user);
  command.actor = command.user;
  return true;
}

// Without root there is nobody else to be: the server's ident map says what this user may be there.
bool Executor::FindSystemUser(const std::string& name, HostUser& out, VerifyFailure& failure) {
  if (!options_.root) {
    out = HostUser{name, options_.own_uid, options_.own_gid, "/", ""};
    return true;
  }
  auto called = options_.system_users.find(name);
  auto user = host_.FindUser(called == options_.system_users.end() ? name : called->second);
  if (user.ok()) {
    out = *std::move(user);
    return true;
  }
  failure.reason = std::string(user.status().message());
  return false;
}

absl::Status Executor::OfferTrust(std::string_view signed_bundle) {
  if (signed_bundle.size() > kLargestBundle)
    return absl::ResourceExhaustedError("the trust bundle is larger than 1 MiB");
  auto bundle = security::OpenTrustBundle(signed_bundle, options_.root_pin, clock_.Wall());
  if (!bundle.ok()) {
    ++refused_;
    return bundle.status();
  }
  if (trust_ && bundle->serial() <= trust_->serial()) {
    return absl::AlreadyExistsError(
        absl::StrCat("bundle ", bundle->serial(), " is not newer than ", trust_->serial()));
  }
  trust_ = *std::move(bundle);
  status_due_ = true;
  // In force even where it can't be kept: it may revoke somebody.
  return Annotate(disk_.WriteWhole(options_.trust_path, signed_bundle), "keeping the trust bundle");
}

v1::ExecutorStatus Executor::Status() {
  v1::ExecutorStatus status;
  const SanctionsFile sanctions = host_.ReadSanctions();
  status.set_nonce(nonces_.newest());
  status.set_epoch_number(journal_.epoch_number());
  status.set_epoch_start(journal_.epoch_start());
  status.set_sanctions_sha256(sanctions.sha256);
  status.set_sanctions_error(MakeUtf8(CutUtf8(sanctions.error, kLongestError)));
  status.set_held(host_.Held());
  for (const std::string& name : ActionNames()) status.add_actions(name);
  status.set_actions_sha256(ActionsDigest());
  status.set_trust_serial(trust_ ? trust_->serial() : 0);
  status.set_refused(refused_);
  status.set_journal_ok(journal_.status().ok());
  const absl::Status journal = journal_.status();
  status.set_journal_error(MakeUtf8(CutUtf8(std::string(journal.message()), kLongestError)));
  return status;
}

}  // namespace quell::agent
