// postgres.terminate and postgres.cancel: end sessions of a PostgreSQL server, or what they run. Check and
// Evidence run as the system's user of quell_monitor, Run as that of quell_remedy, which can do no more than
// execute quell.terminate (deploy/postgres/quell.sql).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/actions/action.h"
#include "agent/actions/session_target.h"

namespace quell::agent {

std::unique_ptr<Action> MakePostgresSession();

// Why these sessions (all that `target` speaks of) are not what the command is about; "": they are. Pure.
// What a person asks is about whatever is found; what a policy asks names a session by its times, and that
// session blocks others and waits for nobody, or still runs the statement that began at query_start_us.
std::string JudgeSessions(const SessionTarget& target, bool by_person,
                          const std::vector<v1::PostgresSession>& found);

}  // namespace quell::agent
