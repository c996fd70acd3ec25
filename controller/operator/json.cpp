#include "controller/operator/json.h"

#include <cmath>

#include "common/base/ids.h"
#include "common/text/template.h"
#include "controller/changes/changes.h"
#include "controller/policy/bind.h"

namespace quell::operators {
namespace {

// "AWAITING_APPROVAL" -> "awaiting_approval"; `drop` is a prefix that the contract does not have.
std::string Lower(const std::string& name, std::string_view drop = "") {
  std::string out = name.compare(0, drop.size(), drop) == 0 ? name.substr(drop.size()) : name;
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json SecondsJson(Micros d) { return static_cast<double>(d) / kSecond; }

template <typename Repeated>
Json List(const Repeated& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(item);
  return out;
}
template <typename Repeated>
Json Objects(const Repeated& ids, const char* key) {
  Json out = Json::array();
  for (const auto& id : ids) out.push_back(Json{{key, id}});
  return out;
}
template <typename Repeated>
Json LabelsJson(const Repeated& labels) {
  Json out = Json::object();
  for (const auto& label : labels) out[label.name()] = label.value();
  return out;
}
template <typename Map>
Json MapJson(const Map& map) {
  std::map<std::string, std::string> sorted(map.begin(), map.end());
  Json out = Json::object();
  for (const auto& [key, value] : sorted) out[key] = value;
  return out;
}

Json TimelineJson(const v1::Incident& incident) {
  Json out = Json::array();
  for (const auto& entry : incident.timeline())
    out.push_back(Json{{"at", TimeJson(entry.at_us())},
                       {"who", entry.who()},
                       {"kind", entry.kind()},
                       {"text", entry.text()},
                       {"seq", entry.seq()}});
  return out;
}

Json RolesJson(const v1::Incident& incident) {
  return Json{{"commander", TextOrNull(incident.commander())},
              {"taken_by", TextOrNull(incident.taken_by())},
              {"acknowledged_by", TextOrNull(incident.acknowledged_by())}};
}

Json DeadlinesJson(const v1::Incident& incident) {
  return Json{{"acknowledge_by", TimeJson(incident.acknowledge_by_us())},
              {"page_at", TimeJson(incident.page_at_us())},
              {"monitor_until", TimeJson(incident.monitor_until_us())}};
}

// Parameters of the typed action, by reflection; internal ones are left out.
Json ParamsJson(const v1::Action& action) {
  Json out = Json::object();
  const google::protobuf::Message* body = policy::ActionBody(action);
  if (body == nullptr) return out;
  const auto* reflection = body->GetReflection();
  for (int i = 0; i < body->GetDescriptor()->field_count(); ++i) {
    const auto* field = body->GetDescriptor()->field(i);
    if (field->is_repeated() || field->options().GetExtension(v1::param_internal)) continue;
    using Field = google::protobuf::FieldDescriptor;
    switch (field->cpp_type()) {
      case Field::CPPTYPE_STRING:
        out[field->name()] = reflection->GetString(*body, field);
        break;
      case Field::CPPTYPE_BOOL:
        out[field->name()] = reflection->GetBool(*body, field);
        break;
      case Field::CPPTYPE_INT32:
        out[field->name()] = reflection->GetInt32(*body, field);
        break;
      case Field::CPPTYPE_INT64:
        out[field->name()] = reflection->GetInt64(*body, field);
        break;
      case Field::CPPTYPE_UINT32:
        out[field->name()] = reflection->GetUInt32(*body, field);
        break;
      case Field::CPPTYPE_UINT64:
        out[field->name()] = reflection->GetUInt64(*body, field);
        break;
      default:
        break;
    }
  }
  return out;
}

Json OutcomeJson(v1::CommandState state) {
  switch (state) {
    case v1::SUCCEEDED:
    case v1::FAILED:
    case v1::REFUSED:
    case v1::CANCELLED:
    case v1::COMMAND_UNKNOWN:
    case v1::UNDONE:
      return StateName(state);
    default:
      return nullptr;
  }
}

Json VerificationJson(const v1::CommandEntry& command) {
  if (command.verification() == v1::VERIFICATION_STATE_UNSPECIFIED) return nullptr;
  const v1::Verify& verify = command.verify();
  return Json{{"state", Lower(v1::VerificationState_Name(command.verification()))},
              {"condition", verify.expr().empty() ? "cleared" : verify.expr()},
              {"within_seconds", SecondsJson(verify.within_us())},
              {"hold_seconds", SecondsJson(verify.hold_us())},
              {"verify_by", TimeJson(command.verify_by_us())},
              {"holding_since", TimeJson(command.holding_since_us())}};
}

// Of a database server, as they were before; named as the parameters that name one.
Json SessionsJson(const v1::CommandEntry& command) {
  Json out = Json::array();
  for (const auto& session : command.sessions())
    out.push_back(Json{{"pid", session.pid()},
                       {"backend_start_us", session.backend_start_us()},
                       {"xact_start_us", session.xact_start_us()},
                       {"query_start_us", session.query_start_us()},
                       {"database", session.database()},
                       {"role", session.role()},
                       {"application", session.application()},
                       {"client", session.client()},
                       {"state", session.state()},
                       {"kind", TextOrNull(session.kind())},
                       {"victims", session.victims()},
                       {"root", session.root()}});
  return out;
}

Json OnlyIfJson(const v1::PolicyStep& step) {
  Json out = Json::object();
  if (step.only_if_changed_within_us() != 0)
    out["changed_within_seconds"] = SecondsJson(step.only_if_changed_within_us());
  if (!step.only_if_expr().empty()) out["expr"] = step.only_if_expr();
  return out.empty() ? Json(nullptr) : out;
}

Json ReleaseJson(const v1::CommandEntry& command) {
  if (!command.has_release()) return nullptr;
  const auto one = [](const v1::Release& release) {
    return Json{{"name", release.name()},
                {"path", release.path()},
                {"sha256", HexEncode(release.tree_sha256())},
                {"recorded_at", TimeJson(release.recorded_us())}};
  };
  return Json{{"from", one(command.release().from())},
              {"to", one(command.release().to())},
              {"running", TextOrNull(command.release().running())}};
}

// What takes a reversible act back; a person runs it.
Json UndoJson(const v1::CommandEntry& command) {
  if (command.state() != v1::SUCCEEDED || command.dry_run() || !command.has_release()) return nullptr;
  Json params = ParamsJson(command.typed());
  params["to"] = command.release().from().name();
  return Json{{"action", command.action()}, {"host", command.host()}, {"params", params}};
}

Json StepJson(const v1::PolicyStep& step) {
  return Json{{"action", step.action()},
              {"with", MapJson(step.with())},
              {"only_if", OnlyIfJson(step)},
              {"verify", Json{{"condition", step.verify().expr().empty() ? "cleared" : step.verify().expr()},
                              {"within_seconds", SecondsJson(step.verify().within_us())},
                              {"hold_seconds", SecondsJson(step.verify().hold_us())}}}};
}

std::string ValueText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return text::FormatValue(value);
}

Json PointJson(const std::pair<Micros, double>& point) {
  return Json::array({static_cast<double>(point.first / kMillisecond) / 1000, ValueText(point.second)});
}

Json ActionJson(const google::protobuf::Descriptor& type) {
  const auto& options = type.options();
  Json params = Json::array();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = type.field(i)->options();
    if (field.GetExtension(v1::param_internal)) continue;
    params.push_back(Json{{"name", type.field(i)->name()},
                          {"required", field.GetExtension(v1::param_required)},
                          {"help", field.GetExtension(v1::param_help)}});
  }
  return Json{{"name", options.GetExtension(v1::action_name)},
              {"risk", Lower(v1::Risk_Name(options.GetExtension(v1::action_risk)), "RISK_")},
              {"reversible", options.GetExtension(v1::action_reversible)},
              {"ends_process", options.GetExtension(v1::action_ends_process)},
              {"summary", options.GetExtension(v1::action_summary)},
              {"params", params}};
}

}  // namespace

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json TimeJson(Micros t) { return t == 0 ? Json(nullptr) : Json(FormatRfc3339(t)); }

