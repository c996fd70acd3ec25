#include "common/security/certificate.h"

#include <openssl/ec.h>
#include <openssl/rand.h>

#include "common/base/status.h"
#include "common/security/openssl.h"

namespace quell::security {

struct TlsKey::Impl {
  PkeyPtr key;
};

namespace {

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr)
    return absl::InternalError(absl::StrCat("writing certificate extension ", value, ": ", OpenSslError()));
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return added == 1 ? absl::OkStatus() : absl::InternalError("adding a certificate extension failed");
}

// Appends a name of IA5 text, byte for byte.
void AddTextName(GENERAL_NAMES* names, int type, const std::string& text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  Require(value != nullptr && ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1,
          "out of memory for a certificate's name");
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, value);
  sk_GENERAL_NAME_push(names, name);
}

absl::Status AddNames(X509* certificate, const CertificateSpec& spec) {
  NamesPtr names(GENERAL_NAMES_new());
  for (const auto& uri : spec.uris) AddTextName(names.get(), GEN_URI, uri);
  for (const auto& dns : spec.dns) AddTextName(names.get(), GEN_DNS, dns);
  for (const auto& address : spec.addresses) {
    ASN1_OCTET_STRING* octets = a2i_IPADDRESS(address.c_str());
    if (octets == nullptr) {
      ERR_clear_error();
      return absl::InvalidArgumentError(
          absl::StrCat("issuing a certificate: ", address, " is no IP address"));
    }
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, GEN_IPADD, octets);
    sk_GENERAL_NAME_push(names.get(), name);
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return absl::OkStatus();
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1)
    return absl::InternalError(absl::StrCat("writing a certificate's names: ", OpenSslError()));
  return absl::OkStatus();
}

// 16 random octets, positive, as RFC 5280 4.1.2.2 asks.
void SetSerial(X509* certificate) {
  unsigned char bytes[16];
  Require(RAND_bytes(bytes, sizeof bytes) == 1, "no random bytes for a serial number");
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
}

void SetHeader(X509* certificate, const CertificateSpec& spec) {
  X509_set_version(certificate, X509_VERSION_3);
  SetSerial(certificate);
  ASN1_TIME_set(X509_getm_notBefore(certificate), spec.not_before / kSecond);
  ASN1_TIME_set(X509_getm_notAfter(certificate), spec.not_after / kSecond);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                             static_cast<int>(spec.common_name.size()), -1, 0);
}

absl::Status AddUsages(X509* certificate, X509* issuer, const CertificateSpec& spec) {
  const bool ca = spec.authority;
  QUELL_RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints,
                                     ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE"));
  QUELL_RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_key_usage,
                                     ca ? "critical,keyCertSign" : "critical,digitalSignature"));
  if (spec.server_auth || spec.client_auth) {
    const std::string usage = spec.server_auth && spec.client_auth ? "serverAuth,clientAuth"
                              : spec.server_auth                   ? "serverAuth"
                                                                   : "clientAuth";
    QUELL_RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_ext_key_usage, usage));
  }
  QUELL_RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_key_identifier, "hash"));
  return AddNames(certificate, spec);
}

// `issuer` null: self-signed.
absl::StatusOr<X509Ptr> Build(const CertificateSpec& spec, EVP_PKEY* subject, X509* issuer,
                              EVP_PKEY* signer) {
  X509Ptr certificate(X509_new());
  SetHeader(certificate.get(), spec);
  X509* from = issuer != nullptr ? issuer : certificate.get();
  Require(X509_set_issuer_name(certificate.get(), X509_get_subject_name(from)) == 1 &&
              X509_set_pubkey(certificate.get(), subject) == 1,
          "filling a certificate failed");
  QUELL_RETURN_IF_ERROR(AddUsages(certificate.get(), from, spec));
  QUELL_RETURN_IF_ERROR(AddExtension(certificate.get(), from, NID_authority_key_identifier, "keyid:always"));
  if (X509_sign(certificate.get(), signer, EVP_sha256()) <= 0)
    return absl::InternalError(absl::StrCat("signing a certificate: ", OpenSslError()));
  return certificate;
}

// The one DER encoding of a public key.
std::string PublicDerOf(EVP_PKEY* key) {
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(key, &out);
  Require(size > 0, "encoding a public key failed");
  std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  return der;
}

absl::StatusOr<PkeyPtr> PublicFromDer(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  PkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("reading a public key: it is none in DER");
  char curve[32] = "";
  const bool p256 = EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC &&
                    EVP_PKEY_get_group_name(key.get(), curve, sizeof curve, nullptr) == 1 &&
                    std::string_view(curve) == SN_X9_62_prime256v1;
  ERR_clear_error();
  if (!p256) return absl::InvalidArgumentError("reading a public key: it is not one of ECDSA P-256");
  if (PublicDerOf(key.get()) != der)
    return absl::InvalidArgumentError("reading a public key: it is not encoded as it must be");
  return key;
}

std::string Joined(std::string_view context, std::string_view body) {
  std::string message(context);
  message.append(body);
  return message;
}

Micros WallTime(const ASN1_TIME* time) {
  struct tm broken {};
  if (ASN1_TIME_to_tm(time, &broken) != 1) return 0;
  return static_cast<Micros>(timegm(&broken)) * kSecond;
}

