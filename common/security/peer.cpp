// What a certificate proves: role by issuer and by name, and both must agree.
#include <algorithm>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/openssl.h"
#include "common/security/trust.h"

namespace quell::security {
namespace {

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

absl::Status Refuse(std::string_view why) { return absl::PermissionDeniedError(View(why)); }

using Authorities = google::protobuf::RepeatedPtrField<std::string>;

bool IssuedBy(X509* leaf, X509* authority) {
  const bool yes =
      X509_check_issued(authority, leaf) == X509_V_OK && X509_verify(leaf, X509_get0_pubkey(authority)) == 1;
  ERR_clear_error();
  return yes;
}

// Wall time of an ASN.1 time.
Micros ToMicros(const ASN1_TIME* time) {
  struct tm broken {};
  if (ASN1_TIME_to_tm(time, &broken) != 1) return 0;
  return static_cast<Micros>(timegm(&broken)) * kSecond;
}

absl::Status CheckDates(X509* certificate, std::string_view whose, Micros wall_now) {
  const Micros from = ToMicros(X509_get0_notBefore(certificate));
  const Micros to = ToMicros(X509_get0_notAfter(certificate));
  if (wall_now < from) return Refuse(absl::StrCat(View(whose), " is not valid before ", FormatRfc3339(from)));
  if (wall_now >= to) return Refuse(absl::StrCat(View(whose), " expired at ", FormatRfc3339(to)));
  return absl::OkStatus();
}

// The role whose authority issued the leaf.
absl::StatusOr<std::string> RoleByIssuer(X509* leaf, const v1::TrustBundle& bundle, Micros wall_now) {
  const std::pair<const char*, const Authorities*> roles[] = {{"agent", &bundle.agents_ca()},
                                                              {"controller", &bundle.controllers_ca()},
                                                              {"responder", &bundle.responders_ca()}};
  for (const auto& [role, authorities] : roles) {
    for (const auto& der : *authorities) {
      QUELL_ASSIGN_OR_RETURN(const X509Ptr authority, CertificateFromDer(der));
      if (!IssuedBy(leaf, authority.get())) continue;
      QUELL_RETURN_IF_ERROR(
          CheckDates(authority.get(), absl::StrCat("the authority of the ", role, "s"), wall_now));
      return std::string(role);
    }
  }
  return Refuse("the certificate was issued by no authority of this installation");
}

absl::Status CheckLeaf(X509* leaf) {
  const uint32_t flags = X509_get_extension_flags(leaf);
  if ((flags & (EXFLAG_INVALID | EXFLAG_CRITICAL)) != 0)
    return Refuse("the certificate has an extension that cannot be read");
  if ((flags & EXFLAG_CA) != 0 || X509_check_ca(leaf) != 0)
    return Refuse("the certificate is an authority's, not a peer's");
  return absl::OkStatus();
}

absl::Status CheckPurposes(X509* leaf, std::string_view role) {
  if ((X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
    return Refuse("the certificate's key may not be used for signatures");
  // Without the extension OpenSSL reports every usage; a purpose has to be written down here.
  const uint32_t usage =
      (X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) != 0 ? X509_get_extended_key_usage(leaf) : 0;
  const bool controller = role == "controller";
  if (controller && (usage & XKU_SSL_SERVER) == 0)
    return Refuse("the certificate has the wrong purpose: a controller's must allow serverAuth");
  if (!controller && (usage & XKU_SSL_CLIENT) == 0)
    return Refuse(
        absl::StrCat("the certificate has the wrong purpose: a ", View(role), "'s must allow clientAuth"));
  const uint32_t allowed = controller ? (XKU_SSL_SERVER | XKU_SSL_CLIENT) : XKU_SSL_CLIENT;
  if ((usage & ~allowed) != 0)
    return Refuse(
        absl::StrCat("the certificate has the wrong purpose: more than a ", View(role), " may have"));
  return absl::OkStatus();
}

// The one URI name. Controllers also have the names and addresses that are dialled; nobody has anything else.
absl::StatusOr<std::string> UriName(X509* leaf, std::string_view role) {
  int critical = 0;
  NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr && critical == -2) return Refuse("the certificate lists its names twice");
  std::vector<std::string> uris;
  bool others = false;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) {
      const ASN1_STRING* text = name->d.uniformResourceIdentifier;
      uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                        static_cast<size_t>(ASN1_STRING_length(text)));
    } else if (role != "controller" || (name->type != GEN_DNS && name->type != GEN_IPADD)) {
      others = true;
    }
  }
  if (uris.empty()) return Refuse("the certificate has no URI name");
  if (uris.size() > 1) return Refuse("the certificate has more than one URI name");
  if (others) return Refuse("the certificate has a further name, which its role may not have");
  return uris.front();
}

