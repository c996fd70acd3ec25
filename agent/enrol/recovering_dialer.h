// RecoveringDialer: before an attempt to connect it puts right what would make it fail: a certificate that
// has expired is recovered, and after an attempt that came to nothing the newest trust bundle is fetched,
// both at the enrolment ports. Owned by main; called by the link's thread, which it may hold up for some
// seconds.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "agent/enrol/identity.h"
#include "common/base/net.h"

namespace quell::agent {

class RecoveringDialer final : public FrameDialer {
 public:
  // ports: enrolment ports, tried in turn.
  RecoveringDialer(FrameDialer& inner, AgentIdentity& identity, std::vector<std::string> ports, Clock& clock)
      : inner_(inner), identity_(identity), ports_(std::move(ports)), clock_(clock) {}
  absl::StatusOr<std::unique_ptr<FrameStream>> Dial(const std::string& address) override;

 private:
  void RefreshTrust();
  absl::Status RecoverCertificate(const absl::Status& unusable);

  FrameDialer& inner_;
  AgentIdentity& identity_;
  const std::vector<std::string> ports_;
  Clock& clock_;
  Micros fetched_ = 0;  // monotonic; 0: not yet
};

}  // namespace quell::agent
