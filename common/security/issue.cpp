#include "common/security/issue.h"

#include "common/base/disk.h"
#include "common/base/status.h"

namespace quell::security {
namespace {

constexpr uint64_t kLargestCertificate = 64 << 10;

}  // namespace

std::string PeerUri(const std::string& installation, std::string_view role, const std::string& id) {
  return "spiffe://" + installation + "/" + std::string(role) + "/" + id;
}

CertificateSpec PeerSpec(const std::string& installation, std::string_view role, const std::string& id,
                         Micros life, Micros now) {
  CertificateSpec spec;
  spec.common_name = std::string(role) + " " + id;
  spec.uris = {PeerUri(installation, role, id)};
  spec.client_auth = true;
  spec.server_auth = role == "controller";
  spec.not_before = now - kClockLeeway;
  spec.not_after = now + life;
  return spec;
}

absl::StatusOr<Authority> LoadAuthority(const std::string& key_path, const std::string& certificate_path,
                                        std::string_view passphrase) {
  QUELL_ASSIGN_OR_RETURN(const Secret pem, ReadSecretFile(key_path));
  auto key = TlsKey::FromPem(pem.Reveal(), passphrase);
  if (!key.ok()) return Annotate(key.status(), "loading " + key_path);
  QUELL_ASSIGN_OR_RETURN(std::string certificate, RealDisk().Read(certificate_path, kLargestCertificate));
  const absl::Status pair = CheckPair(key->ToPem().Reveal(), certificate);
  if (!pair.ok()) return Annotate(pair, "loading " + key_path + " and " + certificate_path);
  return Authority{*std::move(key), std::move(certificate)};
}

}  // namespace quell::security
