// A person's certificate, from the request that their machine makes to the one file that comes back. The key
// never leaves their machine; who certifies them need not know it. Pure but for IssueResponder, which reads
// the installation's keys.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/certificate.h"
#include "common/security/secret.h"

namespace quell::security {

inline constexpr Micros kLongestResponderLife = 30 * kDay;
inline constexpr uint64_t kLargestResponderFile = 512 << 10;  // bytes of a request or a pass

// A PKCS#10 request (RFC 2986) in PEM, signed by the key itself. `name` is for whoever reads it; who the
// person is, the one who issues says.
std::string RequestCertificate(const TlsKey& key, const std::string& name);

// The request's key as SubjectPublicKeyInfo, all that is used of it. Refuses a request that its own key did
// not sign, and any key but one of ECDSA P-256.
absl::StatusOr<std::string> PublicKeyOfRequest(std::string_view pem);

// What a person takes home: their certificate, and whom to trust.
struct ResponderPass {
  std::string certificate_pem;
  std::string signed_bundle;  // SignedTrustBundle bytes
};
// Text: the certificate's PEM, then the bundle's.
std::string FormatPass(const ResponderPass& pass);
absl::StatusOr<ResponderPass> ParsePass(std::string_view text);
// Hex SHA-256 of the key that says it signed the bundle: to be compared with what is known from elsewhere.
absl::StatusOr<std::string> PinOf(std::string_view signed_bundle);

struct ResponderIssue {
  std::string directory;  // of `pki init`: responders-ca.{key,crt}, trust.bundle, root.pin
  std::string request;    // PEM
  std::string name;       // [a-z0-9-]{1,64}
  Micros life = kLongestResponderLife;
  Secret passphrase;  // of the responders' CA; empty: none
  Micros now = 0;     // wall time
};
absl::StatusOr<ResponderPass> IssueResponder(const ResponderIssue& issue);

}  // namespace quell::security
