#include "cli/client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/status.h"

namespace quell::cli {
namespace {

constexpr int kCallSeconds = 30;
constexpr int kLargestReply = 64 << 20;

absl::Status MayOpen(const std::string& path) {
  if (access(path.c_str(), R_OK | W_OK) == 0) return absl::OkStatus();
  if (errno == EACCES)
    return absl::PermissionDeniedError("you may not use " + path + ": be root or the controller's own user");
  return absl::UnavailableError("the controller cannot be reached: " + path + ": " + std::strerror(errno));
}

// "quell.example:7403" -> "quell.example"; "[::1]:7403" -> "::1".
absl::StatusOr<std::string> HostOf(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  const bool has_port = colon != std::string::npos && absl::SimpleAtoi(address.substr(colon + 1), &port) &&
                        port > 0 && port < 65536;
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (!has_port || host.empty())
    return absl::InvalidArgumentError("the context's address \"" + address + "\" is not HOST:PORT");
  return host;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestReply);
  // No proxy belongs between here and the controller.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

absl::StatusOr<Json> Parse(const std::string& text) {
  if (text.empty()) return Json::object();
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return absl::InternalError("the controller's answer is no JSON");
  return json;
}

}  // namespace

struct Client::Impl {
  std::string place;  // a path or an address
  std::shared_ptr<grpc::Channel> channel;
  std::optional<Identity> identity;               // of a call by TLS
  std::shared_ptr<security::ServerCheck> server;  // shared with the channel's verifier; null by the socket

  // Why the far end could not be spoken with.
  std::string Why(const grpc::Status& status) const {
    if (server == nullptr) return status.error_message();
    return security::WhyNotConnected(status, identity->tls, "responder", *identity->trust->Get(),
                                     RealClock().Wall(), *server);
  }
  absl::Status ToStatus(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    std::string text = status.error_message();
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE)
      text = "the controller at " + place + " cannot be reached: " + Why(status);
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED && text == "Deadline Exceeded")
      text = "the controller at " + place + " did not answer in time; what was asked for may still be done";
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), text);
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& socket_path) {
  QUELL_RETURN_IF_ERROR(MayOpen(socket_path));
  auto impl = std::make_unique<Impl>();
  impl->place = socket_path;
  impl->channel =
      grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(), Arguments());
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& address,
                                                        const Identity& identity) {
  QUELL_ASSIGN_OR_RETURN(const std::string host, HostOf(address));
  auto impl = std::make_unique<Impl>();
  impl->place = address;
  impl->identity = identity;
  impl->server = std::make_shared<security::ServerCheck>();
  impl->channel = grpc::CreateCustomChannel(
      "dns:///" + address,
      security::ControllerChannelCredentials(identity.tls, identity.trust, host, RealClock(), impl->server),
      Arguments());
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
  if (!status.ok()) return impl_->ToStatus(status);
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
