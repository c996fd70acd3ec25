// What an agent asks at a controller's enrolment port (7401), step by step. Each call blocks for up to some
// seconds; any thread.
//
// Who has not been verified learns nothing: the trust bundle is fetched from whoever answers and believed for
// its signature by the pinned trust root alone; whatever is sent goes over a connection whose server has
// shown a certificate of that bundle's controllers' authority, made out for the name that was dialled.
#pragma once
#include <string>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/certificate.h"
#include "common/security/join_token.h"
#include "quell/v1/trust.pb.h"

namespace quell::agent {

struct FetchedTrust {
  std::string signed_bytes;
  v1::TrustBundle bundle;
};
// PermissionDenied: what came is not signed by the root with this pin.
absl::StatusOr<FetchedTrust> FetchTrust(const std::string& address, const std::string& pin, Micros wall_now);

struct Certified {
  std::string id;
  std::string name;
  std::string certificate_pem;  // of the key that was shown, verified against the bundle
  Micros not_after = 0;
};
// wish: the name that this host is to have; "": whatever the token says. PermissionDenied with the
// controller's sentence.
absl::StatusOr<Certified> Redeem(const std::string& address, const security::JoinToken& token,
                                 const security::TlsKey& key, const std::string& wish,
                                 const v1::TrustBundle& bundle, Micros wall_now);
// A new certificate for a host whose old one has expired, for the key that it enrolled with.
absl::StatusOr<Certified> Recover(const std::string& address, const std::string& host_id,
                                  const security::TlsKey& key, const v1::TrustBundle& bundle,
                                  Micros wall_now);

}  // namespace quell::agent
