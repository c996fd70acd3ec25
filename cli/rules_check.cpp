#include "cli/rules_check.h"

#include "cli/exit_codes.h"
#include "common/base/disk.h"
#include "common/text/encode.h"
#include "controller/rules/rule_set.h"

namespace quell::cli {
namespace {

constexpr uint64_t kLargestFile = 16 << 20;

}  // namespace

int CheckRules(const std::vector<std::string>& files, std::ostream& out, std::ostream& err) {
  std::vector<rules::RuleFile> sources;
  bool readable = true;
  for (const auto& path : files) {
    auto content = RealDisk().Read(path, kLargestFile);
    if (!content.ok()) {
      err << text::Terminal(path + ": " + std::string(content.status().message())) << "\n";
      readable = false;
      continue;
    }
    sources.push_back({path, *std::move(content)});
  }
  config::Problems problems;
  const auto set = rules::LoadRules(
      sources, [](std::string_view) { return std::string(); }, problems);
  for (const auto& mistake : problems.mistakes()) err << text::Terminal(mistake.ToString()) << "\n";
  if (!readable || set == nullptr) return kFailed;
  size_t rules = 0;
  for (const auto& group : set->groups) rules += group.rules.size();
  out << files.size() << (files.size() == 1 ? " file, " : " files, ") << set->groups.size()
      << (set->groups.size() == 1 ? " group, " : " groups, ") << rules
      << (rules == 1 ? " rule: " : " rules: ") << "good\n";
  return kDone;
}

}  // namespace quell::cli
