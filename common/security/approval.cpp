#include "common/security/approval.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/signing.h"
#include "common/security/trust.h"

namespace quell::security {
namespace {

constexpr size_t kLargestCertificate = 8 << 10;
constexpr size_t kLongestSignature = 256;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("reading what is to be approved: ", why));
}

absl::Status Refuse(absl::string_view why) { return absl::PermissionDeniedError(why); }

// The certificate's own key, and whom it proves.
struct Signer {
  std::string person;
  std::string key;  // SubjectPublicKeyInfo
};

absl::StatusOr<Signer> SignerOf(const v1::Approval& approval, const v1::TrustBundle& bundle,
                                Micros wall_now) {
  QUELL_ASSIGN_OR_RETURN(const std::string pem, DerToPem(approval.certificate()));
  QUELL_ASSIGN_OR_RETURN(const Peer peer, PeerFromCertificate(pem, bundle, wall_now));
  QUELL_RETURN_IF_ERROR(IsAllowed(peer, "responder", bundle, wall_now));
  QUELL_ASSIGN_OR_RETURN(std::string key, PublicKeyOf(pem));
  return Signer{peer.id, std::move(key)};
}

}  // namespace

absl::StatusOr<v1::Intent> ParseIntent(std::string_view bytes) {
  if (bytes.size() > kLargestIntent) return Bad(absl::StrCat("it is larger than ", kLargestIntent, " bytes"));
  v1::Intent intent;
  if (!intent.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return Bad("it is no intent");
  intent.DiscardUnknownFields();
  if (intent.SerializeAsString() != bytes)
    return Bad("it holds something that this version does not know, or is not in its one encoding");
  if (intent.id().size() != 16) return Bad("its id has not 16 bytes");
  if (intent.action().kind_case() == v1::Action::KIND_NOT_SET) return Bad("it names no action");
  const auto& hosts = intent.host_ids();
  if (hosts.empty()) return Bad("it names no host");
  if (std::adjacent_find(hosts.begin(), hosts.end(), std::greater_equal<>()) != hosts.end())
    return Bad("its hosts are not in order, each once");
  if (intent.evidence_size() > kMostEvidenceLines)
    return Bad(absl::StrCat("it has more than ", kMostEvidenceLines, " lines of evidence"));
  return intent;
}

absl::StatusOr<v1::Approval> SignApproval(std::string_view intent, const std::string& person,
                                          const TlsKey& key, std::string_view certificate_pem) {
  QUELL_RETURN_IF_ERROR(ParseIntent(intent).status());
  v1::Approval approval;
  approval.set_person(person);
  approval.set_intent_sha256(Sha256(intent));
  approval.set_signature(key.Sign(kApprovalContext, approval.intent_sha256()));
  approval.set_key_id(KeyId(key.PublicDer()));
  QUELL_ASSIGN_OR_RETURN(*approval.mutable_certificate(), PemToDer(certificate_pem));
  return approval;
}

absl::Status VerifyApproval(const v1::Approval& approval, std::string_view intent,
                            const v1::TrustBundle& bundle, Micros wall_now) {
  if (!IsPersonName(approval.person())) return Refuse("the approval names no person");
  const auto refuse = [&](absl::string_view why) {
    return Refuse(absl::StrCat("the approval of ", approval.person(), ": ", why));
  };
  if (approval.certificate().size() > kLargestCertificate || approval.signature().size() > kLongestSignature)
    return refuse("its certificate or signature is too large");
  if (approval.intent_sha256() != Sha256(intent)) return refuse("it is of something else than this");
  const auto signer = SignerOf(approval, bundle, wall_now);
  if (!signer.ok()) return refuse(signer.status().message());
  if (signer->person != approval.person())
    return refuse(absl::StrCat("its certificate is made out to ", signer->person));
  if (approval.key_id() != KeyId(signer->key)) return refuse("it names another key than its certificate's");
  if (!VerifyTlsSignature(signer->key, kApprovalContext, approval.intent_sha256(), approval.signature()))
    return refuse("its signature does not hold");
  return absl::OkStatus();
}

}  // namespace quell::security
