// Executor: decides whether this host does what a signed command asks, and sees to it that it is started at
// most once. A state machine over seams: it never waits. Inputs are the agent's packets, the ends of workers
// and ticks; outputs are started workers and messages for the agent. One thread; owned by main's loop (or by
// the simulator).
//
//   Executor executor(options, clock, disk, starter, host);
//   executor.Open();                       // journal and trust
//   loop: executor.Receive(packet) | executor.OnWorkerExit(worker, status) | executor.Tick()
//         for (auto& message : executor.TakeMessages()) send(message);
//         if (!executor.fatal().ok()) exit, and start again
//
// Order for each command: form and signature, journal (an id that is known is answered from there), epoch,
// nonce and expiry, one command per target, sanction, Check in a worker, evidence in another, INTENT synced,
// then once more expiry, sanctions and the host's stop file, effect in a new worker, OUTCOME synced, reported
// until acknowledged.
//
// Bounds: 8 commands at a time; 256 reports of refusals wait for an acknowledgement, the oldest is dropped
// then and counted; outcomes are never dropped: with 64 of them, or 8 MiB, unacknowledged, new commands are
// refused as busy.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "agent/executor/approvals.h"
#include "agent/executor/host_view.h"
#include "agent/executor/journal.h"
#include "agent/executor/nonce.h"
#include "agent/executor/release_recorder.h"
#include "agent/executor/session_sanctions.h"
#include "agent/executor/verify.h"
#include "agent/executor/worker_starter.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

struct ExecutorOptions {
  std::string host_id;  // uuid of this host, as the agent's certificate has it
  std::string boot_id;  // of this boot
  std::string journal_path;
  std::string trust_path;     // where a bundle that came over the stream is kept
  std::string releases_path;  // of the book of releases; empty: there is none, and no rollback
  Micros releases_every = kReleasesEvery;
  std::string root_pin;  // hex SHA-256 of the trust root's key
  bool root = false;     // may act for other users
  uid_t own_uid = 0;
  gid_t own_gid = 0;
  std::map<std::string, std::string> system_users;     // what this host calls the users that actions name
  std::function<std::string(size_t)> random;           // that many random bytes
  std::function<void(std::string_view step)> on_step;  // may end the process there; for tests
};

class Executor {
 public:
  Executor(ExecutorOptions options, Clock& clock, Disk& disk, WorkerStarter& starter, HostView& host);

  // Reads the journal and the kept bundle; `bundle` (signed bytes, may be empty) is the installed one. What
  // was started and has no outcome becomes OUTCOME_UNKNOWN here. An error is told in Status too, and refuses
  // everything: it does not end the process.
  absl::Status Open(std::string_view bundle);

  // A packet of the agent: AgentToExecutor. InvalidArgument: it is none, and the connection should end.
  absl::Status Receive(std::string_view packet);
  void Submit(std::string_view signed_command);
  void Cancel(std::string_view id);
  void Acknowledge(uint64_t seq);
  // Takes a bundle that the pinned root signed and whose serial is higher.
  absl::Status OfferTrust(std::string_view signed_bundle);
  void CountRefusal() { ++refused_; }  // of a peer or packet that never became a command
  void OnAgentConnected();             // everything unacknowledged is sent again
  void OnWorkerExit(uint64_t worker, const ExitStatus& exit);
  void Tick();  // at least once a second
  // Takes no more commands and cancels those that have done nothing yet.
  void Stop();

  // What is to be sent now; at most 2 MiB of reports (and one more) in one turn.
  std::vector<v1::ExecutorToAgent> TakeMessages();
  v1::ExecutorStatus Status();
  // Not OK: the process must end, since its journal can't be trusted any more.
  absl::Status fatal() const;

  size_t running() const { return running_.size(); }
  uint64_t reports_dropped() const { return reports_dropped_; }

