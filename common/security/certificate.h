// Certificates of TLS: ECDSA P-256 keys, one self-signed authority per role, leaves that it issues. TlsKey is
// owned by one program part; issuing is const and thread-safe.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/secret.h"

namespace quell::security {

class TlsKey {
 public:
  static TlsKey Generate();
  static absl::StatusOr<TlsKey> FromPem(std::string_view pem, std::string_view passphrase = "");
  Secret ToPem(std::string_view passphrase = "") const;
  std::string PublicDer() const;                                            // SubjectPublicKeyInfo
  std::string Sign(std::string_view context, std::string_view body) const;  // ECDSA with SHA-256, DER

  TlsKey(TlsKey&&) noexcept;
  TlsKey& operator=(TlsKey&&) noexcept;
  ~TlsKey();

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  explicit TlsKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct Authority {
  TlsKey key;
  std::string certificate_pem;
};

// What a certificate says. Dates are wall time, to the second.
struct CertificateSpec {
  std::string common_name;        // for people alone; nothing reads it
  std::vector<std::string> uris;  // as they stand, byte for byte
  std::vector<std::string> dns;
  std::vector<std::string> addresses;  // IPv4 or IPv6
  bool server_auth = false;
  bool client_auth = false;
  bool authority = false;  // may issue
  Micros not_before = 0;
  Micros not_after = 0;
};

// A self-signed authority.
absl::StatusOr<Authority> MakeAuthority(const std::string& common_name, Micros not_before, Micros not_after);
// A certificate for `subject`'s public key, PEM. Fails on an address that is none.
absl::StatusOr<std::string> IssueCertificate(const CertificateSpec& spec, const TlsKey& subject,
                                             const Authority& issuer);
// The same for a key that another has made: of what it sent, the public key alone is used. `subject_der` as
// CheckPublicKey wants it.
absl::StatusOr<std::string> IssueCertificate(const CertificateSpec& spec, std::string_view subject_der,
                                             const Authority& issuer);

// That this is one SubjectPublicKeyInfo of an ECDSA P-256 key and nothing else, in the encoding that every
// key has once (so that its hash names the key).
absl::Status CheckPublicKey(std::string_view subject_der);
// Whether TlsKey::Sign made this signature with the private half of `subject_der`.
bool VerifyTlsSignature(std::string_view subject_der, std::string_view context, std::string_view body,
                        std::string_view signature);

absl::StatusOr<std::string> PemToDer(std::string_view pem);
absl::StatusOr<std::string> DerToPem(std::string_view der);

// The certified key, as SubjectPublicKeyInfo.
absl::StatusOr<std::string> PublicKeyOf(std::string_view certificate_pem);
struct CertificateDates {
  Micros not_before = 0;  // wall time
  Micros not_after = 0;
};
absl::StatusOr<CertificateDates> DatesOf(std::string_view certificate_pem);

// That the key belongs to the certificate: a pair that does not match would refuse every handshake.
absl::Status CheckPair(std::string_view key_pem, std::string_view certificate_pem);

// That the certificate is made out for the name or address that is dialled (RFC 6125, no wildcards).
absl::Status CheckDialledName(std::string_view leaf_pem, std::string_view name);

}  // namespace quell::security
