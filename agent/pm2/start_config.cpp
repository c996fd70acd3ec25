#include "agent/pm2/start_config.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/pm2/json_walk.h"
#include "agent/pm2/messages.h"
#include "common/base/status.h"

namespace quell::pm2 {
namespace {

// Path below an element of the list: {"pm2_env", KEY}, {"pm2_env", "args", "#"}, {"pm2_env", "env", NAME}.
void Take(StartConfig& config, Path path, std::string_view text, std::string_view mention) {
  if (path.size() < 2 || path[0] != "pm2_env") return;
  const std::string& key = path[1];
  const bool mentions = text.find(mention) != text.npos;
  if (path.size() == 2) {
    if (key == "pm_exec_path") config.exec_path = std::string(text);
    if (key == "pm_cwd") config.cwd = std::string(text);
    if (key == "cwd") config.cwd_key = std::string(text);
  } else if (path.size() == 3 && key == "env") {
    config.shadowed = config.shadowed || path[2] == "pm_exec_path" || path[2] == "pm_cwd";
    if (path[2] == "PWD") {
      config.pwd = std::string(text);
    } else if (mentions) {
      ++config.environment_mentions;
    }
  }
  if (key == "args" || key == "node_args" || key == "exec_interpreter") {
    config.arguments_mention = config.arguments_mention || mentions;
  }
}

}  // namespace

absl::StatusOr<std::vector<StartConfig>> ParseStartConfigs(std::string_view json, std::string_view mention) {
  // The list itself, its errors and its bounds are judged in one place.
  QUELL_RETURN_IF_ERROR(ParseListReply(json).status());
  std::vector<StartConfig> configs;
  StartConfig element;
  JsonWalk walk;
  walk.on_open = [&](Path path) {
    if (path.size() == 3 && path[0] == "args") element = StartConfig();
  };
  walk.on_scalar = [&](Path path, const Scalar& value) {
    if (path.size() < 4 || path[0] != "args") return;
    const Path below = path.subspan(3);
    const auto* number = std::get_if<double>(&value);
    if (below.size() == 1 && below[0] == "pm_id" && number != nullptr && *number == std::floor(*number)) {
      element.pm_id = static_cast<int64_t>(*number);
    }
    if (const auto* text = std::get_if<std::string_view>(&value)) Take(element, below, *text, mention);
  };
  walk.on_close = [&](Path path) {
    if (path.size() == 3 && path[0] == "args" && element.pm_id >= 0) configs.push_back(std::move(element));
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  return configs;
}

}  // namespace quell::pm2