 private:
  enum class Phase { kCheck, kMigrations, kEvidence, kEffect, kRecord };
  struct Command {
    VerifiedCommand verified;
    ActionInfo info;
    HostUser user;   // whom the workers run as
    HostUser actor;  // the one that has the effect; mostly the same
    std::optional<SessionTarget> sessions;
    v1::PostgresPlace postgres;        // where those are
    std::string spared;                // sessions that are left alone, in a sentence
    std::vector<std::string> targets;  // of which no other command may have one meanwhile
    Phase phase = Phase::kCheck;
    uint64_t worker = 0;
    Micros phase_began = 0;  // monotonic
    std::string would;       // what it would do, in a sentence
    std::string migrations;  // that the release to go to brings along, one a line
    v1::JournalIntent intent;
    v1::CommandReport outcome;  // in kRecord: waits for the journal
  };
  struct Pending {
    v1::CommandReport report;
    bool durable = false;
    size_t bytes = 0;
    Micros sent_at = -1;  // monotonic; -1: not yet on this connection
  };

  void LoadTrust(std::string_view bundle);
  void RecoverUnknown();
  VerifyContext Context();
  void Refuse(std::string_view id, v1::RefusalKind kind, std::string_view reason);
  void Unstarted(v1::Outcome outcome, v1::RefusalKind kind, std::string_view reason, Command& command);
  void AnswerFromJournal(const JournalEntry& entry);
  bool RaiseEpoch(const v1::CommandBody& body, VerifyFailure& failure);
  std::vector<std::string> TargetKeys(const Command& command);
  bool HasRoom(const Command& command, VerifyFailure& failure);
  bool IntentHolds(const v1::CommandBody& body, VerifyFailure& failure);
  Consent ConsentTo(const v1::CommandBody& body);
  bool Sanctioned(const Command& command, bool rates, VerifyFailure& failure);
  bool NotHeld(VerifyFailure& failure);
  bool WithinRates(const std::vector<SanctionEntry>& entries, const ActionInfo& info, VerifyFailure& failure);
  bool FindTargetUser(Command& command, VerifyFailure& failure);
  bool FindSystemUser(const std::string& name, HostUser& out, VerifyFailure& failure);
  bool FindServer(Command& command, VerifyFailure& failure);
  SessionRuling RuleOn(const Command& command, const std::vector<v1::PostgresSession>& found, bool rates);
  bool SessionsSanctioned(const Command& command, bool rates, VerifyFailure& failure);
  bool TakeSessions(const v1::WorkerResult& result, Command& command);

  absl::Status StartWorker(Command& command, v1::WorkerTask task, Micros deadline);
  void AfterCheck(Command& command, const ExitStatus& exit);
  void Checked(Command& command);
  std::string AsksFor(const Command& command);
  void StartEvidence(Command& command);
  void AfterEvidence(Command& command, const ExitStatus& exit);
  void AddKernelStacks(Command& command);
  void BeginEffect(Command& command);
  void StartEffect(Command& command);
  void TellStarted(Command& command);
  void AfterEffect(Command& command, const ExitStatus& exit);
  void Record(Command& command);

  // Of release.rollback; executor_releases.cpp.
  DeploymentKey DeploymentOf(const Command& command) const;
  absl::Status FillRelease(const Command& command, v1::WorkerRequest& request) const;
  void AfterReleaseCheck(const v1::WorkerResult& result, Command& command);
  absl::Status StartMigrations(const ReleaseSanction& sanction, Command& command);
  void AfterMigrations(Command& command, const ExitStatus& exit);
  absl::Status AboutToRollBack(const Command& command);
  void TakeRunning(std::string_view path, Command& command);

  v1::CommandReport NewReport(std::string_view id, v1::Outcome outcome, std::string_view reason);
  void AddPending(v1::CommandReport report, bool durable);
  void Step(std::string_view step);

  const ExecutorOptions options_;
  Clock& clock_;
  Disk& disk_;
  WorkerStarter& starter_;
  HostView& host_;
  Journal journal_;
  NonceBook nonces_;
  std::optional<v1::TrustBundle> trust_;
  std::string trust_error_;
  std::map<std::string, Command> running_;   // by id
  std::map<uint64_t, std::string> workers_;  // worker -> id
  std::map<uint64_t, Pending> pending_;      // by report sequence
  ReleaseRecorder releases_;
  uint64_t refused_ = 0;
  uint64_t reports_dropped_ = 0;
  bool status_due_ = true;
  bool stopping_ = false;
};

}  // namespace quell::agent
