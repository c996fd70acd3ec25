#include "cli/session.h"

#include "common/base/status.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

constexpr char kDefaultSocket[] = "/run/quell-controller/operator.sock";

}  // namespace

absl::StatusOr<Client*> Session::controller() {
  if (client_ == nullptr) {
    std::string path = common_.socket;
    if (path.empty()) path = around_.environment("QUELL_SOCKET");
    if (path.empty()) path = kDefaultSocket;
    QUELL_ASSIGN_OR_RETURN(client_, Client::Connect(path));
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
