// IdentityPort: what a session tells and asks about the agent's own certificate and trust. Implemented by
// agent/enrol/identity.h; owned by main, outlives the link. Thread-safe; no call waits for the network.
#pragma once
#include <cstdint>
#include <string>

#include "common/base/time.h"

namespace quell::agent {

class IdentityPort {
 public:
  virtual ~IdentityPort() = default;
  // The public key (SubjectPublicKeyInfo) that is to be certified anew now; "" while it is not time. What is
  // handed out counts as asked for.
  virtual std::string KeyToRenew(Micros wall) = 0;
  virtual void Renewed(const std::string& certificate_der, Micros wall) = 0;
  virtual void RenewalRefused(const std::string& why) = 0;
  // A signed trust bundle that came over the stream, unopened.
  virtual void TakeTrust(const std::string& signed_bundle, Micros wall) = 0;
  virtual uint64_t trust_serial() = 0;
  // The signed bundle, where it is newer than this serial; else "".
  virtual std::string TrustNewerThan(uint64_t serial) = 0;
  // A controller took this agent.
  virtual void Welcomed() = 0;
};

}  // namespace quell::agent
