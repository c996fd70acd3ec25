#include "controller/operator/responders.h"

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::operators {
namespace {

constexpr int kMostStreams = 16;
constexpr int kMostMetadata = 8 << 10;
constexpr size_t kMostMemory = 64 << 20;
constexpr int kHandshakeMillis = 5'000;
constexpr int kIdleMillis = 60'000;
constexpr int kAgeMillis = 600'000;
constexpr int kAgeGraceMillis = 30'000;  // as long as a call may take
constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;

void SetArguments(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostStreams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMostMetadata);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kAgeMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kAgeGraceMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kLargestOperatorRequest);
}

}  // namespace

// The log's word at this very call: whoever was revoked a moment ago is refused now.
absl::StatusOr<Caller> ResponderServer::WithRole(const Peer& peer) {
  const auto row = parts_.backend.Find("person", peer.id);
  if (absl::IsNotFound(row.status()))
    return absl::PermissionDeniedError(
        absl::StrCat(peer.id, " has no role here yet; an admin gives one: quell responder role ", peer.id,
                     " viewer|responder|approver|admin"));
  QUELL_RETURN_IF_ERROR(row.status());
  v1::Person person;
  if (!person.ParseFromString(row->message)) return absl::InternalError("a person's record cannot be read");
  if (person.revoked()) return absl::PermissionDeniedError(absl::StrCat(peer.id, " is revoked"));
  return Caller{
      .name = peer.id, .role = RoleOf(person.role()), .via = "certificate", .expires = peer.not_after};
}

absl::StatusOr<Caller> ResponderServer::CallerOfCall(const grpc::ServerContext& context) {
  const auto peer = security::PeerOfCall(context, "responder", *parts_.trust->Get(), parts_.clock.Wall());
  auto caller = peer.ok() ? WithRole(*peer) : absl::StatusOr<Caller>(peer.status());
  if (caller.ok()) return caller;
  refused_.fetch_add(1, std::memory_order_relaxed);
  LogWarning("refused a call from %s: %s", context.peer(), std::string(caller.status().message()));
  return caller;
}

absl::StatusOr<std::unique_ptr<ResponderServer>> ResponderServer::Start(const std::string& address,
                                                                        const security::TlsIdentity& identity,
                                                                        Parts parts) {
  std::unique_ptr<ResponderServer> out(new ResponderServer(std::move(parts)));
  ResponderServer& self = *out;
  self.service_ = std::make_unique<OperatorService>(
      self.parts_.backend,
      [&self](const grpc::ServerContext& context) { return self.CallerOfCall(context); });
  grpc::ResourceQuota quota("responders");
  quota.SetMaxThreads(kMostOperatorThreads);
  quota.Resize(kMostMemory);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  SetArguments(builder);
  builder.AddListeningPort(
      address,
      security::ListenerCredentials(identity, "responder", *self.parts_.trust->Get(), self.parts_.peer_seen),
      &self.port_);
  builder.RegisterService(self.service_.get());
  self.server_ = builder.BuildAndStart();
  if (self.server_ == nullptr || self.port_ == 0)
    return absl::UnavailableError(absl::StrCat("can't listen for responders on ", address));
  return out;
}

ResponderServer::~ResponderServer() {
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

}  // namespace quell::operators
