#include "controller/operator/service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/security/approval.h"
#include "common/security/join_token.h"
#include "controller/catalogue/match.h"
#include "controller/operator/documents.h"
#include "controller/operator/evidence.h"
#include "controller/operator/plans.h"
#include "controller/operator/references.h"
#include "controller/operator/services.h"
#include "controller/policy/bind.h"

namespace quell::operators {
namespace {

constexpr absl::Duration kActTime = absl::Seconds(10);
constexpr size_t kLongestTitle = 200;
constexpr size_t kLongestText = 4000;
constexpr Micros kLongestTime = 3660 * kDay;  // of a hold, a change or a token
constexpr size_t kLongestExpression = 16 << 10;
constexpr char kSocket[] = "socket";  // how a caller of the controller's own host comes

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status TooLong(const std::string& text, size_t longest, std::string_view what) {
  if (text.size() <= longest) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(absl::string_view(what.data(), what.size()), " is longer than ", longest, " bytes"));
}

absl::Status CheckTime(Micros time, std::string_view what) {
  if (time >= 0 && time <= kLongestTime) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(absl::string_view(what.data(), what.size()), " is negative or longer than ten years"));
}

// By its name, or by "USER/NAME".
bool HasApp(const v1::Host& host, const std::string& wanted) {
  return std::any_of(host.apps().begin(), host.apps().end(), [&](const std::string& app) {
    return app == wanted || app.substr(app.find('/') + 1) == wanted;
  });
}

// An app of a component, on a host that its selector takes.
bool HasComponentOf(const v1::Host& host, const catalogue::Service& service) {
  const std::map<std::string, std::string> labels(host.labels().begin(), host.labels().end());
  return std::any_of(service.components.begin(), service.components.end(), [&](const auto& component) {
    return component.kind == catalogue::Kind::kPm2 && catalogue::Selects(component.hosts, labels) &&
           HasApp(host, component.user.empty() ? component.app : component.user + "/" + component.app);
  });
}

// A service of the catalogue; else an app is a service of its own.
bool HasService(const v1::Host& host, const std::string& service, const catalogue::Catalogue* catalogue) {
  if (service.empty()) return true;
  if (catalogue != nullptr) {
    for (const catalogue::Service& one : catalogue->services) {
      if (one.name == service) return HasComponentOf(host, one);
    }
  }
  return HasApp(host, service);
}

bool HasLabels(const v1::Host& host, const google::protobuf::Map<std::string, std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
    const auto found = host.labels().find(pair.first);
    return found != host.labels().end() && found->second == pair.second;
  });
}

}  // namespace

absl::StatusOr<Caller> OperatorService::Admit(Context* context, std::string_view method) const {
  QUELL_ASSIGN_OR_RETURN(Caller caller, caller_of_(*context));
  QUELL_RETURN_IF_ERROR(Authorise(caller, method));
  return caller;
}

grpc::Status OperatorService::Read(Context* context, std::string_view method, v1::Document* out,
                                   const MakeDocument& make) {
  const auto caller = Admit(context, method);
  if (!caller.ok()) return ToGrpc(caller.status());
  const auto json = make(*caller);
  if (!json.ok()) return ToGrpc(json.status());
  out->set_json(Dump(*json));
  return grpc::Status::OK;
}

