// `quell run`: which hosts, the act, and what becomes of the commands. One thread.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/session.h"

namespace quell::cli {

struct RunOptions {
  std::string action;
  std::vector<std::string> hosts;
  std::string service;
  std::vector<std::string> labels;  // key=value
  std::string incident;
  bool dry_run = false;
  bool no_wait = false;
  bool yes = false;  // where who asked has to sign it: sign unasked
  absl::Duration timeout = absl::Minutes(2);
  std::map<std::string, std::string> params;
};

// "--update-env true --app=portal" -> {update_env: true, app: portal}. InvalidArgument for anything else.
absl::StatusOr<std::map<std::string, std::string>> ParseParams(const std::vector<std::string>& words);
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(const std::vector<std::string>& words);

int Run(Session& session, const RunOptions& options);

// The exit code for commands as they ended; `waiting`: some had not.
int ExitOfCommands(const Json& commands, bool waiting);
// For a plan with its commands: 0 only when all of it is done.
int ExitOfPlan(const Json& plan);

}  // namespace quell::cli
