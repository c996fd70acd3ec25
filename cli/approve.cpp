#include "cli/approve.h"

#include <google/protobuf/text_format.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/time.h"
#include "common/security/approval.h"
#include "controller/policy/bind.h"

namespace quell::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

void Line(std::vector<std::string>& lines, const std::string& name, const std::string& value) {
  const size_t gap = name.size() < 12 ? 12 - name.size() : 1;
  lines.push_back(absl::StrCat("  ", name, std::string(gap, ' '), value));
}

// Every field that is set: in the form of a text, so that nothing in it hides.
void Fields(const Message& message, std::vector<std::string>& lines) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      std::string value;
      printer.PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &value);
      Line(lines, field->name(), value);
    }
  }
}

struct Shown {
  Json described;
  std::string bytes;
  v1::Intent intent;
};

absl::StatusOr<Shown> Fetch(Client& client, const std::string& name) {
  v1::DescribeRequest request;
  request.set_kind("command");
  request.set_name(name);
  QUELL_ASSIGN_OR_RETURN(const Json described, client.Read("Describe", request));
  if (Text(described, "state") != "awaiting_approval" || Text(described, "intent").empty())
    return absl::FailedPreconditionError(absl::StrCat(name, " does not wait for approval"));
  Shown shown;
  shown.described = described;
  QUELL_ASSIGN_OR_RETURN(shown.bytes, HexDecode(Text(described, "intent")));
  QUELL_ASSIGN_OR_RETURN(shown.intent, security::ParseIntent(shown.bytes));
  return shown;
}

absl::Status Ask(Session& session, const std::string& question) {
  const auto& answer = session.around().answer;
  session.Say(question);
  const std::optional<std::string> said = answer ? answer() : std::nullopt;
  if (!said)
    return absl::InvalidArgumentError(
        "there is no terminal to ask on; with --yes what is shown is signed unasked");
  return *said == "yes" ? absl::OkStatus() : absl::CancelledError("nothing was signed");
}

// Who asked for it signs as such; anybody else approves.
absl::StatusOr<Acted> Signed(Session& session, Client& client, const Identity& self,
                             const ApproveOptions& options) {
  QUELL_ASSIGN_OR_RETURN(const Shown shown, Fetch(client, options.command));
  // Where two are wanted who asked for it is one of them; elsewhere their signature is worth nothing.
  const bool own = shown.intent.requested_by() == "person:" + self.person;
  if (own && !WaitsForRequester(shown.described, self.person))
    return absl::PermissionDeniedError(absl::StrCat(options.command, " is not approved by who asked for it"));
  session.Say(absl::StrCat(self.person, " signs:"));
  for (const std::string& line : IntentLines(shown.intent)) session.Say(line);
  if (!options.yes) QUELL_RETURN_IF_ERROR(Ask(session, "sign this? yes, or anything else for no"));
  QUELL_ASSIGN_OR_RETURN(const security::TlsKey key, security::TlsKey::FromPem(self.tls.key_pem.Reveal()));
  v1::CommandAct request;
  request.set_command(HexEncode(shown.intent.id()));
  request.set_why(options.why);
  QUELL_ASSIGN_OR_RETURN(*request.mutable_approval(),
                         security::SignApproval(shown.bytes, self.person, key, self.tls.certificate_pem));
  return client.Act(own ? "Sign" : "Approve", request);
}

absl::StatusOr<Acted> Unsigned(Client& client, const ApproveOptions& options) {
  v1::CommandAct request;
  request.set_command(options.command);
  request.set_why(options.why);
  return client.Act("Approve", request);
}

}  // namespace

std::vector<std::string> IntentLines(const v1::Intent& intent) {
  std::vector<std::string> lines;
  Line(lines, "action", policy::ActionName(intent.action()));
  if (const Message* body = policy::ActionBody(intent.action())) Fields(*body, lines);
  for (const std::string& host : intent.host_ids()) Line(lines, "host", host);
  if (!intent.cause().empty()) Line(lines, "incident", intent.cause());
  Line(lines, "asked by", intent.requested_by());
  for (const std::string& evidence : intent.evidence()) Line(lines, "evidence", evidence);
  Line(lines, "good until", FormatRfc3339(intent.expires_us()));
  Line(lines, "id", HexEncode(intent.id()));
  return lines;
}

// What the host asks for stands in its reason, in the words of its sanctions.
bool WaitsForRequester(const Json& described, const std::string& person) {
  if (Text(described, "state") != "awaiting_approval" ||
      Text(described, "requested_by") != "person:" + person)
    return false;
  for (const auto& approval : described.value("approvals", Json::array()))
    if (Text(approval, "person") == "person:" + person && approval.value("signed", false)) return false;
  return absl::StrContains(Text(described, "reason"), "approval: two");
}

int Approve(Session& session, const ApproveOptions& options) {
  const auto client = session.controller();
  if (!client.ok()) return session.Fail(client.status());
  const auto self = session.identity();
  if (!self.ok()) return session.Fail(self.status());
  const auto acted =
      *self == nullptr ? Unsigned(**client, options) : Signed(session, **client, **self, options);
  if (!acted.ok()) return session.Fail(acted.status());
  if (!session.table()) session.Print(acted->json, FieldsView);
  session.Say(acted->message);
  return acted->exit;
}

}  // namespace quell::cli
