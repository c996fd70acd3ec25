// Owners for OpenSSL's objects and the few calls that several files of this room share. Internal to the room.
#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/security/secret.h"

namespace quell::security {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, Deleter<PKCS8_PRIV_KEY_INFO_free>>;
using SigPtr = std::unique_ptr<X509_SIG, Deleter<X509_SIG_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using UsagePtr = std::unique_ptr<EXTENDED_KEY_USAGE, Deleter<EXTENDED_KEY_USAGE_free>>;

// The newest text of OpenSSL's error queue, which is emptied.
std::string OpenSslError();

// A BIO that reads `bytes`, which must outlive it.
BioPtr ReadBio(std::string_view bytes);
// What was written to a memory BIO.
std::string TakeBio(BIO* bio);

// PKCS#8 PEM, encrypted (PBES2, PBKDF2-HMAC-SHA256 with 600,000 rounds, AES-256-CBC) when there is a
// passphrase.
Secret KeyToPem(EVP_PKEY* key, std::string_view passphrase);
absl::StatusOr<PkeyPtr> KeyFromPem(std::string_view pem, std::string_view passphrase);

// One certificate, the first of `pem`.
absl::StatusOr<X509Ptr> CertificateFromPem(std::string_view pem);
// One certificate that is the whole of `der`.
absl::StatusOr<X509Ptr> CertificateFromDer(std::string_view der);
std::string CertificateToPem(X509* certificate);
std::string CertificateToDer(X509* certificate);

}  // namespace quell::security
