// Trust bundles: opening, signing, looking up keys, replacing.
#include <google/protobuf/unknown_field_set.h>

#include <set>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/openssl.h"
#include "common/security/signing.h"
#include "common/security/trust.h"

namespace quell::security {
namespace {

constexpr size_t kLargestBundle = 1 << 20;

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("opening a trust bundle: ", View(why)));
}

// Keys and certificates that were seen, so that nothing serves two roles.
using Seen = std::set<std::string>;

absl::Status CheckAuthority(const std::string& der, std::string_view role, Seen& seen) {
  auto parsed = CertificateFromDer(der);
  if (!parsed.ok())
    return Bad(absl::StrCat("an authority for ", View(role), " is no certificate (",
                            parsed.status().message(), ")"));
  X509* certificate = parsed->get();
  const bool issues =
      X509_check_ca(certificate) == 1 && (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) != 0;
  const bool self = X509_check_issued(certificate, certificate) == X509_V_OK &&
                    X509_verify(certificate, X509_get0_pubkey(certificate)) == 1;
  ERR_clear_error();
  if (!issues || !self)
    return Bad(absl::StrCat("an authority for ", View(role), " is not a self-signed authority"));
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(X509_get0_pubkey(certificate), &out);
  if (size <= 0) return Bad(absl::StrCat("an authority for ", View(role), " has no readable key"));
  std::string key(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  if (!seen.insert(std::move(key)).second) return Bad("one authority's key stands in it twice");
  return absl::OkStatus();
}

absl::Status CheckKey(const v1::PublicKey& key, std::string_view purpose, Seen& seen) {
  if (key.raw().size() != 32) return Bad(absl::StrCat("a ", View(purpose), " key is not 32 bytes long"));
  if (key.id() != KeyId(key.raw()))
    return Bad(absl::StrCat("a ", View(purpose), " key's id is not that of its bytes"));
  if (!IsUuid(key.owner()))
    return Bad(absl::StrCat("a ", View(purpose), " key's owner is no controller's id"));
  if (!seen.insert(key.raw()).second) return Bad("one signing key stands in it twice");
  return absl::OkStatus();
}

absl::Status CheckForm(const v1::TrustBundle& bundle, const std::string& root_key) {
  if (!IsUuid(bundle.installation())) return Bad("its installation is no uuid");
  if (bundle.serial() == 0) return Bad("its serial is 0");
  if (bundle.agents_ca().empty() || bundle.controllers_ca().empty())
    return Bad("it has no authority for a role");
  Seen authorities;
  for (const auto& der : bundle.agents_ca())
    QUELL_RETURN_IF_ERROR(CheckAuthority(der, "agents", authorities));
  for (const auto& der : bundle.controllers_ca())
    QUELL_RETURN_IF_ERROR(CheckAuthority(der, "controllers", authorities));
  for (const auto& der : bundle.responders_ca())
    QUELL_RETURN_IF_ERROR(CheckAuthority(der, "responders", authorities));
  Seen keys{root_key};
  for (const auto& key : bundle.command_keys()) QUELL_RETURN_IF_ERROR(CheckKey(key, "command", keys));
  for (const auto& key : bundle.log_keys()) QUELL_RETURN_IF_ERROR(CheckKey(key, "log", keys));
  for (const auto& id : bundle.revoked())
    if (!IsUuid(id) && !IsPersonName(id)) return Bad("a revoked id is neither a uuid nor a person's name");
  return absl::OkStatus();
}

absl::StatusOr<std::string> Find(const google::protobuf::RepeatedPtrField<v1::PublicKey>& keys,
                                 std::string_view key_id, std::string_view purpose) {
  for (const auto& key : keys)
    if (key.id() == key_id) return key.raw();
  return absl::NotFoundError(absl::StrCat("the trust bundle has no ", View(purpose), " key ", View(key_id)));
}

}  // namespace

absl::StatusOr<v1::TrustBundle> OpenTrustBundle(std::string_view signed_bytes, std::string_view pin,
                                                Micros wall_now) {
  if (signed_bytes.size() > kLargestBundle) return Bad("it is larger than 1 MiB");
  v1::SignedTrustBundle outer;
  if (!outer.ParseFromArray(signed_bytes.data(), static_cast<int>(signed_bytes.size())))
    return Bad("it is not a signed bundle");
  // One bundle, one encoding: nothing rides along unsigned.
  if (outer.SerializeAsString() != signed_bytes || !outer.GetReflection()->GetUnknownFields(outer).empty())
    return Bad("it holds something besides a signed bundle");
  if (HexEncode(Sha256(outer.root_key())) != pin)
    return absl::PermissionDeniedError("opening a trust bundle: its root key is not the pinned one");
  if (!VerifySignature(outer.root_key(), kTrustContext, outer.body(), outer.signature()))
    return absl::PermissionDeniedError("opening a trust bundle: the trust root's signature does not hold");
  v1::TrustBundle bundle;
  if (!bundle.ParseFromString(outer.body())) return Bad("its body is no trust bundle");
  QUELL_RETURN_IF_ERROR(CheckForm(bundle, outer.root_key()));
  if (bundle.not_after_us() <= wall_now)
    return absl::FailedPreconditionError(
        absl::StrCat("opening a trust bundle: it expired at ", FormatRfc3339(bundle.not_after_us())));
  return bundle;
}

std::string SignTrustBundle(const v1::TrustBundle& bundle, const SigningKey& root) {
  v1::SignedTrustBundle outer;
  outer.set_body(bundle.SerializeAsString());
  outer.set_root_key(root.PublicRaw());
  outer.set_signature(root.Sign(kTrustContext, outer.body()));
  return outer.SerializeAsString();
}

absl::Status MayReplace(const v1::TrustBundle& held, const v1::TrustBundle& offered) {
  if (offered.installation() != held.installation())
    return absl::PermissionDeniedError("taking a trust bundle: it is of another installation");
  if (offered.serial() <= held.serial())
    return absl::FailedPreconditionError(absl::StrCat("taking a trust bundle: its serial ", offered.serial(),
                                                      " is not higher than the ", held.serial(), " held"));
  if (offered.least_epoch() < held.least_epoch())
    return absl::FailedPreconditionError("taking a trust bundle: its least epoch is lower than the one held");
  return absl::OkStatus();
}

absl::StatusOr<std::string> CommandKey(const v1::TrustBundle& bundle, std::string_view key_id) {
  return Find(bundle.command_keys(), key_id, "command");
}
absl::StatusOr<std::string> LogKey(const v1::TrustBundle& bundle, std::string_view key_id) {
  return Find(bundle.log_keys(), key_id, "log");
}

}  // namespace quell::security
