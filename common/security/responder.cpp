#include "common/security/responder.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/issue.h"
#include "common/security/openssl.h"
#include "common/security/trust.h"

namespace quell::security {
namespace {

using RequestPtr = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
constexpr char kBundleName[] = "QUELL TRUST BUNDLE";

absl::Status BadRequest(std::string_view why) {
  return absl::InvalidArgumentError("reading a certificate request: " + std::string(why));
}

// The first block of this name; empty when there is none.
std::string BlockOf(std::string_view text, std::string_view name) {
  const BioPtr bio = ReadBio(text);
  std::string found;
  char* kind = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  while (found.empty() && PEM_read_bio(bio.get(), &kind, &header, &data, &size) == 1) {
    if (name == kind) found.assign(reinterpret_cast<char*>(data), static_cast<size_t>(size));
    OPENSSL_free(kind);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  return found;
}

absl::Status CheckName(const std::string& name) {
  if (IsPersonName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is no person's name here: 1 to 64 of a-z, 0-9 and -"));
}

// That hosts and the controller will know this authority for the responders'.
absl::Status CheckTrusted(const Authority& issuer, const v1::TrustBundle& bundle) {
  QUELL_ASSIGN_OR_RETURN(const std::string der, PemToDer(issuer.certificate_pem));
  const auto& known = bundle.responders_ca();
  if (std::find(known.begin(), known.end(), der) != known.end()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "responders-ca.crt is not in trust.bundle: nobody would accept what it issues");
}

}  // namespace

std::string RequestCertificate(const TlsKey& key, const std::string& name) {
  const auto own = KeyFromPem(key.ToPem().Reveal(), "");
  Require(own.ok(), "a key of ours cannot be read back");
  const RequestPtr request(X509_REQ_new());
  X509_REQ_set_version(request.get(), X509_REQ_VERSION_1);
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  Require(X509_REQ_set_pubkey(request.get(), own->get()) == 1 &&
              X509_REQ_sign(request.get(), own->get(), EVP_sha256()) > 0 &&
              PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1,
          "making a certificate request failed");
  return TakeBio(bio.get());
}

absl::StatusOr<std::string> PublicKeyOfRequest(std::string_view pem) {
  if (pem.size() > kLargestResponderFile) return BadRequest("it is too long");
  const BioPtr bio = ReadBio(pem);
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (request == nullptr) return BadRequest("it is none in PEM");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  const bool own = key != nullptr && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!own) return BadRequest("the key in it did not sign it");
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(key, &out);
  if (size <= 0) return BadRequest("its key cannot be read");
  std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  QUELL_RETURN_IF_ERROR(CheckPublicKey(der));
  return der;
}

std::string FormatPass(const ResponderPass& pass) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  const auto* bytes = reinterpret_cast<const unsigned char*>(pass.signed_bundle.data());
  Require(PEM_write_bio(bio.get(), kBundleName, "", bytes, static_cast<long>(pass.signed_bundle.size())) > 0,
          "encoding a trust bundle failed");
  return pass.certificate_pem + TakeBio(bio.get());
}

absl::StatusOr<ResponderPass> ParsePass(std::string_view text) {
  if (text.size() > kLargestResponderFile)
    return absl::InvalidArgumentError("reading a person's certificate: the file is too long");
  const std::string der = BlockOf(text, PEM_STRING_X509);
  ResponderPass pass;
  pass.signed_bundle = BlockOf(text, kBundleName);
  if (der.empty() || pass.signed_bundle.empty())
    return absl::InvalidArgumentError(
        "reading a person's certificate: this is not what `quell-controller responder issue` writes, a "
        "certificate and a trust bundle");
  QUELL_ASSIGN_OR_RETURN(pass.certificate_pem, DerToPem(der));
  return pass;
}

absl::StatusOr<std::string> PinOf(std::string_view signed_bundle) {
  v1::SignedTrustBundle parsed;
  if (!parsed.ParseFromArray(signed_bundle.data(), static_cast<int>(signed_bundle.size())))
    return absl::InvalidArgumentError("reading a trust bundle: it cannot be parsed");
  return HexEncode(Sha256(parsed.root_key()));
}

absl::StatusOr<ResponderPass> IssueResponder(const ResponderIssue& issue) {
  QUELL_RETURN_IF_ERROR(CheckName(issue.name));
  if (issue.life <= 0 || issue.life > kLongestResponderLife)
    return absl::InvalidArgumentError("a person's certificate is good for at most 30 days");
  QUELL_ASSIGN_OR_RETURN(const std::string key, PublicKeyOfRequest(issue.request));
  const std::string& in = issue.directory;
  QUELL_ASSIGN_OR_RETURN(
      const Authority issuer,
      LoadAuthority(in + "/responders-ca.key", in + "/responders-ca.crt", issue.passphrase.Reveal()));
  ResponderPass pass;
  QUELL_ASSIGN_OR_RETURN(pass.signed_bundle, RealDisk().Read(in + "/trust.bundle", kLargestResponderFile));
  QUELL_ASSIGN_OR_RETURN(const std::string pin, RealDisk().Read(in + "/root.pin", kLargestResponderFile));
  QUELL_ASSIGN_OR_RETURN(
      const v1::TrustBundle bundle,
      OpenTrustBundle(pass.signed_bundle, std::string(absl::StripAsciiWhitespace(pin)), issue.now));
  QUELL_RETURN_IF_ERROR(CheckTrusted(issuer, bundle));
  const CertificateSpec spec =
      PeerSpec(bundle.installation(), "responder", issue.name, issue.life, issue.now);
  QUELL_ASSIGN_OR_RETURN(pass.certificate_pem, IssueCertificate(spec, key, issuer));
  return pass;
}

}  // namespace quell::security
