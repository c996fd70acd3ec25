#include "controller/ingest/server.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <set>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "common/security/certificate.h"
#include "common/wire/limits.h"
#include "controller/ingest/stream.h"
#include "quell/v1/link.grpc.pb.h"

namespace quell::ingest {
namespace {

constexpr Micros kSweepEvery = kSecond;
constexpr Micros kRenewEvery = 10 * kSecond;  // of one stream; sooner is refused
constexpr Micros kSilent = 20 * kSecond;      // without a heartbeat: the host counts as lost long before

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// Streams that are open, for the sweep. Outlives them.
class OpenStreams;

// One call. gRPC owns it; it goes with OnDone. Raw bytes, so that a frame that does not parse is told apart
// from the stream's end.
class AgentStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public CallOperations {
 public:
  AgentStream(grpc::CallbackServerContext& context, const IngestOptions& options, IngestParts& parts,
              OpenStreams& open);

  // CallOperations.
  void BeginRead() override { StartRead(&incoming_); }
  void BeginWrite(const v1::ControllerFrame& frame) override;
  void BeginFinish(const absl::Status& status) override { Finish(ToGrpc(status)); }
  void Cancel() override { context_.TryCancel(); }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

  // Each second: is this peer still allowed, and does it still speak?
  void Sweep(Micros monotonic);

 private:
  absl::Status Admit();
  absl::StatusOr<HostRecord> Allowed();
  absl::Status TakeFrame();
  void RenewCertificate(const std::string& public_key);
  void EndBad(const absl::Status& status);
  void ReadAfter(Micros pause);

  grpc::CallbackServerContext& context_;
  const IngestOptions& options_;
  IngestParts& parts_;
  OpenStreams& open_;
  const std::shared_ptr<Outbox> outbox_;  // shared with the registry and a pause's alarm
  std::unique_ptr<AgentSession> session_;
  Peer peer_;
  // Until when its certificate is good, wall time. Shared with a renewal that is under way.
  const std::shared_ptr<std::atomic<Micros>> valid_until_ = std::make_shared<std::atomic<Micros>>(0);
  Micros renewed_ = 0;  // when it asked last; monotonic
  grpc::ByteBuffer incoming_, outgoing_;
  v1::AgentFrame frame_;  // reused: keeps its memory
  std::atomic<Micros> heard_{0};
  grpc::Alarm pause_;  // ends the pause of a stream over its budget; gone with it: cancelled
};

class OpenStreams {
 public:
  void Add(AgentStream* stream) {
    absl::MutexLock lock(&mutex_);
    streams_.insert(stream);
  }
  void Remove(AgentStream* stream) {
    absl::MutexLock lock(&mutex_);
    streams_.erase(stream);
  }
  void Sweep(Micros monotonic) {
    absl::MutexLock lock(&mutex_);
    for (AgentStream* stream : streams_) stream->Sweep(monotonic);
  }

