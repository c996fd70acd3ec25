// Process: starts, awaits and kills worker programs. Owned by main (or a test), outlives its users.
// Thread-safe.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace quell {

struct SpawnOptions {
  std::string program;                   // absolute path; never searched, never a shell
  std::vector<std::string> argv;         // including argv[0]
  std::vector<std::string> environment;  // all of it; nothing is inherited
  uid_t uid = static_cast<uid_t>(-1);    // -1: stay
  gid_t gid = static_cast<gid_t>(-1);
  std::string input;                     // written to its descriptor 0, then closed
  uint64_t output_limit = 2 << 20;       // of descriptor 1; more kills it
  uint64_t memory_limit = 256ull << 20;  // RLIMIT_AS; 0: none
  uint32_t open_files = 64;
  Micros deadline = 5 * kSecond;  // from the start; past it: SIGKILL to its process group
  int pass_fd = -1;               // becomes its descriptor 3; stays the caller's to close
};

struct ExitStatus {
  int code = 0;    // when exited
  int signal = 0;  // when killed by one
  bool timed_out = false;
  bool output_exceeded = false;
  std::string output;
  std::string error_output;  // first 4 KiB of descriptor 2
};

class ChildProcess {
 public:
  virtual ~ChildProcess() = default;  // kills it if it still runs
  virtual pid_t pid() const = 0;
  // Blocks until it has ended or its deadline passed (then it is killed and reaped).
  virtual ExitStatus Wait() = 0;
  virtual void Kill() = 0;
};

class Process {
 public:
  virtual ~Process() = default;
  // The child runs with no new privileges, closed descriptors, its own process group, /dev/null as nothing
  // else, umask 077, and dies with its parent (PDEATHSIG).
  virtual absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const SpawnOptions& options) = 0;
};

Process& RealProcess();

}  // namespace quell
