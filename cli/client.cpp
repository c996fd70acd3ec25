#include "cli/client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/synchronization/notification.h"
#include "common/base/status.h"

namespace quell::cli {
namespace {

constexpr int kCallSeconds = 30;
constexpr int kLargestReply = 64 << 20;

absl::Status FromGrpc(const grpc::Status& status, const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  std::string text = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
    text = "the controller at " + path + " cannot be reached: " + text;
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED && text == "Deadline Exceeded")
    text = "the controller at " + path + " did not answer in time; what was asked for may still be done";
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), text);
}

absl::Status MayOpen(const std::string& path) {
  if (access(path.c_str(), R_OK | W_OK) == 0) return absl::OkStatus();
  if (errno == EACCES)
    return absl::PermissionDeniedError("you may not use " + path + ": be root or the controller's own user");
  return absl::UnavailableError("the controller cannot be reached: " + path + ": " + std::strerror(errno));
}

absl::StatusOr<Json> Parse(const std::string& text) {
  if (text.empty()) return Json::object();
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return absl::InternalError("the controller's answer is no JSON");
  return json;
}

}  // namespace

struct Client::Impl {
  std::string path;
  std::shared_ptr<grpc::Channel> channel;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& socket_path) {
  QUELL_RETURN_IF_ERROR(MayOpen(socket_path));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestReply);
  // No name service and no proxy belongs between here and a socket of this machine.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  auto impl = std::make_unique<Impl>();
  impl->path = socket_path;
  impl->channel =
      grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(), arguments);
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

absl::Status Client::Call(const std::string& method, const google::protobuf::Message& request,
                          google::protobuf::Message& reply) {
  grpc::GenericStub stub(impl_->channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kCallSeconds));
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  absl::Notification done;
  grpc::Status status;
  stub.UnaryCall(&context, "/quell.v1.Operator/" + method, grpc::StubOptions(), &sent, &received,
                 [&](grpc::Status s) {
                   status = std::move(s);
                   done.Notify();
                 });
  done.WaitForNotification();
  if (!status.ok()) return FromGrpc(status, impl_->path);
  grpc::Slice reply_bytes;
  const bool whole = received.DumpToSingleSlice(&reply_bytes).ok() &&
                     reply.ParseFromArray(reply_bytes.begin(), static_cast<int>(reply_bytes.size()));
  return whole ? absl::OkStatus() : absl::InternalError("the controller's answer cannot be parsed");
}

absl::StatusOr<Json> Client::Read(const std::string& method, const google::protobuf::Message& request) {
  v1::Document reply;
  QUELL_RETURN_IF_ERROR(Call(method, request, reply));
  return Parse(reply.json());
}

absl::StatusOr<Acted> Client::Act(const std::string& method, const google::protobuf::Message& request) {
  v1::ActReply reply;
  QUELL_RETURN_IF_ERROR(Call(method, request, reply));
  Acted acted;
  acted.exit = static_cast<int>(reply.exit());
  acted.message = reply.message();
  QUELL_ASSIGN_OR_RETURN(acted.json, Parse(reply.json()));
  return acted;
}

}  // namespace quell::cli
