// `quell-controller responder …` as a function: the controller's main calls it with the words after
// "responder". It needs the responders' authority, not a controller: it runs wherever that key is kept.
#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace quell::security {

//   issue REQUEST --name NAME --dir PKI [--days N] [--passphrase-file F] [--out F]
// What it makes goes to the file that is named, else to `out`; all else to `err`. Exit: 0 done, 1 failed, 2
// usage.
int RunResponderCommand(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                        Micros wall_now);

}  // namespace quell::security