// What came of an act, as its entity stands after the commit.
absl::StatusOr<Json> OperatorService::Entity(const engine::Answer& answer) {
  if (answer.kind == "incident") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("incident", answer.id));
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ParseIncident(row));
    return FullIncident(backend_, incident, false);
  }
  if (answer.kind == "command") {
    Json commands = Json::array();
    for (const std::string& id :
         std::vector<std::string>(absl::StrSplit(answer.id, ',', absl::SkipEmpty()))) {
      QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("command", id));
      QUELL_ASSIGN_OR_RETURN(const v1::CommandEntry command, ParseCommand(row));
      commands.push_back(FullCommand(backend_, command));
    }
    return Json{{"commands", std::move(commands)}};
  }
  if (answer.kind == "plan") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("plan", answer.id));
    QUELL_ASSIGN_OR_RETURN(const v1::Plan plan, ParsePlan(row));
    QUELL_ASSIGN_OR_RETURN(Json json, FullPlan(backend_, plan));
    return Json{{"plan", std::move(json)}};
  }
  if (answer.kind == "hold") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("hold", answer.id));
    v1::Hold hold;
    if (hold.ParseFromString(row.message)) return HoldJson(hold);
  }
  if (answer.kind == "change") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("change", answer.id));
    v1::Change change;
    if (change.ParseFromString(row.message)) return ChangeJson(change, backend_.Now());
  }
  if (answer.kind == "host") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("host", answer.id));
    v1::Host host;
    if (host.ParseFromString(row.message)) return HostJson(host);
  }
  if (answer.kind == "token") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("token", answer.id));
    v1::JoinToken token;
    if (token.ParseFromString(row.message)) return TokenJson(token);
  }
  if (answer.kind == "person") {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("person", answer.id));
    v1::Person person;
    if (person.ParseFromString(row.message)) return PersonJson(person);
  }
  if (answer.kind == "notice") {
    Json notices = Json::array();
    for (const std::string& id :
         std::vector<std::string>(absl::StrSplit(answer.id, ',', absl::SkipEmpty()))) {
      QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend_.Find("notice", id));
      v1::Notice notice;
      if (notice.ParseFromString(row.message)) notices.push_back(NoticeJson(notice));
    }
    return Json{{"notices", std::move(notices)}};
  }
  return Json::object();
}

grpc::Status OperatorService::Act(Context* context, std::string_view method, v1::ActReply* out,
                                  const FillAct& fill) {
  const auto caller = Admit(context, method);
  if (!caller.ok()) return ToGrpc(caller.status());
  v1::PersonAct act;
  act.set_person(caller->name);
  act.set_via(caller->via);
  act.set_role(std::string(RoleName(caller->role)));
  act.set_break_glass(caller->via == "socket");
  if (const absl::Status filled = fill(*caller, act); !filled.ok()) return ToGrpc(filled);
  if (act.break_glass())
    LogInfo("%s, by the operators' socket: %s", caller->name,
            std::string(method.substr(method.rfind('/') + 1)));
  const auto answer = backend_.Submit(std::move(act), kActTime);
  if (!answer.ok()) return ToGrpc(answer.status());
  out->set_exit(answer->exit);
  out->set_message(answer->message);
  // The act is done even where its entity cannot be shown.
  const auto entity = Entity(*answer);
  out->set_json(Dump(entity.ok() ? *entity : Json::object()));
  return grpc::Status::OK;
}

// ---- reading

grpc::Status OperatorService::Status(Context* c, const v1::StatusRequest*, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Status", out, [&](const Caller&) { return StatusDocument(backend_); });
}

grpc::Status OperatorService::Get(Context* c, const v1::GetRequest* in, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Get", out, [&](const Caller&) -> absl::StatusOr<Json> {
    QUELL_ASSIGN_OR_RETURN(Listed listed, ListDocument(backend_, *in));
    out->set_next_cursor(listed.next_cursor);
    listed.json["next_cursor"] = listed.next_cursor.empty() ? Json(nullptr) : Json(listed.next_cursor);
    return std::move(listed.json);
  });
}

grpc::Status OperatorService::Describe(Context* c, const v1::DescribeRequest* in, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Describe", out,
              [&](const Caller& caller) { return DescribeDocument(backend_, *in, caller); });
}

grpc::Status OperatorService::Draft(Context* c, const v1::DraftRequest*, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Draft", out, [&](const Caller&) { return DraftDocument(backend_); });
}

grpc::Status OperatorService::Explain(Context* c, const v1::ExplainRequest* in, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Explain", out,
              [&](const Caller&) { return ExplainDocument(backend_, in->name()); });
}

grpc::Status OperatorService::Evidence(Context* c, const v1::EvidenceRequest* in, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Evidence", out,
              [&](const Caller&) { return EvidenceDocument(backend_, *in); });
}

grpc::Status OperatorService::Query(Context* c, const v1::QueryRequest* in, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Query", out, [&](const Caller&) -> absl::StatusOr<Json> {
    QUELL_RETURN_IF_ERROR(TooLong(in->expr(), kLongestExpression, "the expression"));
    if (in->range_us() < 0 || in->step_us() < 0)
      return absl::InvalidArgumentError("a range and a step are not negative");
    QUELL_ASSIGN_OR_RETURN(const std::vector<QuerySeries> series,
                           backend_.Query(in->expr(), in->range_us(), in->step_us()));
    return QueryJson(series, in->range_us() > 0);
  });
}

