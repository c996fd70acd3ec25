#include "tests/bench/process_cost.h"

#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quell::test {
namespace {

// The fields of /proc/PID/stat from the state on; empty when there is no such process.
std::vector<std::string> StatOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t end = text.rfind(')');  // a name may hold anything
  if (end == std::string::npos) return {};
  return absl::StrSplit(text.substr(end + 2), ' ');
}

double Field(const std::vector<std::string>& stat, size_t at) {
  double value = 0;
  return at < stat.size() && absl::SimpleAtod(stat[at], &value) ? value : 0;
}

double ClockOf(pid_t pid) {
  clockid_t clock;
  timespec t{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

void ReadMemory(pid_t pid, ProcessCost& cost) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  std::string line, name;
  while (std::getline(file, line)) {
    double kib = 0;
    if (!(std::istringstream(line) >> name >> kib)) continue;
    if (name == "Pss:") cost.pss_mib += kib / 1024;
    if (name == "Private_Clean:" || name == "Private_Dirty:") cost.private_mib += kib / 1024;
  }
}

}  // namespace

ProcessCost CostOf(pid_t pid) {
  ProcessCost cost;
  const std::vector<std::string> stat = StatOf(pid);
  cost.seconds = ClockOf(pid);
  const auto tick = static_cast<double>(sysconf(_SC_CLK_TCK));
  cost.reaped = (Field(stat, 13) + Field(stat, 14)) / tick;  // cutime, cstime
  cost.threads = static_cast<int>(Field(stat, 17));
  ReadMemory(pid, cost);
  return cost;
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (static_cast<pid_t>(Field(StatOf(pid), 1)) == parent) children.push_back(pid);
  }
  return children;
}

ProcessCost CostOfTree(pid_t root) {
  ProcessCost all = CostOf(root);
  for (const pid_t child : ChildrenOf(root)) {
    const ProcessCost cost = CostOfTree(child);
    all.seconds += cost.seconds;
    all.reaped += cost.reaped;
    all.pss_mib += cost.pss_mib;
    all.private_mib += cost.private_mib;
    all.threads += cost.threads;
  }
  return all;
}

}  // namespace quell::test
