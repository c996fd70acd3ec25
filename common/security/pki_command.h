// `quell-controller pki …` as a function: the controller's main calls it with the words after "pki".
#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace quell::security {

//   init --dir D (--dns NAME | --address IP)… [--agent HOST]… [--agent-days N] [--passphrase-file F]
//   recover --dir D --root-key F --bundle F (--dns NAME | --address IP)… [--passphrase-file F]
//   issue-agent --dir D --agent HOST [--agent-days N]
// Data goes to `out` (one "key value" per line), all else to `err`. Exit: 0 done, 1 failed, 2 usage.
int RunPkiCommand(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                  Micros wall_now);

}  // namespace quell::security