std::string_view SeverityName(v1::Severity severity) {
  switch (severity) {
    case v1::P0:
      return "P0";
    case v1::P1:
      return "P1";
    case v1::P2:
      return "P2";
    default:
      return "P3";
  }
}

std::string StatusName(v1::IncidentStatus status) { return Lower(v1::IncidentStatus_Name(status)); }
std::string StateName(v1::CommandState state) { return Lower(v1::CommandState_Name(state), "COMMAND_"); }

std::string CommandName(const v1::CommandEntry& command, uint64_t incident_number) {
  if (command.incident().empty()) return "C-" + std::to_string(command.number());
  return std::to_string(incident_number) + "." + std::to_string(command.number());
}

Json IncidentJson(const v1::Incident& incident, bool timeline) {
  Json out = {{"id", incident.id()},
              {"number", incident.number()},
              {"title", incident.title()},
              {"description", incident.description()},
              {"impact", incident.impact()},
              {"severity", SeverityName(incident.severity())},
              {"status", StatusName(incident.status())},
              {"category", incident.category()},
              {"services", List(incident.services())},
              {"hosts", List(incident.hosts())},
              {"started_at", TimeJson(incident.started_us())},
              {"detected_at", TimeJson(incident.detected_us())},
              {"declared_at", TimeJson(incident.declared_us())},
              {"acknowledged_at", TimeJson(incident.acknowledged_us())},
              {"responded_at", TimeJson(incident.responded_us())},
              {"mitigated_at", TimeJson(incident.mitigated_us())},
              {"resolved_at", TimeJson(incident.resolved_us())},
              {"closed_at", TimeJson(incident.closed_us())},
              {"roles", RolesJson(incident)},
              {"deadlines", DeadlinesJson(incident)},
              {"signals", Objects(incident.signals(), "key")},
              {"probable_cause", TextOrNull(incident.probable_cause())},
              {"changes", Objects(incident.changes(), "id")},
              {"commands", Objects(incident.commands(), "id")},
              {"plans", Objects(incident.plans(), "id")},
              {"temporary", Json::array()},
              {"checklist", Json::array()},
              {"updates", Json::array()},
              {"next_update_at", nullptr},
              {"eta", nullptr},
              {"workaround", nullptr},
              {"root_cause", TextOrNull(incident.root_cause())},
              {"resolution", TextOrNull(incident.resolution())}};
  if (timeline) out["timeline"] = TimelineJson(incident);
  out["drill"] = false;
  out["declared_by"] = incident.declared_by();
  out["relapses"] = incident.relapses();
  out["given_up"] = incident.given_up() ? Json(incident.given_up_why()) : Json(nullptr);
  return out;
}

