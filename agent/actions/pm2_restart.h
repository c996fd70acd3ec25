// pm2.restart: restarts every process of one PM2 app that is not stopped by hand, over the daemon's own
// socket. Runs as the app's user.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/actions/action.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

std::unique_ptr<Action> MakePm2Restart();

// Whether these processes (all of the app's name) are what the command is about. Pure. `targets`: those to
// restart. Empty reason: yes.
struct Pm2Judgement {
  std::string reason;
  std::vector<v1::Pm2App> targets;
};
Pm2Judgement JudgePm2Restart(const v1::Pm2Restart& wanted, const std::vector<v1::Pm2App>& listed);

}  // namespace quell::agent
