#include "agent/link/address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace quell::agent {

absl::StatusOr<std::string> HostOfAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  std::string host = address.substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool plain = host.find_first_of(":/ \t") == std::string::npos;
  if (host.empty() || !(bracketed || plain) || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port == 0 || port > 65'535)
    return absl::InvalidArgumentError(
        absl::StrCat("the controller's address \"", address, "\" is not host:port"));
  return host;
}

}  // namespace quell::agent
