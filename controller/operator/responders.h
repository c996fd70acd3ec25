// The responders' listener (7403): the operator service over TLS 1.3 for people with a certificate of the
// responders' authority, which the handshake asks for. Who calls is asked anew at each call: certificate,
// revocation by the trust bundle, and the role that the log has for that name; whoever has none there may ask
// nothing. Owned by main; what it is given outlives it.
//
// Bounds: 32 threads and 64 MiB for all connections, 16 streams a connection, 256 KiB a message, 8 KiB of
// metadata, 5 s for a handshake, a minute idle, 10 min of life. What passes them is ended by gRPC.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/security/grpc_credentials.h"
#include "controller/operator/service.h"

namespace quell::operators {

class ResponderServer {
 public:
  struct Parts {
    OperatorBackend& backend;
    Clock& clock;
    std::shared_ptr<security::TrustHolder> trust;  // shared with whoever replaces the bundle
    security::PeerSeen peer_seen;                  // may be empty
  };
  // address: "0.0.0.0:7403"; port 0 takes a free one.
  static absl::StatusOr<std::unique_ptr<ResponderServer>> Start(const std::string& address,
                                                                const security::TlsIdentity& identity,
                                                                Parts parts);
  ~ResponderServer();
  int port() const { return port_; }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }  // calls of nobody known

 private:
  explicit ResponderServer(Parts parts) : parts_(std::move(parts)) {}
  absl::StatusOr<Caller> CallerOfCall(const grpc::ServerContext& context);
  absl::StatusOr<Caller> WithRole(const Peer& peer);

  const Parts parts_;
  std::atomic<uint64_t> refused_{0};
  std::unique_ptr<OperatorService> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace quell::operators