namespace {

// Who signed, and who approved by the controller's own socket, where nothing is signed.
template <typename T>
Json ApprovalsJson(const T& asked, bool denied) {
  Json out = Json::array();
  bool listed = asked.approved_by().empty() || denied;  // then it is who denied it
  for (const v1::Approval& approval : asked.approvals()) {
    const std::string who = "person:" + approval.person();
    out.push_back(Json{{"person", who}, {"signed", true}, {"key", approval.key_id()}});
    listed = listed || who == asked.approved_by();
  }
  if (!listed) out.push_back(Json{{"person", asked.approved_by()}, {"signed", false}});
  return out;
}

}  // namespace

Json CommandJson(const v1::CommandEntry& command, uint64_t incident_number) {
  return {{"id", command.id()},
          {"name", CommandName(command, incident_number)},
          {"number", command.number()},
          {"action", command.action()},
          {"host", command.host()},
          {"user", command.user()},
          {"params", ParamsJson(command.typed())},
          {"incident", TextOrNull(command.incident())},
          {"policy", TextOrNull(command.policy())},
          {"step", command.step()},
          {"plan", TextOrNull(command.plan())},
          {"requested_by", command.requested_by()},
          {"approvals", ApprovalsJson(command, command.state() == v1::DENIED)},
          {"state", StateName(command.state())},
          {"outcome", OutcomeJson(command.state())},
          {"reason", command.reason()},
          {"sessions", SessionsJson(command)},
          {"evidence", Json::array()},  // of descriptions, for those who may read it
          {"evidence_seconds", static_cast<double>(command.evidence_ms()) / 1000},
          {"proposed_at", TimeJson(command.proposed_us())},
          {"issued_at", TimeJson(command.issued_us())},
          {"delivered_at", TimeJson(command.delivered_us())},
          {"started_at", TimeJson(command.started_us())},
          {"finished_at", TimeJson(command.finished_us())},
          {"approval_expires_at", TimeJson(command.approval_expires_us())},
          {"verification", VerificationJson(command)},
          {"release", ReleaseJson(command)},
          {"undo", UndoJson(command)},
          {"dry_run", command.dry_run()},
          {"refusal", command.refusal() == v1::REFUSAL_UNSPECIFIED
                          ? Json(nullptr)
                          : Json(Lower(v1::RefusalKind_Name(command.refusal()), "REFUSAL_"))}};
}

