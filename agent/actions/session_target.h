// SessionTarget: which sessions of a PostgreSQL server a command is about, the same for postgres.terminate
// and postgres.cancel. Values, for executor and worker.
#pragma once
#include <optional>
#include <string>

#include "quell/v1/commands.pb.h"

namespace quell::agent {

struct SessionTarget {
  bool cancel = false;  // the statement alone; else the session
  std::string connection;
  int64_t pid = 0;               // one session, by pid and what is not 0 of these:
  int64_t backend_start_us = 0;  // Unix time
  int64_t xact_start_us = 0;
  int64_t query_start_us = 0;
  std::string database;  // or those that match every filter that is not empty
  std::string role;
  std::string application;
  std::string state;
  int64_t min_age_s = 0;

  bool named() const { return pid != 0; }
  bool filtered() const {
    return !database.empty() || !role.empty() || !application.empty() || !state.empty() || min_age_s != 0;
  }
};

template <typename Message>
SessionTarget ReadSessionTarget(const Message& m, bool cancel) {
  return {cancel,
          m.connection(),
          m.pid(),
          m.backend_start_us(),
          m.xact_start_us(),
          m.query_start_us(),
          m.database(),
          m.role(),
          m.application(),
          m.state(),
          m.min_age_s()};
}

// nullopt: the action is about no sessions.
inline std::optional<SessionTarget> SessionTargetOf(const v1::Action& action) {
  if (action.has_postgres_terminate()) return ReadSessionTarget(action.postgres_terminate(), false);
  if (action.has_postgres_cancel()) return ReadSessionTarget(action.postgres_cancel(), true);
  return std::nullopt;
}

// Roles of deploy/postgres/quell.sql.
inline constexpr char kMonitorRole[] = "quell_monitor";
inline constexpr char kRemedyRole[] = "quell_remedy";
inline constexpr char kOwnerRole[] = "quell_owner";

}  // namespace quell::agent
