// The Executor's part for commands on a PostgreSQL server's sessions: which of those that Check found the
// sanctions leave, then and again right before the effect.
#include <algorithm>

#include "agent/executor/executor.h"

namespace quell::agent {

bool Executor::FindServer(Command& command, VerifyFailure& failure) {
  if (!command.sessions) return true;
  failure.kind = v1::REFUSAL_CHECK;
  const absl::Status meant = CheckSessionTarget(*command.sessions, ByPerson(command.verified.body));
  auto place = meant.ok() ? host_.FindPostgres(command.sessions->connection) : meant;
  if (place.ok()) {
    command.postgres = *std::move(place);
    return true;
  }
  failure.reason = std::string(place.status().message());
  return false;
}

SessionRuling Executor::RuleOn(const Command& command, const std::vector<v1::PostgresSession>& found,
                               bool rates) {
  const v1::CommandBody& body = command.verified.body;
  const SessionQuestion question{command.info.name, *command.sessions, ByPerson(body), clock_.Wall(),
                                 ConsentTo(body)};
  CountIntents started;
  if (rates) {
    started = [&](const std::function<bool(const v1::JournalIntent&)>& counts) {
      return journal_.CountStarted(clock_.Wall(), clock_.Boot(), kHour, counts);
    };
  }
  return RuleSessions(host_.ReadSanctions(), question, found, started);
}

bool Executor::SessionsSanctioned(const Command& command, bool rates, VerifyFailure& failure) {
  const auto& sessions = command.intent.sessions();
  if (sessions.empty()) return true;  // Check has yet to find them
  const SessionRuling ruling = RuleOn(command, {sessions.begin(), sessions.end()}, rates);
  if (ruling.for_approvals) failure.kind = v1::REFUSAL_APPROVAL;
  failure.reason = ruling.reason.empty() ? ruling.spared : ruling.reason;
  return failure.reason.empty();
}

// The intent gets the sessions that may be touched; refused, and false, when there are none.
bool Executor::TakeSessions(const v1::WorkerResult& result, Command& command) {
  SessionRuling ruling = RuleOn(command, {result.sessions().begin(), result.sessions().end()}, true);
  const bool may = ruling.reason.empty();
  // A refusal shows what it is about, as far as a report has room.
  const auto& shown = may ? ruling.targets : std::vector(result.sessions().begin(), result.sessions().end());
  for (size_t i = 0; i < std::min(shown.size(), kMostTargets); ++i) *command.intent.add_sessions() = shown[i];
  command.spared = std::move(ruling.spared);
  const v1::RefusalKind kind = ruling.for_approvals ? v1::REFUSAL_APPROVAL : v1::REFUSAL_SANCTION;
  if (!may) Unstarted(v1::OUTCOME_REFUSED, kind, ruling.reason, command);
  return may;
}

}  // namespace quell::agent