Json PlanJson(const v1::Plan& plan, uint64_t incident_number) {
  v1::CommandEntry named;
  named.set_incident(plan.incident());
  named.set_number(plan.number());
  return {{"id", plan.id()},
          {"name", CommandName(named, incident_number)},
          {"number", plan.number()},
          {"action", policy::ActionName(plan.action())},
          {"host", std::to_string(plan.hosts_size()) + " hosts"},
          {"hosts", List(plan.hosts())},
          {"user", policy::UserOf(plan.action())},
          {"params", ParamsJson(plan.action())},
          {"incident", TextOrNull(plan.incident())},
          {"policy", TextOrNull(plan.policy())},
          {"step", plan.step()},
          {"requested_by", plan.requested_by()},
          {"approvals", ApprovalsJson(plan, plan.state() == v1::PLAN_DENIED)},
          {"state", Lower(v1::PlanState_Name(plan.state()), "PLAN_")},
          {"reason", plan.reason()},
          {"begun", plan.begun()},
          {"wave", plan.wave()},
          {"proposed_at", TimeJson(plan.proposed_us())},
          {"finished_at", TimeJson(plan.finished_us())},
          {"approval_expires_at", TimeJson(plan.approval_expires_us())},
          {"dry_run", plan.dry_run()}};
}

Json SignalJson(const v1::Signal& signal) {
  return {{"key", signal.key()},
          {"alert", signal.alert()},
          {"labels", LabelsJson(signal.labels())},
          {"annotations", LabelsJson(signal.annotations())},
          {"state", Lower(v1::SignalState_Name(signal.state()))},
          {"severity", SeverityName(signal.severity())},
          {"value", ValueText(signal.value())},
          {"active_since", TimeJson(signal.active_since_us())},
          {"fired_at", TimeJson(signal.fired_us())},
          {"cleared_at", TimeJson(signal.cleared_us())},
          {"incident", TextOrNull(signal.incident())}};
}

namespace {
std::string MemberState(const v1::Host& host) {
  if (host.deleted()) return "deleted";
  return host.revoked() ? "revoked" : "in_force";
}
}  // namespace

Json TokenJson(const v1::JoinToken& token) {
  return {{"id", token.id()},
          {"host", token.host()},
          {"labels", MapJson(token.labels())},
          {"replaces", token.replace()},
          {"made_by", token.made_by()},
          {"made_at", TimeJson(token.made_us())},
          {"expires_at", TimeJson(token.expires_us())},
          {"used_at", TimeJson(token.used_us())},
          {"host_id", TextOrNull(token.host_id())}};
}

Json PersonJson(const v1::Person& person) {
  return {{"name", person.name()},
          {"role", person.role()},
          {"state", person.revoked() ? "revoked" : "in_force"},
          {"since", TimeJson(person.since_us())},
          {"by", person.by()}};
}

Json HostJson(const v1::Host& host) {
  Json apps = Json::array();
  for (const auto& app : host.apps()) {
    const size_t slash = app.find('/');
    if (slash != std::string::npos)
      apps.push_back(Json{{"user", app.substr(0, slash)}, {"app", app.substr(slash + 1)}});
  }
  return {{"id", host.id()},
          {"name", host.name()},
          {"labels", MapJson(host.labels())},
          {"liveness", Lower(v1::Liveness_Name(host.liveness()))},
          {"since", TimeJson(host.liveness_since_us())},
          {"seen_at", TimeJson(host.seen_us())},
          {"first_seen_at", TimeJson(host.first_seen_us())},
          {"boot_id", host.boot_id()},
          {"agent_version", host.agent_version()},
          {"actions", List(host.actions())},
          {"apps", apps},
          {"executor", host.executor_connected() ? "connected" : "absent"},
          {"held", host.held()},
          {"sanctions_error", TextOrNull(host.sanctions_error())},
          {"sanctions_sha256", HexEncode(host.sanctions_sha256())},
          {"membership", MemberState(host)},
          {"enrolled_at", TimeJson(host.enrolled_us())},
          {"certificate_expires_at", TimeJson(host.certificate_expires_us())},
          {"revoked_at", TimeJson(host.revoked_us())},
          {"token", TextOrNull(host.token())}};
}

Json ChangeJson(const v1::Change& change, Micros now) {
  const char* state = "done";
  if (change.until_us() != 0) state = changes::IsRunning(change, now) ? "running" : "expired";
  if (change.finished_us() != 0) state = change.failed() ? "failed" : "finished";
  return {{"id", change.id()},
          {"at", TimeJson(change.at_us())},
          {"kind", change.kind()},
          {"state", state},
          {"host", TextOrNull(change.host())},
          {"service", TextOrNull(change.service())},
          {"summary", change.summary()},
          {"author", TextOrNull(change.author())},
          {"by", change.by()},
          {"until", TimeJson(change.until_us())},
          {"finished_at", TimeJson(change.finished_us())},
          {"labels", LabelsJson(change.labels())}};
}

Json HoldJson(const v1::Hold& hold) {
  return {{"id", hold.id()},
          {"scope", hold.scope()},
          {"why", hold.why()},
          {"by", hold.by()},
          {"since", TimeJson(hold.since_us())},
          {"until", TimeJson(hold.until_us())}};
}

