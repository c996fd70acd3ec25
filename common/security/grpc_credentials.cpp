#include "common/security/grpc_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "common/base/disk.h"
#include "common/base/status.h"
#include "common/security/certificate.h"

namespace quell::security {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::StaticDataCertificateProvider;
using grpc::experimental::TlsCustomVerificationCheckRequest;

constexpr uint64_t kLargestCertificate = 64 << 10;

std::string_view View(grpc::string_ref s) { return std::string_view(s.data(), s.size()); }

std::string AllPem(const google::protobuf::RepeatedPtrField<std::string>& authorities) {
  std::string all;
  for (const auto& der : authorities) {
    const auto pem = DerToPem(der);
    Require(pem.ok(), "a verified trust bundle holds a certificate that cannot be written");
    all += *pem;
  }
  return all;
}

// Writes down who comes; refuses nobody, because a refusal here would reach the peer without its reason.
class PeerRecorder final : public ExternalCertificateVerifier {
 public:
  explicit PeerRecorder(PeerSeen seen) : seen_(std::move(seen)) {}
  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const auto uris = request->uri_names();
    if (seen_) seen_(uris.empty() ? std::string_view() : View(uris.front()));
    *sync_status = grpc::Status::OK;
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  PeerSeen seen_;
};

class ControllerVerifier final : public ExternalCertificateVerifier {
 public:
  ControllerVerifier(std::shared_ptr<TrustHolder> trust, std::string name, Clock& clock,
                     std::shared_ptr<ServerCheck> check)
      : trust_(std::move(trust)), name_(std::move(name)), clock_(clock), check_(std::move(check)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const absl::Status status = Check(View(request->peer_cert()));
    check_->Record(status);
    *sync_status = status.ok()
                       ? grpc::Status::OK
                       : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(status.message()));
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  absl::Status Check(std::string_view leaf) const {
    const auto trust = trust_->Get();
    const Micros now = clock_.Wall();
    QUELL_ASSIGN_OR_RETURN(const Peer peer, PeerFromCertificate(leaf, *trust, now));
    QUELL_RETURN_IF_ERROR(IsAllowed(peer, "controller", *trust, now));
    return CheckDialledName(leaf, name_);
  }

  std::shared_ptr<TrustHolder> trust_;
  std::string name_;
  Clock& clock_;
  std::shared_ptr<ServerCheck> check_;
};

std::shared_ptr<StaticDataCertificateProvider> Provider(const TlsIdentity& own,
                                                        const std::string& authorities) {
  grpc::experimental::IdentityKeyCertPair pair;
  pair.private_key = own.key_pem.Reveal();
  pair.certificate_chain = own.certificate_pem;
  return std::make_shared<StaticDataCertificateProvider>(
      authorities, std::vector<grpc::experimental::IdentityKeyCertPair>{pair});
}

}  // namespace

std::shared_ptr<const v1::TrustBundle> TrustHolder::Get() const {
  absl::MutexLock lock(&mutex_);
  return bundle_;
}

absl::Status TrustHolder::Replace(v1::TrustBundle bundle) {
  absl::MutexLock lock(&mutex_);
  QUELL_RETURN_IF_ERROR(MayReplace(*bundle_, bundle));
  bundle_ = std::make_shared<const v1::TrustBundle>(std::move(bundle));
  return absl::OkStatus();
}

void ServerCheck::Record(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  if (!status.ok()) ++refused_;
  last_ = std::move(status);
}
absl::Status ServerCheck::last() const {
  absl::MutexLock lock(&mutex_);
  return last_;
}
uint64_t ServerCheck::refused() const {
  absl::MutexLock lock(&mutex_);
  return refused_;
}

absl::StatusOr<TlsIdentity> LoadTlsIdentity(const std::string& key_path,
                                            const std::string& certificate_path) {
  TlsIdentity own;
  QUELL_ASSIGN_OR_RETURN(own.key_pem, ReadSecretFile(key_path));
  QUELL_ASSIGN_OR_RETURN(own.certificate_pem, RealDisk().Read(certificate_path, kLargestCertificate));
  const absl::Status pair = CheckPair(own.key_pem.Reveal(), own.certificate_pem);
  if (!pair.ok()) return Annotate(pair, "loading " + key_path + " and " + certificate_path);
  return own;
}

std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(const TlsIdentity& own, std::string_view role,
                                                             const v1::TrustBundle& trust, PeerSeen seen) {
  Require(role == "agent" || role == "responder", "a listener is for agents or for responders");
  const auto& authorities = role == "agent" ? trust.agents_ca() : trust.responders_ca();
  grpc::experimental::TlsServerCredentialsOptions options(Provider(own, AllPem(authorities)));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<PeerRecorder>(std::move(seen)));
  return grpc::experimental::TlsServerCredentials(options);
}

std::string CertificateOfCall(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  const auto certificates = auth->FindPropertyValues("x509_pem_cert");
  return certificates.size() == 1 ? std::string(View(certificates.front())) : "";
}

absl::StatusOr<Peer> PeerOfCall(const grpc::ServerContextBase& context, std::string_view role,
                                const v1::TrustBundle& trust, Micros wall_now) {
  const std::string certificate = CertificateOfCall(context);
  if (certificate.empty()) return absl::PermissionDeniedError("the peer showed no certificate");
  QUELL_ASSIGN_OR_RETURN(Peer peer, PeerFromCertificate(certificate, trust, wall_now));
  peer.address = context.peer();
  QUELL_RETURN_IF_ERROR(IsAllowed(peer, role, trust, wall_now));
  return peer;
}

std::shared_ptr<grpc::ChannelCredentials> ControllerChannelCredentials(const TlsIdentity& own,
                                                                       std::shared_ptr<TrustHolder> trust,
                                                                       std::string name, Clock& clock,
                                                                       std::shared_ptr<ServerCheck> check) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Provider(own, AllPem(trust->Get()->controllers_ca())));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  // The verifier does all of it (authority, dates, purpose, role, name), so that each refusal has its
  // sentence; OpenSSL's own check would end the handshake before it with one text for all.
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<ControllerVerifier>(
      std::move(trust), std::move(name), clock, std::move(check)));
  return grpc::experimental::TlsCredentials(options);
}

std::string WhyNotConnected(const grpc::Status& status, const TlsIdentity& own, std::string_view role,
                            const v1::TrustBundle& trust, Micros wall_now, const ServerCheck& check) {
  const absl::Status server = check.last();
  if (!server.ok()) return absl::StrCat("this host refuses the controller: ", server.message());
  const auto self = PeerFromCertificate(own.certificate_pem, trust, wall_now);
  const absl::Status mine = self.ok() ? IsAllowed(*self, role, trust, wall_now) : self.status();
  if (!mine.ok())
    return absl::StrCat(role == "agent" ? "this host's own" : "your",
                        " certificate cannot be accepted: ", mine.message());
  return status.error_message();
}

}  // namespace quell::security