absl::StatusOr<std::string> Issue(const CertificateSpec& spec, EVP_PKEY* subject, const Authority& issuer) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr from, CertificateFromPem(issuer.certificate_pem));
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate,
                         Build(spec, subject, from.get(), issuer.key.impl().key.get()));
  return CertificateToPem(certificate.get());
}

}  // namespace

TlsKey::TlsKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsKey::TlsKey(TlsKey&&) noexcept = default;
TlsKey& TlsKey::operator=(TlsKey&&) noexcept = default;
TlsKey::~TlsKey() = default;

TlsKey TlsKey::Generate() {
  PkeyPtr key(EVP_EC_gen("P-256"));
  Require(key != nullptr, "making a P-256 key failed");
  return TlsKey(std::make_unique<Impl>(Impl{std::move(key)}));
}

absl::StatusOr<TlsKey> TlsKey::FromPem(std::string_view pem, std::string_view passphrase) {
  QUELL_ASSIGN_OR_RETURN(PkeyPtr key, KeyFromPem(pem, passphrase));
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC)
    return absl::InvalidArgumentError("reading a TLS key: it is not an ECDSA key");
  return TlsKey(std::make_unique<Impl>(Impl{std::move(key)}));
}

Secret TlsKey::ToPem(std::string_view passphrase) const { return KeyToPem(impl_->key.get(), passphrase); }

std::string TlsKey::PublicDer() const { return PublicDerOf(impl_->key.get()); }

std::string TlsKey::Sign(std::string_view context, std::string_view body) const {
  const std::string message = Joined(context, body);
  const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
  DigestPtr digest(EVP_MD_CTX_new());
  size_t size = 0;
  bool done = EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1 &&
              EVP_DigestSign(digest.get(), nullptr, &size, bytes, message.size()) == 1;
  std::string signature(size, '\0');
  done = done && EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                bytes, message.size()) == 1;
  Require(done, "signing failed");
  signature.resize(size);
  return signature;
}

absl::StatusOr<Authority> MakeAuthority(const std::string& common_name, Micros not_before, Micros not_after) {
  CertificateSpec spec;
  spec.common_name = common_name;
  spec.authority = true;
  spec.not_before = not_before;
  spec.not_after = not_after;
  TlsKey key = TlsKey::Generate();
  EVP_PKEY* raw = key.impl().key.get();
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, Build(spec, raw, nullptr, raw));
  return Authority{std::move(key), CertificateToPem(certificate.get())};
}

absl::StatusOr<std::string> IssueCertificate(const CertificateSpec& spec, const TlsKey& subject,
                                             const Authority& issuer) {
  return Issue(spec, subject.impl().key.get(), issuer);
}

absl::StatusOr<std::string> IssueCertificate(const CertificateSpec& spec, std::string_view subject_der,
                                             const Authority& issuer) {
  QUELL_ASSIGN_OR_RETURN(const PkeyPtr subject, PublicFromDer(subject_der));
  return Issue(spec, subject.get(), issuer);
}

absl::Status CheckPublicKey(std::string_view subject_der) { return PublicFromDer(subject_der).status(); }

bool VerifyTlsSignature(std::string_view subject_der, std::string_view context, std::string_view body,
                        std::string_view signature) {
  const auto key = PublicFromDer(subject_der);
  if (!key.ok()) return false;
  const std::string message = Joined(context, body);
  DigestPtr digest(EVP_MD_CTX_new());
  const bool holds =
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key->get()) == 1 &&
      EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) == 1;
  ERR_clear_error();
  return holds;
}

absl::StatusOr<std::string> PublicKeyOf(std::string_view certificate_pem) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, CertificateFromPem(certificate_pem));
  EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("reading a certificate: its key cannot be read");
  return PublicDerOf(key);
}

absl::StatusOr<CertificateDates> DatesOf(std::string_view certificate_pem) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, CertificateFromPem(certificate_pem));
  return CertificateDates{WallTime(X509_get0_notBefore(certificate.get())),
                          WallTime(X509_get0_notAfter(certificate.get()))};
}

absl::StatusOr<std::string> PemToDer(std::string_view pem) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, CertificateFromPem(pem));
  return CertificateToDer(certificate.get());
}

absl::StatusOr<std::string> DerToPem(std::string_view der) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, CertificateFromDer(der));
  return CertificateToPem(certificate.get());
}

absl::Status CheckPair(std::string_view key_pem, std::string_view certificate_pem) {
  QUELL_ASSIGN_OR_RETURN(const PkeyPtr key, KeyFromPem(key_pem, ""));
  QUELL_ASSIGN_OR_RETURN(const X509Ptr certificate, CertificateFromPem(certificate_pem));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError("the private key does not belong to the certificate");
}

absl::Status CheckDialledName(std::string_view leaf_pem, std::string_view name) {
  QUELL_ASSIGN_OR_RETURN(const X509Ptr leaf, CertificateFromPem(leaf_pem));
  const std::string text(name);
  const unsigned flags = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  const bool fits = X509_check_ip_asc(leaf.get(), text.c_str(), 0) == 1 ||
                    X509_check_host(leaf.get(), text.data(), text.size(), flags, nullptr) == 1;
  ERR_clear_error();
  if (fits) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the server's certificate is not made out for ", View(name), ", which was dialled"));
}

}  // namespace quell::security