Json NoticeJson(const v1::Notice& notice) {
  return {{"key", notice.key()},
          {"incident", TextOrNull(notice.incident())},
          {"receiver", notice.receiver()},
          {"transition", notice.transition()},
          {"page", notice.page()},
          {"subject", notice.subject()},
          {"state", Lower(v1::NoticeState_Name(notice.state()))},
          {"attempts", notice.attempts()},
          {"queued_at", TimeJson(notice.queued_us())},
          {"sent_at", TimeJson(notice.sent_us())},
          {"error", TextOrNull(notice.error())},
          {"may_repeat", notice.may_repeat()}};
}

Json DecisionJson(const v1::Decision& decision) {
  return {{"at", TimeJson(decision.at_us())},
          {"seq", decision.seq()},
          {"verdict", decision.verdict()},
          {"policy", TextOrNull(decision.policy())},
          {"step", decision.step()},
          {"guard", TextOrNull(decision.guard())},
          {"reason", decision.reason()},
          {"incident", TextOrNull(decision.incident())},
          {"signal", TextOrNull(decision.signal())},
          {"command", TextOrNull(decision.command())},
          {"host", TextOrNull(decision.host())}};
}

Json EventJson(const v1::AppEvent& event) {
  return {{"at", TimeJson(event.at_us())},
          {"host", event.host()},
          {"kind", event.kind()},
          {"labels", LabelsJson(event.labels())},
          {"text", event.text()}};
}

Json RuleJson(const v1::AlertRule& rule) {
  return {{"name", rule.name()},
          {"severity", SeverityName(rule.severity())},
          {"service", TextOrNull(rule.service())},
          {"category", TextOrNull(rule.category())},
          {"scope", rule.host_local() ? "host" : "global"},
          {"file", rule.file()},
          {"group", rule.group()},
          {"metrics", List(rule.metrics())},
          {"provenance", List(rule.provenance())}};
}

Json PolicyJson(const v1::Policy& policy) {
  Json severities = Json::array();
  for (const int severity : policy.severities())
    severities.push_back(SeverityName(static_cast<v1::Severity>(severity)));
  Json steps = Json::array();
  for (const auto& step : policy.steps()) steps.push_back(StepJson(step));
  const v1::Guard& guard = policy.guard();
  return {{"name", policy.name()},
          {"mode", Lower(v1::PolicyMode_Name(policy.mode()))},
          {"alerts", List(policy.alerts())},
          {"severities", severities},
          {"match", MapJson(policy.match())},
          {"page", policy.page() == v1::PAGE_MODE_UNSPECIFIED
                       ? Json("by_severity")
                       : Json(Lower(v1::PageMode_Name(policy.page()), "PAGE_"))},
          {"steps", steps},
          {"guard", Json{{"cooldown_seconds", SecondsJson(guard.cooldown_us())},
                         {"attempts_max", guard.attempts_max()},
                         {"attempts_within_seconds", SecondsJson(guard.attempts_within_us())},
                         {"group_max_share", guard.group_max_share()},
                         {"stop_above_unhealthy", guard.stop_above_unhealthy()},
                         {"fresh_seconds", SecondsJson(guard.fresh_us())}}},
          {"approval", Json{{"expires_seconds", SecondsJson(policy.approval_expires_us())},
                            {"then", policy.approval_then().empty() ? "page_next" : policy.approval_then()}}},
          {"otherwise", policy.otherwise().empty() ? "page" : policy.otherwise()},
          {"file", policy.source_file()}};
}

Json ReceiverJson(const v1::Receiver& receiver) {
  return {{"name", receiver.name()}, {"type", receiver.type()}, {"wakes", receiver.wakes()}};
}

Json ActionsJson() {
  Json out = Json::array();
  for (const auto& name : policy::ActionNames())
    if (const auto* type = policy::FindActionType(name)) out.push_back(ActionJson(*type));
  return out;
}

Json QueryJson(const std::vector<QuerySeries>& series, bool range) {
  Json result = Json::array();
  for (const auto& one : series) {
    Json metric = Json::object();
    for (const auto& [name, value] : one.labels) metric[name] = value;
    if (range) {
      Json values = Json::array();
      for (const auto& point : one.points) values.push_back(PointJson(point));
      result.push_back(Json{{"metric", metric}, {"values", values}});
    } else if (!one.points.empty()) {
      result.push_back(Json{{"metric", metric}, {"value", PointJson(one.points.back())}});
    }
  }
  return {{"resultType", range ? "matrix" : "vector"}, {"result", result}};
}

}  // namespace quell::operators
