// Trust bundles: who is trusted, signed by the trust root. Values; pure.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/net.h"
#include "common/base/time.h"
#include "quell/v1/trust.pb.h"

namespace quell::security {

// Checks that SHA-256 of the root key is `pin` (hex), then the signature, then the form (uuid, serial > 0,
// keys of 32 bytes with matching ids, certificates that parse as self-signed CAs), and expiry against wall
// time.
absl::StatusOr<v1::TrustBundle> OpenTrustBundle(std::string_view signed_bytes, std::string_view pin,
                                                Micros wall_now);
std::string SignTrustBundle(const v1::TrustBundle& bundle,
                            const class SigningKey& root);  // SignedTrustBundle bytes

// Whether a verified bundle may take the place of the one held: same installation, higher serial, least epoch
// not lower. Each refusal has its own sentence.
absl::Status MayReplace(const v1::TrustBundle& held, const v1::TrustBundle& offered);

// The raw public key of a command (log) key by id; NotFound names the id.
absl::StatusOr<std::string> CommandKey(const v1::TrustBundle& bundle, std::string_view key_id);
absl::StatusOr<std::string> LogKey(const v1::TrustBundle& bundle, std::string_view key_id);

// What a verified chain's leaf proves: exactly one URI name spiffe://<installation>/<role>/<id>, issuer among
// that role's CAs and no other, purposes as the role needs, within its dates. Each refusal has its own
// sentence.
absl::StatusOr<Peer> PeerFromCertificate(std::string_view leaf_pem, const v1::TrustBundle& bundle,
                                         Micros wall_now);
// The one question asked at handshake, renewal, each heartbeat and each dispatch.
absl::Status IsAllowed(const Peer& peer, std::string_view role, const v1::TrustBundle& bundle,
                       Micros wall_now);

}  // namespace quell::security
