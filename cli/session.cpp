#include "cli/session.h"

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

constexpr char kDefaultSocket[] = "/run/quell-controller/operator.sock";

}  // namespace

// The way to the controller, once: what was said comes before what the environment says, and that before the
// file.
absl::Status Session::Choose() {
  if (chosen_) return absl::OkStatus();
  if (!common_.socket.empty() && !common_.context.empty())
    return absl::InvalidArgumentError("--socket and --context: say one of them");
  socket_ = common_.socket;
  if (socket_.empty() && common_.context.empty()) socket_ = around_.environment("QUELL_SOCKET");
  if (socket_.empty()) {
    const std::string directory = ConfigDirectory(around_);
    QUELL_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts(directory));
    if (common_.context.empty() && contexts.current.empty()) {
      socket_ = kDefaultSocket;
    } else {
      QUELL_ASSIGN_OR_RETURN(context_, FindContext(directory, contexts, common_.context));
      QUELL_ASSIGN_OR_RETURN(identity_, LoadIdentity(context_, RealClock().Wall()));
    }
  }
  chosen_ = true;
  return absl::OkStatus();
}

absl::StatusOr<const Identity*> Session::identity() {
  QUELL_RETURN_IF_ERROR(Choose());
  return identity_ ? &*identity_ : nullptr;
}

absl::StatusOr<Client*> Session::controller() {
  QUELL_RETURN_IF_ERROR(Choose());
  if (client_ == nullptr) {
    QUELL_ASSIGN_OR_RETURN(
        client_, identity_ ? Client::Connect(context_.address, *identity_) : Client::Connect(socket_));
  }
  return client_.get();
}

ViewOptions Session::view_options() const {
  ViewOptions options;
  options.now = around_.now();
  options.zone = around_.zone;
  options.wide = common_.output == "wide";
  options.columns = around_.columns;
  options.lines = around_.lines;
  return options;
}

void Session::Say(const std::string& line) { err_ << text::Terminal(line) << "\n"; }

int Session::Fail(const absl::Status& status) {
  Say("quell: " + std::string(status.message()));
  return ExitOf(status);
}

void Session::Print(const Json& document, const View& view) {
  if (common_.output == "json")
    out_ << JsonText(document);
  else if (common_.output == "yaml")
    out_ << YamlText(document);
  else
    out_ << view(document, view_options());
}

int Session::Show(const std::string& method, const google::protobuf::Message& request, const View& view) {
  const auto client = controller();
  if (!client.ok()) return Fail(client.status());
  const auto document = (*client)->Read(method, request);
  if (!document.ok()) return Fail(document.status());
  Print(*document, view);
  return kDone;
}

int Session::Do(const std::string& method, const google::protobuf::Message& request) {
  const auto client = controller();
  if (!client.ok()) return Fail(client.status());
  const auto acted = (*client)->Act(method, request);
  if (!acted.ok()) return Fail(acted.status());
  if (!table()) Print(acted->json, FieldsView);
  Say(acted->message);
  return acted->exit;
}

}  // namespace quell::cli
