// `quell-agent init`: drafts of agent.yaml and of sanctions.yaml, from the PM2 daemons and PostgreSQL servers
// that run on this host. Texts; nothing is written anywhere. Pure over what was found.
#pragma once
#include <string>
#include <vector>

#include "agent/app/surroundings.h"

namespace quell::agent {

// Loads as it stands; the controller's address is to be filled in. What is missing is said in comments.
std::string AgentDraft(const std::vector<FoundPm2>& pm2, const std::vector<FoundPostgres>& postgres);
// Loads as it stands and allows nothing: every entry is a comment.
std::string SanctionsDraft(const std::vector<FoundPm2>& pm2, const std::vector<FoundPostgres>& postgres);

}  // namespace quell::agent
