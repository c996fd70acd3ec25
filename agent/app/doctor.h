// `quell-agent doctor`: what this host's agent and executor can and can't see, why not, and what mends it.
// Reads files and tables of the kernel, and logs in to PostgreSQL as the agent's user; changes nothing, and
// never takes the executor's socket from the agent. One thread.
#pragma once
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace quell::agent {

struct DoctorOptions {
  std::string config = "/etc/quell/agent.yaml";
  std::string user = "quell-agent";  // the agent's; without root everything is looked at as oneself
  std::string sanctions = "/etc/quell/sanctions.yaml";
  std::string hold = "/etc/quell/hold";
};

struct Finding {
  bool well = true;
  std::string what;
  std::string why;   // one sentence
  std::string mend;  // a line to type or to write; empty when all is well
};

std::vector<Finding> Examine(const DoctorOptions& options, Clock& clock);
// One line each, and below it what mends it, for a terminal.
std::string FindingsText(const std::vector<Finding>& findings);
// Prints them; 0: all is well, 1: not.
int RunDoctor(const DoctorOptions& options, Clock& clock);

}  // namespace quell::agent
