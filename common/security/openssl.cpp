#include "common/security/openssl.h"

#include <algorithm>
#include <cstring>

#include "common/base/status.h"

namespace quell::security {
namespace {

constexpr int kPassphraseRounds = 600'000;

int PassphraseCallback(char* buffer, int size, int /*writing*/, void* user) {
  const auto* passphrase = static_cast<const std::string_view*>(user);
  if (passphrase->empty() || passphrase->size() > static_cast<size_t>(size)) return -1;
  std::memcpy(buffer, passphrase->data(), passphrase->size());
  return static_cast<int>(passphrase->size());
}

}  // namespace

std::string OpenSslError() {
  unsigned long code = 0;
  unsigned long newest = 0;
  while ((code = ERR_get_error()) != 0) newest = code;
  if (newest == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(newest);
  return reason != nullptr ? reason : "error " + std::to_string(newest);
}

BioPtr ReadBio(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string TakeBio(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(std::max(size, 0L)));
}

Secret KeyToPem(EVP_PKEY* key, std::string_view passphrase) {
  BioPtr bio(BIO_new(BIO_s_secmem()));
  Pkcs8Ptr plain(EVP_PKEY2PKCS8(key));
  Require(bio != nullptr && plain != nullptr, "encoding a private key failed");
  if (passphrase.empty()) {
    Require(PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio.get(), plain.get()) == 1, "encoding a private key failed");
  } else {
    SigPtr sealed(PKCS8_encrypt(-1, EVP_aes_256_cbc(), passphrase.data(), static_cast<int>(passphrase.size()),
                                nullptr, 16, kPassphraseRounds, plain.get()));
    Require(sealed != nullptr && PEM_write_bio_PKCS8(bio.get(), sealed.get()) == 1,
            "encrypting a private key failed");
  }
  return Secret(TakeBio(bio.get()));
}

absl::StatusOr<PkeyPtr> KeyFromPem(std::string_view pem, std::string_view passphrase) {
  BioPtr bio = ReadBio(pem);
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, PassphraseCallback, &passphrase));
  if (key == nullptr) {
    const std::string why = OpenSslError();
    const bool sealed = pem.find("ENCRYPTED PRIVATE KEY") != std::string_view::npos;
    if (sealed && passphrase.empty())
      return absl::InvalidArgumentError("reading a private key: it is encrypted and no passphrase was given");
    return absl::InvalidArgumentError(absl::StrCat(
        "reading a private key: ", sealed ? "wrong passphrase, or the file is damaged" : "no PEM key", " (",
        why, ")"));
  }
  return key;
}

absl::StatusOr<X509Ptr> CertificateFromPem(std::string_view pem) {
  BioPtr bio = ReadBio(pem);
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("reading a certificate: no PEM certificate (", OpenSslError(), ")"));
  return certificate;
}

absl::StatusOr<X509Ptr> CertificateFromDer(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* end = at + der.size();
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("reading a certificate: no DER certificate (", OpenSslError(), ")"));
  if (at != end) return absl::InvalidArgumentError("reading a certificate: bytes follow the DER certificate");
  return certificate;
}

std::string CertificateToPem(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(bio.get(), certificate) == 1, "encoding a certificate failed");
  return TakeBio(bio.get());
}

std::string CertificateToDer(X509* certificate) {
  unsigned char* out = nullptr;
  const int size = i2d_X509(certificate, &out);
  Require(size > 0, "encoding a certificate failed");
  std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  return der;
}

}  // namespace quell::security
