#include "agent/link/grpc_stream.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <utility>

#include "agent/link/address.h"
#include "agent/link/tls_probe.h"
#include "common/base/status.h"
#include "common/wire/limits.h"
#include "quell/v1/link.grpc.pb.h"

namespace quell::agent {
namespace {

constexpr size_t kInbox = 64;  // frames; when full, reading stops and the controller waits

// Thin: frames go from gRPC to a queue and back; what they mean is the session's business.
class GrpcStream final : public FrameStream,
                         public grpc::ClientBidiReactor<v1::AgentFrame, v1::ControllerFrame> {
 public:
  GrpcStream(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<security::ServerCheck> check,
             std::function<std::string()> probe)
      : channel_(std::move(channel)),
        stub_(v1::AgentLink::NewStub(channel_)),
        check_(std::move(check)),
        probe_(std::move(probe)) {
    stub_->async()->Stream(&context_, this);
    AddHold();  // writes come from outside of reactions
    StartRead(&incoming_);
    StartCall();
  }
  ~GrpcStream() override {
    context_.TryCancel();
    absl::MutexLock lock(&mutex_);
    Release();
    mutex_.Await(absl::Condition(&done_));
  }

  bool Write(const google::protobuf::MessageLite& frame) override {
    absl::MutexLock lock(&mutex_);
    if (!CanWrite()) return false;
    outgoing_.Clear();
    outgoing_.CheckTypeAndMergeFrom(frame);
    writing_ = true;
    StartWrite(&outgoing_);
    return true;
  }
  bool writable() override {
    absl::MutexLock lock(&mutex_);
    return CanWrite();
  }
  bool Read(google::protobuf::MessageLite* frame) override {
    absl::MutexLock lock(&mutex_);
    if (inbox_.empty()) return false;
    static_cast<v1::ControllerFrame*>(frame)->Swap(&inbox_.front());
    inbox_.pop_front();
    if (std::exchange(read_waits_, false) && holding_) StartRead(&incoming_);
    return true;
  }
  void Wait(Micros at_most) override {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&news_), absl::Microseconds(at_most));
    news_ = false;
  }
  void Wake() override {
    absl::MutexLock lock(&mutex_);
    news_ = true;
  }
  std::optional<absl::Status> ended() override {
    bool failed = false;
    {
      absl::MutexLock lock(&mutex_);
      if (!done_) return std::nullopt;
      failed = !status_.ok() && !explained_;
      explained_ = true;
    }
    // A refusal in the handshake reaches gRPC's callers as a lost connection: say what is behind it.
    if (failed) Explain();
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  void Finish() override {
    absl::MutexLock lock(&mutex_);
    if (finishing_ || !holding_) return;
    finishing_ = true;
    if (!writing_) StartWritesDone();
  }

  // ---- gRPC's reactions
  // -----------------------------------------------------------------------------------------
  void OnReadInitialMetadataDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    accepted_ = ok;
    news_ = true;
  }
  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    news_ = true;
    if (!ok) return Release();
    inbox_.emplace_back().Swap(&incoming_);
    incoming_.Clear();
    if (inbox_.size() < kInbox) {
      StartRead(&incoming_);
    } else {
      read_waits_ = true;
    }
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    news_ = true;
    if (ok && finishing_ && holding_) StartWritesDone();
  }
  void OnDone(const grpc::Status& status) override {
    absl::MutexLock lock(&mutex_);
    status_ = absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
    done_ = true;
    news_ = true;
  }

 private:
  bool CanWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return accepted_ && !writing_ && !finishing_ && holding_;
  }
  void Release() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(holding_, false)) RemoveHold();
  }
  void Explain() {
    std::string more;
    if (check_->refused() > 0) {
      more = absl::StrCat("this agent refuses the controller's certificate: ", check_->last().message());
    } else {
      absl::MutexLock lock(&mutex_);
      if (status_.code() != absl::StatusCode::kUnavailable || accepted_) return;
    }
    if (more.empty()) more = probe_();
    if (more.empty()) return;
    absl::MutexLock lock(&mutex_);
    status_ = absl::Status(status_.code(), absl::StrCat(more, " (gRPC: ", status_.message(), ")"));
  }

  grpc::ClientContext context_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::AgentLink::Stub> stub_;
  const std::shared_ptr<security::ServerCheck> check_;  // shared with the connection's verifier
  const std::function<std::string()> probe_;
  v1::ControllerFrame incoming_;  // gRPC's while a read is under way
  v1::AgentFrame outgoing_;       // gRPC's while writing_
  absl::Mutex mutex_;
  std::deque<v1::ControllerFrame> inbox_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool holding_ ABSL_GUARDED_BY(mutex_) = true;  // gRPC keeps the call open for operations of ours
  bool accepted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_waits_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool explained_ ABSL_GUARDED_BY(mutex_) = false;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
};

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, wire::kKeepaliveTimeMillis);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, wire::kKeepaliveTimeoutMillis);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // half of the CPU at low rates
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1'000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 30'000);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20'000);  // also how long one attempt to connect may take
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // nothing from the environment
  args.SetMaxReceiveMessageSize(static_cast<int>(wire::kMaxMessageBytes));
  args.SetMaxSendMessageSize(static_cast<int>(wire::kMaxMessageBytes));
  return args;
}

}  // namespace

GrpcDialer::GrpcDialer(std::function<security::TlsIdentity()> identity,
                       std::shared_ptr<security::TrustHolder> trust, Clock& clock)
    : identity_(std::move(identity)), trust_(std::move(trust)), clock_(clock) {}

absl::StatusOr<std::unique_ptr<FrameStream>> GrpcDialer::Dial(const std::string& address) {
  QUELL_ASSIGN_OR_RETURN(const std::string host, HostOfAddress(address));
  auto check = std::make_shared<security::ServerCheck>();
  auto credentials = security::ControllerChannelCredentials(identity_(), trust_, host, clock_, check);
  auto channel = grpc::CreateCustomChannel(address, credentials, Arguments());
  auto probe = [this, address] { return WhyRefused(address); };
  return std::unique_ptr<FrameStream>(new GrpcStream(std::move(channel), std::move(check), std::move(probe)));
}

// From our own look at our certificate where that suffices, else from what the handshake shows.
std::string GrpcDialer::WhyRefused(const std::string& address) {
  const security::TlsIdentity identity = identity_();
  const std::string seen = ProbeTlsAlert(address, identity, 2 * kSecond);
  if (seen.empty()) return seen;
  auto self = security::PeerFromCertificate(identity.certificate_pem, *trust_->Get(), clock_.Wall());
  if (self.ok()) return seen;
  return absl::StrCat(seen, "; this agent's own certificate: ", self.status().message());
}

}  // namespace quell::agent
