// StubAgents: many agents in this process: the real link of each (its dialling, back-off, heartbeats and
// spool), without collectors and executor. Owned by a test; one thread, and one of each agent's own. Call
// security::PrepareGrpcProcess first in main.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace quell::test {

class StubAgents {
 public:
  // keys: of each agent, as `pki init` lays them out. state: a directory of ours. address: the controller's.
  StubAgents(const std::vector<std::string>& keys, const std::string& state, const std::string& address);
  ~StubAgents();
  // All at once.
  void Start();
  size_t connected() const;

 private:
  struct Agent;
  std::vector<std::unique_ptr<Agent>> agents_;
};

// So many file descriptors as the machine lets this process have.
void RaiseDescriptorLimit();

}  // namespace quell::test
