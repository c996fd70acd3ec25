#include "tests/integration/console.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/process.h"
#include "common/base/status.h"
#include "tests/integration/programs.h"
#include "tests/support/wait.h"

namespace quell::test {

int Console::QuellExit(std::vector<std::string> words, std::string* output, std::string* error) {
  words.insert(words.begin(), {"--socket", socket_});
  return RunQuell(words, {}, output, error);
}

int Console::RunQuell(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                      std::string* output, std::string* error) {
  SpawnOptions options;
  options.program = Program("quell");
  options.argv = {"quell"};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.environment = environment;
  options.memory_limit = 0;
  options.deadline = kMinute;
  auto child = RealProcess().Start(options);
  Require(child.ok(), child.status().ToString());
  ExitStatus exit = (*child)->Wait();
  if (output != nullptr) *output = exit.output;
  if (error != nullptr) *error = exit.error_output;
  return exit.signal != 0 ? 128 + exit.signal : exit.code;
}

Json Console::Quell(std::vector<std::string> words) {
  words.insert(words.end(), {"-o", "json"});
  std::string output;
  if (QuellExit(words, &output) != 0) return nullptr;
  return Json::parse(output, nullptr, false);
}

std::vector<Json> Console::Items(const std::string& kind) {
  const Json listed = Quell({"get", kind, "--all"});
  if (!listed.is_object() || !listed.contains("items")) return {};
  return listed["items"].get<std::vector<Json>>();
}

Json Console::Incident() {
  const std::vector<Json> all = Items("incidents");
  if (all.empty()) return nullptr;
  EXPECT_EQ(all.size(), 1u) << "one incident was expected";
  return Quell({"describe", "incident", all[0].value("id", "")});
}

bool Console::WaitForStatus(const std::string& status, Micros deadline) {
  return WaitFor(
      [&] {
        const std::vector<Json> all = Items("incidents");
        return !all.empty() && all[0].value("status", "") == status;
      },
      deadline);
}

bool Console::WaitForEvent(const std::string& kind, Micros deadline) {
  return WaitFor(
      [&] {
        for (const Json& event : Items("events")) {
          if (event.value("kind", "") == kind) return true;
        }
        return false;
      },
      deadline);
}

std::string Console::Metric(const std::string& name) {
  SpawnOptions options;
  options.program = "/usr/bin/curl";
  options.argv = {"curl", "-s", absl::StrCat("http://127.0.0.1:", web_port_, "/metrics")};
  options.memory_limit = 0;
  auto child = RealProcess().Start(options);
  if (!child.ok()) return "";
  for (const absl::string_view line : absl::StrSplit((*child)->Wait().output, '\n')) {
    if (absl::StartsWith(line, absl::StrCat(name, " "))) return std::string(line.substr(name.size() + 1));
  }
  return "";
}

}  // namespace quell::test
