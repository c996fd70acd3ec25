// What the executor knows of an action without running it: its name, target and risk as its message's options
// say, by reflection. Pure.
#pragma once
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "quell/v1/commands.pb.h"

namespace quell::agent {

struct ActionInfo {
  std::string name;                 // "pm2.restart"; empty: no action, or one this build does not know
  std::vector<std::string> target;  // values of the target fields, in the options' order
  std::string user;                 // whom the worker runs as; empty when the target is no user's own:
  std::string looks_as;             // who checks and takes evidence then
  std::string acts_as;              // and who has the effect
  bool ends_process = false;        // evidence is taken first
};

ActionInfo DescribeAction(const v1::Action& action);
// Names of all actions of this build, sorted.
std::vector<std::string> ActionNames();
// SHA-256 over the definitions of all actions.
std::string ActionsDigest();
// Required parameters are there, names have the form a host's users and apps have, lengths are bounded.
absl::Status CheckParameters(const v1::Action& action);

}  // namespace quell::agent
