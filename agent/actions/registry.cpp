// Every action that a worker of this build can run: one row each.
#include "agent/actions/action.h"
#include "agent/actions/pm2_restart.h"
#include "agent/actions/postgres_session.h"
#include "agent/actions/release_rollback.h"

namespace quell::agent {

const std::vector<ActionRow>& ActionRegistry() {
  static const auto* rows = new std::vector<ActionRow>{
      {"pm2.restart", v1::Action::kPm2Restart, MakePm2Restart},
      {"postgres.terminate", v1::Action::kPostgresTerminate, MakePostgresSession},
      {"postgres.cancel", v1::Action::kPostgresCancel, MakePostgresSession},
      {"release.rollback", v1::Action::kReleaseRollback, MakeReleaseRollback},
  };
  return *rows;
}

const ActionRow* FindAction(v1::Action::KindCase kind) {
  for (const ActionRow& row : ActionRegistry()) {
    if (row.kind == kind) return &row;
  }
  return nullptr;
}

}  // namespace quell::agent
