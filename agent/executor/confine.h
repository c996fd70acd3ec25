// Confine: after it this process and all it starts open Unix and netlink sockets only (seccomp). Called first
// in main, before there are threads.
#pragma once
#include "absl/status/status.h"

namespace quell::agent {

absl::Status ConfineSockets();

}  // namespace quell::agent
