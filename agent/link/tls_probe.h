// After a controller closed the connection without a word: asks once more by plain OpenSSL, to hear the TLS
// alert, or to see where the handshake ends; gRPC passes on neither. Blocks for at most `at_most` per step.
// Any thread.
#pragma once
#include <string>

#include "common/base/time.h"
#include "common/security/grpc_credentials.h"

namespace quell::agent {

// "the controller refuses this agent in the handshake: tlsv13 alert certificate required", or "" when nothing
// is to be said (no connection, or a handshake that goes well). Sends nothing but the handshake.
std::string ProbeTlsAlert(const std::string& address, const security::TlsIdentity& identity, Micros at_most);

}  // namespace quell::agent
