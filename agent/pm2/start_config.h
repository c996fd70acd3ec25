// What an app is started with, as the daemon's list tells it: only what is needed to start it from another
// directory. Arguments are held for one look and go nowhere; of the environment, which lies beside them, only
// PWD is taken, and how many other variables mention a text. Pure, any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quell::pm2 {

struct StartConfig {
  int64_t pm_id = -1;
  std::string exec_path;  // pm_exec_path
  std::string cwd;        // pm_cwd
  std::string cwd_key;    // cwd, as configured; empty: it was not
  std::string pwd;        // PWD of its environment; empty: it has none
  // Whether interpreter, interpreter's arguments or arguments hold the text that was asked for.
  bool arguments_mention = false;
  // A variable of its environment named pm_exec_path or pm_cwd, which PM2 would prefer to what it is told.
  bool shadowed = false;
  int environment_mentions = 0;  // variables besides PWD whose value holds it
};

// Of the reply to getMonitorData: every app, in the daemon's order. InvalidArgument, Aborted and
// ResourceExhausted as ParseListReply.
absl::StatusOr<std::vector<StartConfig>> ParseStartConfigs(std::string_view json, std::string_view mention);

}  // namespace quell::pm2
