// One HTTP(S) probe: what is asked, what is told. Bodies are looked at here and never sent on. Blocking, at
// most the configured timeout; any thread, a request each.
#pragma once
#include <string>

#include "agent/collectors/config.h"

namespace quell::agent {

struct ProbeResult {
  bool success = false;
  std::string reason;  // why not, in one sentence; empty when it succeeded
  long status = 0;     // HTTP status; 0: no answer
  bool body_mismatch = false;
  double duration = 0;                                                     // seconds, all redirects included
  double resolve = 0, connect = 0, tls = 0, processing = 0, transfer = 0;  // seconds, blackbox's phases
};

// Follows at most 3 redirects, to the same host and only by http or https. Refuses link-local, metadata and
// unspecified addresses after resolving. Takes no proxy and no credentials from the environment.
ProbeResult RunProbe(const ProbeConfig& config);

// True for an address that no probe may reach: link-local (169.254/16, fe80::/10), the clouds' metadata
// services, unspecified and multicast, also as IPv4-mapped IPv6. `address` is a sockaddr.
bool IsForbiddenAddress(const void* address);

}  // namespace quell::agent
