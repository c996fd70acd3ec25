// Processes: CPU time and memory of apps' main processes, from /proc/PID/stat (proc(5)), which PM2's own
// figures are no match for: they are shared by all who poll it and zeroed for every app by one broken one.
// Files stay open; a process id that comes to mean another process is noticed. One thread.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "agent/collectors/host/proc_file.h"

namespace quell::agent {

struct ProcessReading {
  bool seen = false;  // /proc has shown this process at least once
  bool alive = false;
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double threads = 0;
};

class Processes {
 public:
  explicit Processes(std::string root) : root_(std::move(root)) {}
  // Begins a round; those not read before End are forgotten.
  void Begin() { ++round_; }
  ProcessReading Read(int64_t pid);
  void End();

 private:
  struct Watched {
    ProcFile file;
    uint64_t round = 0;
    double start = -1;  // ticks after boot; -1: never read
    ProcessReading last;
  };
  const std::string root_;
  uint64_t round_ = 0;
  std::map<int64_t, Watched> watched_;
};

}  // namespace quell::agent
