// Issuing for peers of this installation: what a certificate of each role says, and an authority read from
// its files. Pure but for LoadAuthority.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/certificate.h"

namespace quell::security {

// A certificate is valid a little before it is made: for hosts whose clocks are behind.
inline constexpr Micros kClockLeeway = 5 * kMinute;

// What agents sign a recovery's challenge under (TlsKey::Sign).
inline constexpr std::string_view kRecoverContext{"quell recover v1\0", 17};

// spiffe://<installation>/<role>/<id>
std::string PeerUri(const std::string& installation, std::string_view role, const std::string& id);

// One URI name and the purposes that the role needs: "agent" and "responder" are clients, "controller" is
// both. now: wall time.
CertificateSpec PeerSpec(const std::string& installation, std::string_view role, const std::string& id,
                         Micros life, Micros now);

// Reads an authority's key (as ReadSecretFile) and certificate, and checks that they belong together.
absl::StatusOr<Authority> LoadAuthority(const std::string& key_path, const std::string& certificate_path,
                                        std::string_view passphrase = "");

}  // namespace quell::security
