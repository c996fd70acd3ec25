// Approvals: a person's signed consent to one act on exactly these hosts, made on the person's machine with
// the key of their certificate, over the hash of the intent's bytes as displayed. Values; pure.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/certificate.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/trust.pb.h"

namespace quell::security {

inline constexpr std::string_view kApprovalContext{"quell approval v1\0", 18};

inline constexpr size_t kLargestIntent = 48 << 10;  // a thousand hosts are 38,000 bytes
inline constexpr int kMostEvidenceLines = 16;

// One intent has one encoding, and every build that takes it knows all of it: what a person was shown is what
// is verified. InvalidArgument says what is wrong: other bytes than its own encoding, no id of 16 bytes, no
// host, hosts out of order or named twice, no action, too large.
absl::StatusOr<v1::Intent> ParseIntent(std::string_view intent);

// `person` is whom the certificate is made out to; VerifyApproval finds out when it is not.
absl::StatusOr<v1::Approval> SignApproval(std::string_view intent, const std::string& person,
                                          const TlsKey& key, std::string_view certificate_pem);

// Whether the signature holds for these very bytes, by a certificate that proves the person: issued by the
// responders' authority, valid at `wall_now`, not revoked. PermissionDenied says why not.
absl::Status VerifyApproval(const v1::Approval& approval, std::string_view intent,
                            const v1::TrustBundle& bundle, Micros wall_now);

}  // namespace quell::security