grpc::Status OperatorService::WhoAmI(Context* c, const v1::WhoAmIRequest*, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/WhoAmI", out,
              [&](const Caller& caller) -> absl::StatusOr<Json> { return WhoAmIDocument(caller); });
}

grpc::Status OperatorService::Version(Context* c, const v1::VersionRequest*, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/Version", out,
              [&](const Caller&) -> absl::StatusOr<Json> { return VersionDocument(backend_.Info()); });
}

grpc::Status OperatorService::AuditVerify(Context* c, const v1::AuditVerifyRequest*, v1::Document* out) {
  return Read(c, "/quell.v1.Operator/AuditVerify", out, [&](const Caller&) -> absl::StatusOr<Json> {
    QUELL_ASSIGN_OR_RETURN(const AuditReport report, backend_.AuditVerify());
    return AuditDocument(report);
  });
}

// ---- acting

absl::Status OperatorService::FillIncident(const v1::IncidentAct& in, v1::IncidentAct* out, size_t longest) {
  QUELL_RETURN_IF_ERROR(TooLong(in.text(), longest, "the text"));
  QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend_, in.incident()));
  out->set_incident(incident.id());
  out->set_text(in.text());
  return absl::OkStatus();
}

grpc::Status OperatorService::Declare(Context* c, const v1::Declare* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Declare", out, [&](const Caller&, v1::PersonAct& act) {
    if (in->title().empty()) return absl::InvalidArgumentError("an incident needs a title");
    QUELL_RETURN_IF_ERROR(TooLong(in->title(), kLongestTitle, "the title"));
    QUELL_RETURN_IF_ERROR(TooLong(in->service(), kLongestTitle, "the service"));
    *act.mutable_declare() = *in;
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::Acknowledge(Context* c, const v1::IncidentAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Acknowledge", out, [&](const Caller&, v1::PersonAct& act) {
    return FillIncident(*in, act.mutable_acknowledge(), kLongestText);
  });
}

grpc::Status OperatorService::Take(Context* c, const v1::IncidentAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Take", out, [&](const Caller&, v1::PersonAct& act) {
    return FillIncident(*in, act.mutable_take(), kLongestText);
  });
}

grpc::Status OperatorService::AddNote(Context* c, const v1::IncidentAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/AddNote", out, [&](const Caller&, v1::PersonAct& act) {
    if (in->text().empty()) return absl::InvalidArgumentError("a note needs a text");
    return FillIncident(*in, act.mutable_note(), kLongestText);
  });
}

grpc::Status OperatorService::Resolve(Context* c, const v1::ResolveAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Resolve", out, [&](const Caller&, v1::PersonAct& act) -> absl::Status {
    QUELL_RETURN_IF_ERROR(TooLong(in->cause(), kLongestText, "the cause"));
    QUELL_RETURN_IF_ERROR(TooLong(in->fix(), kLongestText, "the fix"));
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend_, in->incident()));
    *act.mutable_resolve() = *in;
    act.mutable_resolve()->set_incident(incident.id());
    return absl::OkStatus();
  });
}

absl::Status OperatorService::FillTargets(const v1::RunRequest& in, v1::RunAct* out) {
  if (in.hosts().empty() && in.labels().empty() && in.service().empty())
    return absl::InvalidArgumentError("name the hosts: --host H[,H], --service S or -l key=value");
  std::map<std::string, std::string> ids;  // by name
  const auto catalogue = backend_.Catalogue();
  QUELL_RETURN_IF_ERROR(EachHost(backend_, [&](const v1::Host& host) {
    if (!host.revoked() && HasLabels(host, in.labels()) && HasService(host, in.service(), catalogue.get()))
      ids[host.name()] = host.id();
  }));
  if (in.hosts().empty()) {
    for (const auto& [name, id] : ids) out->add_hosts(id);
    if (ids.empty()) return absl::NotFoundError("no host fits: an empty selection is nothing");
    return absl::OkStatus();
  }
  for (const auto& name : in.hosts()) {
    const auto found = ids.find(name);
    if (found == ids.end())
      return absl::NotFoundError(absl::StrCat("there is no host ", name,
                                              in.labels().empty() ? "" : " with these labels",
                                              in.service().empty() ? "" : " that has this service"));
    if (std::find(out->hosts().begin(), out->hosts().end(), found->second) == out->hosts().end())
      out->add_hosts(found->second);
  }
  return absl::OkStatus();
}

