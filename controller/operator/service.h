// The operator service: role first, then references, then either a document made of rows or an act that the
// engine answers. Owned by OperatorServer or ResponderServer; gRPC's threads call it (at most 32 at a time).
#pragma once
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "controller/operator/backend.h"
#include "controller/operator/json.h"
#include "controller/operator/roles.h"
#include "controller/operator/socket.h"
#include "quell/v1/operator.grpc.pb.h"

namespace quell::operators {

// Who is at the far end of a call; PermissionDenied with a sentence when it is nobody who may ask anything.
using CallerOf = std::function<absl::StatusOr<Caller>(const grpc::ServerContext& context)>;
// Of one listener. Messages of more than that end their call.
inline constexpr int kMostOperatorThreads = 32;
inline constexpr int kLargestOperatorRequest = 256 << 10;

class OperatorService final : public v1::Operator::Service {
 public:
  OperatorService(OperatorBackend& backend, CallerOf caller_of)
      : backend_(backend), caller_of_(std::move(caller_of)) {}

  using Context = grpc::ServerContext;
  grpc::Status Status(Context* c, const v1::StatusRequest* in, v1::Document* out) override;
  grpc::Status Get(Context* c, const v1::GetRequest* in, v1::Document* out) override;
  grpc::Status Describe(Context* c, const v1::DescribeRequest* in, v1::Document* out) override;
  grpc::Status Explain(Context* c, const v1::ExplainRequest* in, v1::Document* out) override;
  grpc::Status Evidence(Context* c, const v1::EvidenceRequest* in, v1::Document* out) override;
  grpc::Status Draft(Context* c, const v1::DraftRequest* in, v1::Document* out) override;
  grpc::Status Query(Context* c, const v1::QueryRequest* in, v1::Document* out) override;
  grpc::Status WhoAmI(Context* c, const v1::WhoAmIRequest* in, v1::Document* out) override;
  grpc::Status Version(Context* c, const v1::VersionRequest* in, v1::Document* out) override;
  grpc::Status AuditVerify(Context* c, const v1::AuditVerifyRequest* in, v1::Document* out) override;
  grpc::Status Declare(Context* c, const v1::Declare* in, v1::ActReply* out) override;
  grpc::Status Acknowledge(Context* c, const v1::IncidentAct* in, v1::ActReply* out) override;
  grpc::Status Take(Context* c, const v1::IncidentAct* in, v1::ActReply* out) override;
  grpc::Status AddNote(Context* c, const v1::IncidentAct* in, v1::ActReply* out) override;
  grpc::Status Resolve(Context* c, const v1::ResolveAct* in, v1::ActReply* out) override;
  grpc::Status Run(Context* c, const v1::RunRequest* in, v1::ActReply* out) override;
  grpc::Status Approve(Context* c, const v1::CommandAct* in, v1::ActReply* out) override;
  grpc::Status Sign(Context* c, const v1::CommandAct* in, v1::ActReply* out) override;
  grpc::Status Deny(Context* c, const v1::CommandAct* in, v1::ActReply* out) override;
  grpc::Status SetHold(Context* c, const v1::HoldRequest* in, v1::ActReply* out) override;
  grpc::Status EndHold(Context* c, const v1::EndHold* in, v1::ActReply* out) override;
  grpc::Status StartChange(Context* c, const v1::ChangeRequest* in, v1::ActReply* out) override;
  grpc::Status FinishChange(Context* c, const v1::ChangeFinish* in, v1::ActReply* out) override;
  grpc::Status TestNotice(Context* c, const v1::NotifyTest* in, v1::ActReply* out) override;
  grpc::Status MakeToken(Context* c, const v1::TokenRequest* in, v1::ActReply* out) override;
  grpc::Status RevokeToken(Context* c, const v1::TokenRevoke* in, v1::ActReply* out) override;
  grpc::Status RevokeAgent(Context* c, const v1::AgentAct* in, v1::ActReply* out) override;
  grpc::Status DeleteAgent(Context* c, const v1::AgentAct* in, v1::ActReply* out) override;
  grpc::Status LabelAgent(Context* c, const v1::AgentLabels* in, v1::ActReply* out) override;
  grpc::Status SetResponder(Context* c, const v1::ResponderRole* in, v1::ActReply* out) override;
  grpc::Status RevokeResponder(Context* c, const v1::PersonRevoke* in, v1::ActReply* out) override;

 private:
  using MakeDocument = std::function<absl::StatusOr<Json>(const Caller&)>;
  // What a decision is about: a command or a plan.
  struct Decided {
    std::string name;  // as people typed it
    std::string requested_by;
    std::string intent;
    bool plan = false;
  };
  using FillAct = std::function<absl::Status(const Caller&, v1::PersonAct&)>;

  absl::StatusOr<Caller> Admit(Context* context, std::string_view method) const;
  grpc::Status Read(Context* context, std::string_view method, v1::Document* out, const MakeDocument& make);
  grpc::Status Act(Context* context, std::string_view method, v1::ActReply* out, const FillAct& fill);
  absl::Status FillIncident(const v1::IncidentAct& in, v1::IncidentAct* out, size_t longest);
  absl::Status FillRun(const Caller& caller, const v1::RunRequest& in, v1::RunAct* out);
  absl::Status FillTargets(const v1::RunRequest& in, v1::RunAct* out);
  absl::StatusOr<Decided> FillDecision(const v1::CommandAct& in, v1::CommandAct* out);
  absl::Status FillApproval(const Caller& caller, const v1::CommandAct& in, const Decided& about,
                            v1::CommandAct* out);
  absl::StatusOr<v1::Host> FindHost(const std::string& name);
  absl::Status FillAgent(const v1::AgentAct& in, v1::AgentAct* out);
  absl::StatusOr<Json> Entity(const engine::Answer& answer);

  OperatorBackend& backend_;
  CallerOf caller_of_;
};

// Socket, server and service together. Owned by main; the backend outlives it.
class OperatorServer {
 public:
  static absl::StatusOr<std::unique_ptr<OperatorServer>> Start(const std::string& socket_path,
                                                               OperatorBackend& backend);
  ~OperatorServer();
  uint64_t refused() const { return socket_->refused(); }
  uint64_t waits() const { return socket_->waits(); }

 private:
  OperatorServer() = default;
  std::unique_ptr<OperatorSocket> socket_;
  std::unique_ptr<OperatorService> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace quell::operators
