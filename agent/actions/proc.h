// What /proc says of one process, as text for people. Every read is bounded; nothing is read that holds
// arguments or the environment. Functions of a root directory ("/proc"), so that a recorded tree is a
// fixture.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quell::agent {

// Content of ROOT/PID/NAME for name "status", "wchan" or "stack"; at most 64 KiB.
absl::StatusOr<std::string> ReadProcFile(const std::string& root, int64_t pid, const std::string& name);

struct ProcFd {
  int number = 0;
  std::string target;  // as readlink tells: "/var/log/x", "socket:[123]", "pipe:[7]"
};
// Sorted by number; at most 4,096, and *total says how many there were.
absl::StatusOr<std::vector<ProcFd>> ListProcFds(const std::string& root, int64_t pid, size_t* total);

// One line per open socket of the process: those of `fds` found in ROOT/PID/net/{tcp,tcp6,udp,udp6,unix} by
// inode. "tcp 127.0.0.1:3000 0.0.0.0:0 LISTEN rx 0 tx 0".
std::string DescribeSockets(const std::string& root, int64_t pid, const std::vector<ProcFd>& fds);

// Parent's pid from ROOT/PID/stat; 0 when it can't be told.
int64_t ParentPid(const std::string& root, int64_t pid);

}  // namespace quell::agent