absl::Status OperatorService::FillRun(const Caller& caller, const v1::RunRequest& in, v1::RunAct* out) {
  const std::map<std::string, std::string> params(in.params().begin(), in.params().end());
  QUELL_ASSIGN_OR_RETURN(*out->mutable_action(), policy::BuildAction(in.action(), params));
  QUELL_RETURN_IF_ERROR(AuthoriseRun(caller, policy::ActionRisk(out->action())));
  QUELL_RETURN_IF_ERROR(FillTargets(in, out));
  if (!in.incident().empty()) {
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend_, in.incident()));
    out->set_incident(incident.id());
  }
  out->set_dry_run(in.dry_run());
  return absl::OkStatus();
}

grpc::Status OperatorService::Run(Context* c, const v1::RunRequest* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Run", out, [&](const Caller& caller, v1::PersonAct& act) {
    return FillRun(caller, *in, act.mutable_run());
  });
}

absl::StatusOr<OperatorService::Decided> OperatorService::FillDecision(const v1::CommandAct& in,
                                                                       v1::CommandAct* out) {
  QUELL_RETURN_IF_ERROR(TooLong(in.why(), kLongestText, "the reason"));
  out->set_why(in.why());
  const auto command = ResolveCommand(backend_, in.command());
  if (command.ok()) {
    out->set_command(command->id());
    return Decided{in.command(), command->requested_by(), command->intent(), false};
  }
  const auto plan = ResolvePlan(backend_, in.command());
  if (!plan.ok()) return command.status();
  out->set_command(plan->id());
  return Decided{in.command(), plan->requested_by(), plan->intent(), true};
}

// The signature, the certificate and the person are checked here, before it becomes an input; what it is
// worth is the engine's to say, and once more the host's.
absl::Status OperatorService::FillApproval(const Caller& caller, const v1::CommandAct& in,
                                           const Decided& about, v1::CommandAct* out) {
  if (!in.has_approval()) {
    if (caller.via == kSocket) return absl::OkStatus();
    return absl::PermissionDeniedError(
        "an approval is signed by the person's own key; this one is not signed");
  }
  if (in.approval().person() != caller.name)
    return absl::PermissionDeniedError(absl::StrCat("the approval is of ", in.approval().person(),
                                                    " and comes from ", caller.name,
                                                    ": nobody approves for another"));
  // Hosts refuse whole commands for one field that they do not know.
  if (!in.approval().GetReflection()->GetUnknownFields(in.approval()).empty())
    return absl::InvalidArgumentError(
        "the approval holds a field that this controller does not know; sign it with a quell of its version");
  if (about.intent.empty())
    return absl::FailedPreconditionError(absl::StrCat(about.name, " does not wait for approval"));
  QUELL_RETURN_IF_ERROR(
      security::VerifyApproval(in.approval(), about.intent, backend_.Trust(), backend_.Now()));
  *out->mutable_approval() = in.approval();
  return absl::OkStatus();
}

grpc::Status OperatorService::Approve(Context* c, const v1::CommandAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Approve", out,
             [&](const Caller& caller, v1::PersonAct& act) -> absl::Status {
               QUELL_ASSIGN_OR_RETURN(const Decided about, FillDecision(*in, act.mutable_approve()));
               if (about.requested_by == "person:" + caller.name)
                 return absl::PermissionDeniedError(
                     absl::StrCat(about.name, " is not approved by who asked for it"));
               return FillApproval(caller, *in, about, act.mutable_approve());
             });
}

grpc::Status OperatorService::Sign(Context* c, const v1::CommandAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/Sign", out,
             [&](const Caller& caller, v1::PersonAct& act) -> absl::Status {
               QUELL_ASSIGN_OR_RETURN(const Decided about, FillDecision(*in, act.mutable_approve()));
               if (about.requested_by != "person:" + caller.name || !in->has_approval())
                 return absl::PermissionDeniedError(
                     "who asked for it signs it, with their own key; anybody else approves it");
               return FillApproval(caller, *in, about, act.mutable_approve());
             });
}

