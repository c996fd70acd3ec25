// Controllers' addresses. Pure.
#pragma once
#include <string>

#include "absl/status/statusor.h"

namespace quell::agent {

// The host of "host:port" or "[address]:port"; InvalidArgument for anything else.
absl::StatusOr<std::string> HostOfAddress(const std::string& address);

}  // namespace quell::agent
