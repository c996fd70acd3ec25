// What processes of this machine cost: processor time to the nanosecond, memory, threads. Read from /proc and
// the processes' own clocks. Stateless.
#pragma once
#include <sys/types.h>

#include <vector>

namespace quell::test {

struct ProcessCost {
  double seconds = 0;      // processor time since its start, of all its threads, ended ones too
  double reaped = 0;       // of children that ended and were waited for, to 10 ms
  double pss_mib = 0;      // its memory, with its share of what is shared
  double private_mib = 0;  // that nobody shares
  int threads = 0;
};

ProcessCost CostOf(pid_t pid);
// The processes that have this parent now.
std::vector<pid_t> ChildrenOf(pid_t parent);
// Of a process, its children and theirs, summed up.
ProcessCost CostOfTree(pid_t root);

}  // namespace quell::test
