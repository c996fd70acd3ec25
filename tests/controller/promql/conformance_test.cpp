// The published test scripts of the language, where they lie beside the project: every evaluation passes or
// is listed here with the reason why it is left out.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/controller/promql/script.h"

namespace quell::promql {
namespace {

TEST(Conformance, PublishedScripts) {
  const std::filesystem::path folder =
      std::filesystem::path(QUELL_SOURCE_DIR) / "../shared/conformance/promql";
  if (!std::filesystem::exists(folder)) {
    std::cout << "SKIPPED: no conformance data in " << folder << "\n";
    GTEST_SKIP() << "no conformance data in " << folder;
  }
  int passed = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".test") continue;
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    const ScriptReport report = RunScript(text.str());
    passed += report.passed;
    int skipped = 0;
    for (const auto& [reason, count] : report.skipped) skipped += count;
    std::cout << file.path().filename().string() << ": " << report.passed << " passed, " << skipped
              << " skipped\n";
    for (const auto& [reason, lines] : report.skipped_lines) {
      std::cout << "    " << lines.size() << " x " << reason << ": lines";
      for (int line : lines) std::cout << " " << line;
      std::cout << "\n";
    }
    for (const std::string& failure : report.failures)
      ADD_FAILURE() << file.path().filename() << " " << failure;
  }
  std::cout << "passed in all: " << passed << "\n";
  EXPECT_GT(passed, 0);
}

}  // namespace
}  // namespace quell::promql
