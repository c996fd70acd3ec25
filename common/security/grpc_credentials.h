// What gRPC's two ends show each other. A listener asks for a client certificate of its role's CA in the
// handshake (OpenSSL refuses what doesn't chain, is out of date or has the wrong purpose); role, name
// and revocation are asked in the handler, by PeerOfCall, so that the refusal reaches the peer as a status.
// The agent checks the controller's certificate wholly itself, so that it can say why it refused one.
//
// Reference for the settings: gRPC C++ 1.51.
#pragma once
#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/net.h"
#include "common/security/secret.h"
#include "common/security/trust.h"

namespace quell::security {

// First in main of every program that links gRPC, before anything touches it: TLS 1.3 only, no deadlock
// detection in absl's mutexes, gRPC's own log through ours. Calling it again does nothing.
void PrepareGrpcProcess();

// The bundle in force. Owned by main, outlives all credentials. Thread-safe.
class TrustHolder {
 public:
  explicit TrustHolder(v1::TrustBundle bundle)
      : bundle_(std::make_shared<const v1::TrustBundle>(std::move(bundle))) {}
  // Shared: a check keeps the bundle that it began with.
  std::shared_ptr<const v1::TrustBundle> Get() const;
  // As MayReplace says.
  absl::Status Replace(v1::TrustBundle bundle);

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<const v1::TrustBundle> bundle_ ABSL_GUARDED_BY(mutex_);
};

struct TlsIdentity {
  Secret key_pem;
  std::string certificate_pem;
};
// Reads both files and checks that they belong together: a pair that doesn't would refuse every handshake.
absl::StatusOr<TlsIdentity> LoadTlsIdentity(const std::string& key_path, const std::string& certificate_path);

// Called in the handshake with the peer's URI name, on a thread of gRPC's: what to write down as the last
// peer before a crash.
using PeerSeen = std::function<void(std::string_view uri)>;
// `role`: of those who are let in, "agent" or "responder".
std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(const TlsIdentity& own, std::string_view role,
                                                             const v1::TrustBundle& trust, PeerSeen seen);

// The PEM certificate that the caller showed; "" when it showed none.
std::string CertificateOfCall(const grpc::ServerContextBase& context);
// Who calls: certificate, role, revocation, dates. PermissionDenied with the reason; address filled.
absl::StatusOr<Peer> PeerOfCall(const grpc::ServerContextBase& context, std::string_view role,
                                const v1::TrustBundle& trust, Micros wall_now);

// What the agent's own check of the controllers' certificates found. Thread-safe.
class ServerCheck {
 public:
  void Record(absl::Status status);
  absl::Status last() const;  // of the newest handshake that came that far
  uint64_t refused() const;

 private:
  mutable absl::Mutex mutex_;
  absl::Status last_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

// For dialling `name` (a DNS name or an address, without port): the server must be a controller of this
// installation, made out for that name. The outcome of each check goes to `check` (shared: gRPC keeps the
// verifier as long as a connection lives).
std::shared_ptr<grpc::ChannelCredentials> ControllerChannelCredentials(const TlsIdentity& own,
                                                                       std::shared_ptr<TrustHolder> trust,
                                                                       std::string name, Clock& clock,
                                                                       std::shared_ptr<ServerCheck> check);

// One sentence for a connection that did not come about: what this end found wrong with the controller's
// certificate, else what is wrong with its own (which a controller refuses in the handshake without a word),
// else gRPC's text. `role`: this end's own.
std::string WhyNotConnected(const grpc::Status& status, const TlsIdentity& own, std::string_view role,
                            const v1::TrustBundle& trust, Micros wall_now, const ServerCheck& check);

// Handshakes that failed in this process, by OpenSSL's text; gRPC doesn't say from which address. At most 64
// texts, further ones are counted as "other". Thread-safe.
struct HandshakeFailures {
  std::map<std::string, uint64_t> by_reason;
  uint64_t total = 0;
  std::string last;  // newest reason
};
HandshakeFailures FailedHandshakes();

}  // namespace quell::security
