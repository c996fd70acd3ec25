// GrpcDialer: streams to controllers over gRPC with mutual TLS (settings: gRPC C++ 1.51). Owned by main,
// outlives its streams. One channel per stream: a stream that failed leaves nothing behind.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/net.h"
#include "common/security/grpc_credentials.h"

namespace quell::agent {

class GrpcDialer final : public FrameDialer {
 public:
  // identity: asked at each attempt, so that a renewed certificate serves the next connection.
  GrpcDialer(std::function<security::TlsIdentity()> identity, std::shared_ptr<security::TrustHolder> trust,
             Clock& clock);
  // address: "host:port" or "[::1]:port"; the controller's certificate must be made out for that host.
  // Streams carry AgentFrames out and ControllerFrames in.
  absl::StatusOr<std::unique_ptr<FrameStream>> Dial(const std::string& address) override;

 private:
  std::string WhyRefused(const std::string& address);

  const std::function<security::TlsIdentity()> identity_;
  const std::shared_ptr<security::TrustHolder>
      trust_;  // shared with the credentials of connections that still live
  Clock& clock_;
};

}  // namespace quell::agent