grpc::Status OperatorService::Deny(Context* c, const v1::CommandAct* in, v1::ActReply* out) {
  return Act(
      c, "/quell.v1.Operator/Deny", out, [&](const Caller& caller, v1::PersonAct& act) -> absl::Status {
        QUELL_ASSIGN_OR_RETURN(const Decided about, FillDecision(*in, act.mutable_deny()));
        // Who began a plan may stop it.
        if (!about.plan && about.requested_by == "person:" + caller.name)
          return absl::PermissionDeniedError("nobody decides about a command that they asked for themselves");
        return absl::OkStatus();
      });
}

grpc::Status OperatorService::SetHold(Context* c, const v1::HoldRequest* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/SetHold", out, [&](const Caller& caller, v1::PersonAct& act) {
    if (in->why().empty()) return absl::InvalidArgumentError("a hold needs a reason: --why \"…\"");
    QUELL_RETURN_IF_ERROR(TooLong(in->why(), kLongestText, "the reason"));
    QUELL_RETURN_IF_ERROR(CheckTime(in->for_us(), "a hold's time"));
    v1::Hold* hold = act.mutable_hold();
    hold->set_scope(in->scope().empty() ? "all" : in->scope());
    hold->set_why(in->why());
    hold->set_by(caller.name);
    if (in->for_us() > 0) hold->set_until_us(backend_.Now() + in->for_us());
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::EndHold(Context* c, const v1::EndHold* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/EndHold", out, [&](const Caller&, v1::PersonAct& act) {
    if (in->id().empty()) return absl::InvalidArgumentError("name the hold; `quell hold list` shows them");
    *act.mutable_end_hold() = *in;
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::TestNotice(Context* c, const v1::NotifyTest* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/TestNotice", out, [&](const Caller&, v1::PersonAct& act) {
    *act.mutable_notify_test() = *in;
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::StartChange(Context* c, const v1::ChangeRequest* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/StartChange", out, [&](const Caller&, v1::PersonAct& act) {
    QUELL_RETURN_IF_ERROR(TooLong(in->summary(), kLongestTitle, "the title"));
    QUELL_RETURN_IF_ERROR(CheckTime(in->for_us(), "a change's time"));
    v1::Change* change = act.mutable_change_start();
    change->set_summary(in->summary());
    change->set_service(in->service());
    if (in->for_us() > 0) change->set_until_us(backend_.Now() + in->for_us());
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::FinishChange(Context* c, const v1::ChangeFinish* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/FinishChange", out, [&](const Caller&, v1::PersonAct& act) {
    *act.mutable_change_finish() = *in;
    return absl::OkStatus();
  });
}

// ---- who belongs to the fleet

// The one in force, else the one that is revoked.
absl::StatusOr<v1::Host> OperatorService::FindHost(const std::string& name) {
  std::optional<v1::Host> found;
  QUELL_RETURN_IF_ERROR(EachHost(backend_, [&](const v1::Host& host) {
    if ((host.name() == name || host.id() == name) && (!found || found->revoked())) found = host;
  }));
  if (!found) return absl::NotFoundError(absl::StrCat("there is no host ", name));
  return *std::move(found);
}

// The token is told in this answer and nowhere else; what is recorded is its hash.
grpc::Status OperatorService::MakeToken(Context* c, const v1::TokenRequest* in, v1::ActReply* out) {
  const security::JoinToken token{security::Secret(RandomBytes(32)), backend_.Info().root_pin};
  const grpc::Status status =
      Act(c, "/quell.v1.Operator/MakeToken", out, [&](const Caller&, v1::PersonAct& act) {
        QUELL_RETURN_IF_ERROR(CheckTime(in->for_us(), "a token's time"));
        v1::JoinToken* made = act.mutable_token_make();
        made->set_sha256(Sha256(token.secret.Reveal()));
        made->set_id(security::TokenId(made->sha256()));
        made->set_host(in->host());
        *made->mutable_labels() = in->labels();
        made->set_replace(in->replace());
        made->set_expires_us(backend_.Now() + (in->for_us() == 0 ? kHour : in->for_us()));
        return absl::OkStatus();
      });
  if (!status.ok() || out->exit() != 0) return status;
  Json json = Json::parse(out->json(), nullptr, false);
  json["token"] = security::FormatJoinToken(token).Reveal();
  out->set_json(Dump(json));
  return status;
}

grpc::Status OperatorService::RevokeToken(Context* c, const v1::TokenRevoke* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/RevokeToken", out, [&](const Caller&, v1::PersonAct& act) {
    *act.mutable_token_revoke() = *in;
    return absl::OkStatus();
  });
}

