// `quell-agent enrol`, as a function. One thread.
#pragma once
#include <string>

#include "agent/app/config.h"
#include "common/base/clock.h"

namespace quell::agent {

struct EnrolFlags {
  std::string controller;  // "host:7401"
  std::string token_file;  // "-": standard input
  std::string host;        // the name to have; "": what the token says
  std::string user;  // who gets key and certificate; "": quell-agent where that user is, and root enrols
  bool again = false;
};

// One line on standard output, or the reason on standard error. Exit: 0 done, 1 failed, 2 usage or a file
// that cannot be used, 4 refused (by the controller, or by us because we do not trust who answers), 6 nobody
// answers.
int RunEnrol(const EnrolFlags& flags, const AgentConfig& config, Clock& clock);

}  // namespace quell::agent