// spiffe://<installation>/<role>/<id>, in exactly these characters.
absl::StatusOr<std::string> IdFromUri(const std::string& uri, std::string_view role,
                                      std::string_view installation) {
  constexpr std::string_view kScheme = "spiffe://";
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '/' || c == ':';
  };
  if (!std::all_of(uri.begin(), uri.end(), plain))
    return Refuse("the certificate's URI name has a character it may not have");
  if (uri.compare(0, kScheme.size(), kScheme) != 0)
    return Refuse("the certificate's URI name is no spiffe:// name");
  const std::string path = uri.substr(kScheme.size());
  const size_t first = path.find('/');
  const size_t second = first == std::string::npos ? first : path.find('/', first + 1);
  if (second == std::string::npos) return Refuse("the certificate's URI name is not installation/role/id");
  if (path.substr(0, first) != installation)
    return Refuse("the certificate's URI name is of another installation");
  const std::string named = path.substr(first + 1, second - first - 1);
  if (named != role)
    return Refuse(absl::StrCat(
        "the certificate says ",
        named == "agent" || named == "controller" || named == "responder" ? named : "another role",
        " but was issued by the ", View(role), "s' authority"));
  std::string id = path.substr(second + 1);
  if (role == "responder" ? !IsPersonName(id) : !IsUuid(id))
    return Refuse("the certificate's URI name ends in no valid id");
  return id;
}

std::string SerialHex(X509* leaf) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), nullptr);
  if (number == nullptr) return "";
  std::string bytes(static_cast<size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(number);
  return HexEncode(bytes);
}

}  // namespace

absl::StatusOr<Peer> PeerFromCertificate(std::string_view leaf_pem, const v1::TrustBundle& bundle,
                                         Micros wall_now) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr leaf, CertificateFromPem(leaf_pem));
  QUELL_RETURN_IF_ERROR(CheckLeaf(leaf.get()));
  QUELL_ASSIGN_OR_RETURN(std::string role, RoleByIssuer(leaf.get(), bundle, wall_now));
  QUELL_RETURN_IF_ERROR(CheckDates(leaf.get(), "the certificate", wall_now));
  QUELL_ASSIGN_OR_RETURN(const std::string uri, UriName(leaf.get(), role));
  QUELL_ASSIGN_OR_RETURN(std::string id, IdFromUri(uri, role, bundle.installation()));
  QUELL_RETURN_IF_ERROR(CheckPurposes(leaf.get(), role));
  Peer peer;
  peer.role = std::move(role);
  peer.id = std::move(id);
  peer.serial = SerialHex(leaf.get());
  peer.not_after = ToMicros(X509_get0_notAfter(leaf.get()));
  return peer;
}

absl::Status IsAllowed(const Peer& peer, std::string_view role, const v1::TrustBundle& bundle,
                       Micros wall_now) {
  if (peer.role != role)
    return Refuse(
        absl::StrCat("the peer has the role ", peer.role, "; here the role ", View(role), " is needed"));
  if (std::find(bundle.revoked().begin(), bundle.revoked().end(), peer.id) != bundle.revoked().end())
    return Refuse(absl::StrCat("the ", peer.role, " ", peer.id, " is revoked"));
  if (peer.not_after <= wall_now)
    return Refuse(absl::StrCat("the certificate of ", peer.role, " ", peer.id, " has expired"));
  if (bundle.not_after_us() <= wall_now) return Refuse("the trust bundle has expired");
  return absl::OkStatus();
}

}  // namespace quell::security