absl::Status OperatorService::FillAgent(const v1::AgentAct& in, v1::AgentAct* out) {
  if (in.why().empty()) return absl::InvalidArgumentError("that needs a reason: --why \"…\"");
  QUELL_RETURN_IF_ERROR(TooLong(in.why(), kLongestText, "the reason"));
  QUELL_ASSIGN_OR_RETURN(const v1::Host host, FindHost(in.host()));
  out->set_host(host.id());
  out->set_why(in.why());
  return absl::OkStatus();
}

grpc::Status OperatorService::RevokeAgent(Context* c, const v1::AgentAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/RevokeAgent", out,
             [&](const Caller&, v1::PersonAct& act) -> absl::Status {
               QUELL_RETURN_IF_ERROR(FillAgent(*in, act.mutable_agent_revoke()));
               QUELL_ASSIGN_OR_RETURN(const v1::Host host, FindHost(in->host()));
               if (host.revoked())
                 return absl::FailedPreconditionError(absl::StrCat(host.name(), " is revoked already"));
               return absl::OkStatus();
             });
}

// Two steps, each on record: what is in force is revoked before it is deleted.
grpc::Status OperatorService::DeleteAgent(Context* c, const v1::AgentAct* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/DeleteAgent", out,
             [&](const Caller&, v1::PersonAct& act) -> absl::Status {
               QUELL_RETURN_IF_ERROR(FillAgent(*in, act.mutable_agent_revoke()));
               QUELL_ASSIGN_OR_RETURN(const v1::Host host, FindHost(in->host()));
               if (host.revoked()) return absl::OkStatus();
               return backend_.Submit(act, kActTime).status();
             });
}

grpc::Status OperatorService::LabelAgent(Context* c, const v1::AgentLabels* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/LabelAgent", out, [&](const Caller&, v1::PersonAct& act) -> absl::Status {
    if (in->set().empty() && in->remove().empty())
      return absl::InvalidArgumentError("name labels: role=web sets one, site- takes one away");
    QUELL_ASSIGN_OR_RETURN(const v1::Host host, FindHost(in->host()));
    *act.mutable_agent_labels() = *in;
    act.mutable_agent_labels()->set_host(host.id());
    return absl::OkStatus();
  });
}

// ---- who the people are

grpc::Status OperatorService::SetResponder(Context* c, const v1::ResponderRole* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/SetResponder", out, [&](const Caller&, v1::PersonAct& act) {
    act.mutable_person_set()->set_name(in->name());
    act.mutable_person_set()->set_role(in->role());
    return absl::OkStatus();
  });
}

grpc::Status OperatorService::RevokeResponder(Context* c, const v1::PersonRevoke* in, v1::ActReply* out) {
  return Act(c, "/quell.v1.Operator/RevokeResponder", out,
             [&](const Caller&, v1::PersonAct& act) -> absl::Status {
               if (in->why().empty()) return absl::InvalidArgumentError("that needs a reason: --why \"…\"");
               QUELL_RETURN_IF_ERROR(TooLong(in->why(), kLongestText, "the reason"));
               *act.mutable_person_revoke() = *in;
               return absl::OkStatus();
             });
}

// ---- the server

absl::StatusOr<std::unique_ptr<OperatorServer>> OperatorServer::Start(const std::string& socket_path,
                                                                      OperatorBackend& backend) {
  std::unique_ptr<OperatorServer> out(new OperatorServer);
  QUELL_ASSIGN_OR_RETURN(out->socket_, OperatorSocket::Listen(socket_path));
  OperatorSocket& socket = *out->socket_;
  out->service_ = std::make_unique<OperatorService>(
      backend, [&socket](const grpc::ServerContext& context) -> absl::StatusOr<Caller> {
        if (auto caller = socket.CallerOf(context.peer())) return *std::move(caller);
        return absl::PermissionDeniedError("it is not known who is at the far end of this connection");
      });
  grpc::ResourceQuota quota("operators");
  quota.SetMaxThreads(kMostOperatorThreads);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kLargestOperatorRequest);
  builder.RegisterService(out->service_.get());
  out->server_ = builder.BuildAndStart();
  if (out->server_ == nullptr) return absl::InternalError("starting the operators' service failed");
  socket.Serve(*out->server_);
  return out;
}

OperatorServer::~OperatorServer() {
  if (socket_ != nullptr) socket_->Stop();
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

}  // namespace quell::operators
