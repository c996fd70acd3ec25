// Reads and runs PromQL test scripts: `load`, `clear`, `eval instant`, `eval range` with expected results.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quell::promql {

struct ScriptReport {
  int passed = 0;
  std::vector<std::string> failures;   // "line N: what"
  std::map<std::string, int> skipped;  // by reason
  std::map<std::string, std::vector<int>> skipped_lines;
};

ScriptReport RunScript(std::string_view text);

}  // namespace quell::promql
