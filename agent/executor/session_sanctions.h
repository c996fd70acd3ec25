// What sanctions and the rules that hold for every host say about a PostgreSQL server's sessions, once Check
// has found them. Pure.
//
// Never touched: anything but a client's session, superusers, users who may replicate, quell's own roles;
// sessions that an entry denies by database or user. A session chooses its application_name and its statement
// itself, so these can only make an act that a policy asks for, or one by filters, into one that a person has
// to ask for by pid: dumps and backups, interactive clients, DDL, maintenance, COPY, and applications that an
// entry denies.
//
// An entry allows a session that matches each dimension its `allow` names. Of all entries that do, each limit
// holds: min_age (of the transaction, else of the statement, else of the session; for postgres.cancel of the
// statement), max_targets and per_hour (commands that touched a session the entry allows). A session whose
// entries ask for approvals that did not come is left alone like one that is denied.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "agent/actions/session_target.h"
#include "agent/executor/approvals.h"
#include "agent/executor/sanctions.h"
#include "common/base/time.h"

namespace quell::agent {

inline constexpr size_t kMostTargets = 64;  // sessions in one command, whatever the sanctions say

// Whether the command may ask for these sessions: by filter only a person, by pid a policy only with the
// times that tell a session from any later one. InvalidArgument says what is missing.
absl::Status CheckSessionTarget(const SessionTarget& target, bool by_person);

struct SessionRuling {
  std::vector<v1::PostgresSession> targets;
  std::string reason;          // not empty: nothing may be done, and why
  std::string spared;          // of those a filter found: which are left alone, and why; "" for none
  bool for_approvals = false;  // nothing may be done, and with approvals something could be
};
struct SessionQuestion {
  std::string action;
  SessionTarget target;
  bool by_person = false;
  Micros now = 0;  // wall clock
  Consent consent;
};
// `started`: commands in the latest hour for whose intent it says yes.
using CountIntents = std::function<uint64_t(const std::function<bool(const v1::JournalIntent&)>&)>;
SessionRuling RuleSessions(const SanctionsFile& file, const SessionQuestion& question,
                           const std::vector<v1::PostgresSession>& found, const CountIntents& started);

}  // namespace quell::agent