 private:
  absl::Mutex mutex_;
  std::set<AgentStream*> streams_ ABSL_GUARDED_BY(mutex_);
};

AgentStream::AgentStream(grpc::CallbackServerContext& context, const IngestOptions& options,
                         IngestParts& parts, OpenStreams& open)
    : context_(context),
      options_(options),
      parts_(parts),
      open_(open),
      outbox_(std::make_shared<Outbox>(*this)) {
  heard_ = parts_.clock.Monotonic();
  absl::Status status = Admit();
  open_.Add(this);
  if (!status.ok()) {
    parts_.counters.refused.fetch_add(1);
    LogWarning("refused the stream from %s: %s", context_.peer(), std::string(status.message()));
    outbox_->End(status);
    return;
  }
  StartSendInitialMetadata();
  outbox_->Read();
}

absl::Status AgentStream::Admit() {
  const Micros wall = parts_.clock.Wall();
  QUELL_ASSIGN_OR_RETURN(peer_, security::PeerOfCall(context_, "agent", *parts_.trust->Get(), wall));
  *valid_until_ = peer_.not_after;
  absl::StatusOr<HostRecord> host = Allowed();
  if (!host.ok()) {
    const std::string why(host.status().message());
    parts_.shards.Of(peer_.id).Refused(HostRecord{peer_.id, "", {}}, why, parts_.engine_now());
    return absl::PermissionDeniedError(why);
  }
  session_ = std::make_unique<AgentSession>(*std::move(host), options_, parts_.shards, parts_.registry,
                                            parts_.counters);
  return absl::OkStatus();
}

absl::StatusOr<HostRecord> AgentStream::Allowed() {
  Peer peer = peer_;
  peer.not_after = *valid_until_;
  return IsAllowed(peer, parts_.hosts, *parts_.trust->Get(), parts_.clock.Wall());
}

// The key is that of this stream's own certificate: who holds it, has shown that in the handshake.
void AgentStream::RenewCertificate(const std::string& public_key) {
  const auto refuse = [this](std::string_view why) {
    LogWarning("the certificate of host %s is not renewed: %s", session_->host().name, std::string(why));
    v1::ControllerFrame frame;
    frame.set_renew_refused(std::string(why));
    outbox_->Send(std::move(frame));
  };
  const Micros now = parts_.clock.Monotonic();
  if (renewed_ != 0 && now - renewed_ < kRenewEvery) return refuse("it asks too often");
  renewed_ = now;
  const absl::StatusOr<HostRecord> host = Allowed();
  if (!host.ok()) return refuse(std::string(host.status().message()));
  const auto own = security::PublicKeyOf(security::CertificateOfCall(context_));
  if (!own.ok() || *own != public_key) return refuse("the key is not that of the stream's certificate");
  if (!parts_.renew) return refuse("this controller does not hold the agents' authority");
  parts_.renew(*host, public_key,
               [outbox = outbox_, until = valid_until_](absl::StatusOr<RenewedCertificate> made) {
                 v1::ControllerFrame frame;
                 if (made.ok()) {
                   *until = made->not_after;
                   frame.set_certificate(made->der);
                 } else {
                   frame.set_renew_refused(std::string(made.status().message()));
                 }
                 outbox->Send(std::move(frame));
               });
}

void AgentStream::BeginWrite(const v1::ControllerFrame& frame) {
  bool own = false;
  outgoing_.Clear();
  grpc::Status status = grpc::SerializationTraits<v1::ControllerFrame>::Serialize(frame, &outgoing_, &own);
  Require(status.ok(), "a frame of ours serialises");
  StartWrite(&outgoing_);
}

void AgentStream::OnWriteDone(bool ok) {
  if (ok) outbox_->Written();
}

absl::Status AgentStream::TakeFrame() {
  const size_t bytes = incoming_.Length();
  const Micros now = parts_.engine_now();
  grpc::ProtoBufferReader reader(&incoming_);
  const bool parsed = reader.status().ok() && frame_.ParseFromZeroCopyStream(&reader);
  if (!parsed) return absl::InvalidArgumentError("what came is not a frame of this protocol");
  if (frame_.has_heartbeat()) {
    heard_ = parts_.clock.Monotonic();
    QUELL_RETURN_IF_ERROR(Allowed().status());
  }
  QUELL_RETURN_IF_ERROR(session_->OnFrame(frame_, bytes, now, outbox_));
  if (!frame_.renew_key().empty()) RenewCertificate(frame_.renew_key());
  return absl::OkStatus();
}

void AgentStream::EndBad(const absl::Status& status) {
  parts_.counters.ended_bad.fetch_add(1);
  LogWarning("ended the stream of host %s (%s): %s", session_->host().name, peer_.address,
             std::string(status.message()));
  outbox_->End(status);
}

// An agent over its budget of bytes is read again later; until then its own spool holds what it has.
void AgentStream::ReadAfter(Micros pause) {
  pause_.Set(std::chrono::system_clock::now() + std::chrono::microseconds(pause),
             [outbox = outbox_](bool due) {
               if (due) outbox->Read();
             });
}

void AgentStream::OnReadDone(bool ok) {
  if (!ok) return outbox_->End(absl::OkStatus());
  absl::Status status = TakeFrame();
  incoming_.Clear();
  if (!status.ok()) return EndBad(status);
  const Micros pause = session_->TakePause();
  if (pause > 0) return ReadAfter(pause);
  outbox_->Read();
}

void AgentStream::OnDone() {
  open_.Remove(this);
  outbox_->Detach();
  if (session_ != nullptr) session_->OnEnd(parts_.engine_now());
  delete this;
}

void AgentStream::Sweep(Micros monotonic) {
  outbox_->CancelIfStuck(monotonic);
  if (session_ == nullptr || outbox_->ending()) return;
  absl::Status status = Allowed().status();
  if (status.ok() && monotonic - heard_ > kSilent)
    status = absl::DeadlineExceededError(absl::StrCat("no heartbeat for ", FormatDuration(kSilent)));
  if (!status.ok()) EndBad(status);
}

class Service final : public v1::AgentLink::WithRawCallbackMethod_Stream<v1::AgentLink::Service> {
 public:
  Service(const IngestOptions& options, IngestParts& parts, OpenStreams& open)
      : options_(options), parts_(parts), open_(open) {}
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Stream(
      grpc::CallbackServerContext* context) override {
    return new AgentStream(*context, options_, parts_, open_);
  }

 private:
  const IngestOptions& options_;
  IngestParts& parts_;
  OpenStreams& open_;
};

void SetArguments(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, wire::kKeepaliveTimeMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, wire::kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Below the agents' own interval, or their pings would count as abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             wire::kKeepaliveTimeMillis / 2);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(static_cast<int>(wire::kMaxMessageBytes));
}

}  // namespace

class IngestServer::Impl {
 public:
  Impl(IngestOptions options, IngestParts parts)
      : options_(std::move(options)), parts_(std::move(parts)), service_(options_, parts_, open_) {}

  absl::Status Start(const std::string& address, const security::TlsIdentity& identity) {
    grpc::ServerBuilder builder;
    SetArguments(builder);
    builder.AddListeningPort(
        address, security::ListenerCredentials(identity, "agent", *parts_.trust->Get(), parts_.peer_seen),
        &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0)
      return absl::UnavailableError(absl::StrCat("can't listen for agents on ", address));
    sweeper_ = NamedThread("ingest-sweep", [this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    sweeper_.Join();
    if (server_ == nullptr) return;
    parts_.registry.EndAll(absl::UnavailableError("the controller stops"));
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_->Wait();
    server_.reset();
  }

  int port() const { return port_; }

 private:
  void Run() {
    absl::MutexLock lock(&mutex_);
    while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Microseconds(kSweepEvery))) {
      mutex_.Unlock();
      open_.Sweep(parts_.clock.Monotonic());
      mutex_.Lock();
    }
  }

  const IngestOptions options_;
  IngestParts parts_;
  OpenStreams open_;
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  NamedThread sweeper_;
};

IngestServer::IngestServer(IngestOptions options, IngestParts parts)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(parts))) {}
IngestServer::~IngestServer() { Stop(); }
absl::Status IngestServer::Start(const std::string& address, const security::TlsIdentity& identity) {
  return impl_->Start(address, identity);
}
int IngestServer::port() const { return impl_->port(); }
void IngestServer::Stop() { impl_->Stop(); }

}  // namespace quell::ingest
