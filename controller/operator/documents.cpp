#include "controller/operator/documents.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/operator/evidence.h"
#include "controller/operator/plans.h"
#include "controller/operator/references.h"
#include "controller/operator/services.h"

namespace quell::operators {
namespace {

constexpr size_t kMostIncidents = 20;  // on the first screen
constexpr size_t kMostRows = 1000;     // gathered for counting
constexpr size_t kMostNotices = 50;    // looked through for the newest page
constexpr size_t kDefaultLimit = 100;
constexpr size_t kMostCommandsShown = 100;  // of one incident
constexpr size_t kMostSignalsShown = 100;

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

template <typename Message>
absl::StatusOr<Message> Parsed(const engine::ProjectionRow& row) {
  Message message;
  if (!message.ParseFromString(row.message))
    return absl::DataLossError(absl::StrCat("reading ", row.kind, " ", row.id, ": its row cannot be parsed"));
  return message;
}

uint64_t IncidentNumber(OperatorBackend& backend, const std::string& id) {
  if (id.empty()) return 0;
  const auto row = backend.Find("incident", id);
  if (!row.ok()) return 0;
  const auto incident = ParseIncident(*row);
  return incident.ok() ? incident->number() : 0;
}

RowFilter Everything(const std::string& parent = "") {
  RowFilter filter;
  filter.all = true;
  filter.parent = parent;
  return filter;
}

// ---- the first screen

absl::StatusOr<Json> HostsSummary(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("host", RowFilter{}, kMostRows, ""));
  size_t total = 0, connected = 0;
  Json lost = Json::array();
  Json held = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Host host, Parsed<v1::Host>(row));
    if (host.revoked()) continue;
    ++total;
    if (host.liveness() == v1::CONNECTED) ++connected;
    if (host.liveness() == v1::LOST) lost.push_back(host.name());
    if (host.held()) held.push_back(host.name());
  }
  return Json{{"total", total}, {"connected", connected}, {"lost", lost}, {"held", held}};
}

Json AutomationSummary(const v1::Config& config) {
  size_t automatic = 0, ask = 0, observe = 0;
  for (const auto& policy : config.policies()) {
    automatic += policy.mode() == v1::AUTOMATIC ? 1 : 0;
    ask += policy.mode() == v1::ASK ? 1 : 0;
    observe += policy.mode() == v1::OBSERVE ? 1 : 0;
  }
  return Json{{"automatic", automatic}, {"ask", ask}, {"observe", observe}};
}

absl::StatusOr<Json> HoldsSummary(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("hold", RowFilter{}, kMostRows, ""));
  Json holds = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Hold hold, Parsed<v1::Hold>(row));
    holds.push_back(HoldJson(hold));
  }
  return holds;
}

// Oldest first.
absl::StatusOr<Json> CommandsOf(OperatorBackend& backend, const v1::Incident& incident) {
  QUELL_ASSIGN_OR_RETURN(RowPage page,
                         backend.List("command", Everything(incident.id()), kMostCommandsShown, ""));
  std::reverse(page.rows.begin(), page.rows.end());
  Json commands = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::CommandEntry command, ParseCommand(row));
    commands.push_back(CommandJson(command, incident.number()));
  }
  return commands;
}

// The newest page about an incident, or null.
Json LastPage(OperatorBackend& backend, const std::string& incident) {
  const auto page = backend.List("notice", Everything(incident), kMostNotices, "");
  if (!page.ok()) return nullptr;
  for (const auto& row : page->rows) {
    const auto notice = Parsed<v1::Notice>(row);
    if (notice.ok() && notice->page()) return NoticeJson(*notice);
  }
  return nullptr;
}

absl::StatusOr<Json> OpenIncidents(OperatorBackend& backend, bool* more) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("incident", RowFilter{}, kMostIncidents, ""));
  std::vector<v1::Incident> open;
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(v1::Incident incident, ParseIncident(row));
    open.push_back(std::move(incident));
  }
  std::stable_sort(open.begin(), open.end(),
                   [](const auto& a, const auto& b) { return a.severity() < b.severity(); });
  *more = !page.next_cursor.empty();
  Json incidents = Json::array();
  for (const auto& incident : open) {
    Json json = IncidentJson(incident, false);
    QUELL_ASSIGN_OR_RETURN(json["commands"], CommandsOf(backend, incident));
    QUELL_ASSIGN_OR_RETURN(json["plans"], PlansOf(backend, incident));
    json["last_page"] = LastPage(backend, incident.id());
    incidents.push_back(std::move(json));
  }
  return incidents;
}

// ---- lists

struct RowKind {
  std::string_view plural;
  std::string_view kind;
  absl::StatusOr<Json> (*make)(OperatorBackend&, const engine::ProjectionRow&);
};

template <typename Message, Json (*Make)(const Message&)>
absl::StatusOr<Json> Plain(OperatorBackend&, const engine::ProjectionRow& row) {
  QUELL_ASSIGN_OR_RETURN(const Message message, Parsed<Message>(row));
  return Make(message);
}
absl::StatusOr<Json> IncidentRow(OperatorBackend&, const engine::ProjectionRow& row) {
  QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ParseIncident(row));
  return IncidentJson(incident, false);
}
absl::StatusOr<Json> CommandRow(OperatorBackend& backend, const engine::ProjectionRow& row) {
  QUELL_ASSIGN_OR_RETURN(const v1::CommandEntry command, ParseCommand(row));
  return FullCommand(backend, command);
}

absl::StatusOr<Json> PlanRow(OperatorBackend& backend, const engine::ProjectionRow& row) {
  QUELL_ASSIGN_OR_RETURN(const v1::Plan plan, ParsePlan(row));
  return PlanJson(plan, IncidentNumber(backend, plan.incident()));
}

absl::StatusOr<Json> ChangeRow(OperatorBackend& backend, const engine::ProjectionRow& row) {
  QUELL_ASSIGN_OR_RETURN(const v1::Change change, Parsed<v1::Change>(row));
  return ChangeJson(change, backend.Now());
}

const std::vector<RowKind>& RowKinds() {
  static const auto* kinds = new std::vector<RowKind>{
      {"incidents", "incident", IncidentRow},
      {"hosts", "host", Plain<v1::Host, HostJson>},
      {"signals", "signal", Plain<v1::Signal, SignalJson>},
      {"commands", "command", CommandRow},
      {"plans", "plan", PlanRow},
      {"holds", "hold", Plain<v1::Hold, HoldJson>},
      {"changes", "change", ChangeRow},
      {"notices", "notice", Plain<v1::Notice, NoticeJson>},
      {"decisions", "decision", Plain<v1::Decision, DecisionJson>},
      {"events", "event", Plain<v1::AppEvent, EventJson>},
      {"tokens", "token", Plain<v1::JoinToken, TokenJson>},
      {"responders", "person", Plain<v1::Person, PersonJson>},
  };
  return *kinds;
}

bool LabelsMatch(const Json& item, const google::protobuf::Map<std::string, std::string>& wanted) {
  if (wanted.empty()) return true;
  const auto labels = item.find("labels");
  if (labels == item.end()) return false;
  for (const auto& [name, value] : wanted) {
    const auto found = labels->find(name);
    if (found == labels->end() || !found->is_string() || found->get<std::string>() != value) return false;
  }
  return true;
}

bool Bears(const Json& item, const std::string& name) {
  if (name.empty()) return true;
  for (const char* key : {"name", "app", "alert"}) {
    const auto found = item.find(key);
    if (found != item.end() && found->is_string() && found->get<std::string>() == name) return true;
  }
  return false;
}

// What the series say of an app on a host; all its processes count as one.
struct AppSeries {
  bool online = true;
  bool by_hand = false;
  bool given_up = false;
};

std::map<std::string, AppSeries> ReadAppSeries(OperatorBackend& backend) {
  std::map<std::string, AppSeries> apps;  // by instance/user/app
  const auto series =
      backend.Query(R"({__name__=~"pm2_app_online|pm2_app_stopped_by_hand|pm2_app_given_up"})", 0, 0);
  if (!series.ok()) return apps;
  for (const auto& one : *series) {
    if (one.points.empty()) continue;
    AppSeries& app = apps[absl::StrCat(View(one.labels.Get("instance")), "/", View(one.labels.Get("user")),
                                       "/", View(one.labels.Get("app")))];
    const std::string_view name = one.labels.Get(kMetricName);
    const bool set = one.points.back().second > 0;
    if (name == "pm2_app_online") app.online = app.online && set;
    if (name == "pm2_app_stopped_by_hand") app.by_hand = app.by_hand || set;
    if (name == "pm2_app_given_up") app.given_up = app.given_up || set;
  }
  return apps;
}

std::string AppStateName(const AppSeries& app) {
  if (app.given_up) return "given_up";
  if (app.by_hand) return "stopped_by_hand";
  return app.online ? "online" : "down";
}

// Apps as the hosts report them; their state is unknown where no host of ours tells it now.
absl::StatusOr<Json> Apps(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("host", RowFilter{}, kMostRows, ""));
  const std::map<std::string, AppSeries> series = ReadAppSeries(backend);
  Json apps = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Host host, Parsed<v1::Host>(row));
    if (host.revoked()) continue;
    const Json described = HostJson(host);
    for (Json app : described["apps"]) {
      const auto found = series.find(host.name() + "/" + app["user"].get<std::string>() + "/" +
                                     app["app"].get<std::string>());
      const bool told = found != series.end() && host.liveness() == v1::CONNECTED;
      app["name"] = app["app"];
      app["host"] = host.name();
      app["state"] = told ? AppStateName(found->second) : "unknown";
      apps.push_back(std::move(app));
    }
  }
  return apps;
}

template <typename Repeated, typename Make>
Json Each(const Repeated& items, Make make) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(make(item));
  return out;
}

// Kinds that are no rows; null when there is no such kind.
absl::StatusOr<Json> Configured(OperatorBackend& backend, const std::string& kind) {
  if (kind == "apps") return Apps(backend);
  if (kind == "services") return Services(backend);
  if (kind == "actions") return ActionsJson();
  if (kind == "rules") return Each(backend.Config().alerts(), RuleJson);
  if (kind == "policies") return Each(backend.Config().policies(), PolicyJson);
  if (kind == "receivers") return Each(backend.Config().receivers(), ReceiverJson);
  return Json(nullptr);
}

absl::Status UnknownKind(const std::string& kind) {
  std::vector<std::string> known;
  for (const auto& row : RowKinds()) known.emplace_back(row.plural);
  return absl::InvalidArgumentError(absl::StrCat("there is no kind \"", kind,
                                                 "\"; there are: apps, services, actions, rules, ",
                                                 "policies, receivers, ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<Listed> ListConfigured(Json items, const v1::GetRequest& request) {
  Listed listed;
  Json kept = Json::array();
  for (auto& item : items)
    if (Bears(item, request.name()) && LabelsMatch(item, request.labels())) kept.push_back(std::move(item));
  if (kept.empty() && !request.name().empty())
    return absl::NotFoundError(
        absl::StrCat("there is nothing named ", request.name(), " among the ", request.kind()));
  listed.json = Json{{"items", std::move(kept)}};
  return listed;
}

// What approvers sign, byte for byte.
Json WithIntent(Json json, const std::string& intent) {
  json["intent"] = intent.empty() ? Json(nullptr) : Json(HexEncode(intent));
  return json;
}

// Plans are numbered together with commands.
absl::StatusOr<Json> CommandOrPlan(OperatorBackend& backend, std::string_view name) {
  const auto command = ResolveCommand(backend, name);
  if (command.ok()) return WithIntent(FullCommand(backend, *command), command->intent());
  const auto plan = ResolvePlan(backend, name);
  if (!plan.ok()) return command.status();
  QUELL_ASSIGN_OR_RETURN(Json json, FullPlan(backend, *plan));
  return WithIntent(std::move(json), plan->intent());
}

// One by its name: an incident or command by reference, else by id, a host by its name.
absl::StatusOr<Listed> ListOne(OperatorBackend& backend, const RowKind& kind, const std::string& name) {
  Listed listed;
  if (kind.kind == "incident") {
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend, name));
    listed.json = Json{{"items", Json::array({IncidentJson(incident, false)})}};
    return listed;
  }
  if (kind.kind == "command" || kind.kind == "plan") {
    QUELL_ASSIGN_OR_RETURN(const Json json, CommandOrPlan(backend, name));
    listed.json = Json{{"items", Json::array({json})}};
    return listed;
  }
  // Of hosts, the one that has a name now: those that were deleted are found among --all.
  const RowFilter filter = kind.kind == "host" ? RowFilter{} : Everything();
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List(kind.kind, filter, kMostRows, ""));
  Json items = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(Json item, kind.make(backend, row));
    if (row.id == name || Bears(item, name)) items.push_back(std::move(item));
  }
  if (items.empty()) return absl::NotFoundError(absl::StrCat("there is no ", View(kind.kind), " ", name));
  listed.json = Json{{"items", std::move(items)}};
  return listed;
}

absl::StatusOr<Listed> ListRows(OperatorBackend& backend, const RowKind& kind,
                                const v1::GetRequest& request) {
  if (!request.name().empty()) return ListOne(backend, kind, request.name());
  RowFilter filter;
  // Decisions and notices are all shown: none of them ends as an incident does.
  filter.all = request.all() || kind.kind == "decision" || kind.kind == "notice" || kind.kind == "event" ||
               kind.kind == "command" || kind.kind == "plan";
  if (request.since_us() > 0) filter.since = backend.Now() - request.since_us();
  const size_t limit = request.limit() == 0 ? kDefaultLimit : request.limit();
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List(kind.kind, filter, limit, request.cursor()));
  Listed listed;
  listed.next_cursor = page.next_cursor;
  Json items = Json::array();
  if (kind.kind == "command" && request.cursor().empty()) {
    QUELL_ASSIGN_OR_RETURN(items, OpenPlans(backend));
  }
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(Json item, kind.make(backend, row));
    if (LabelsMatch(item, request.labels())) items.push_back(std::move(item));
  }
  listed.json = Json{{"items", std::move(items)}};
  return listed;
}

// ---- descriptions

Json EvidenceListed(OperatorBackend& backend, const std::string& owner) {
  Json out = Json::array();
  const auto items = backend.Evidence(owner);
  if (!items.ok()) return out;
  for (const auto& item : *items)
    out.push_back(Json{{"name", item.name},
                       {"sha256", HexEncode(item.sha256)},
                       {"bytes", item.size},
                       {"expires_at", TimeJson(item.expires)}});
  return out;
}

absl::StatusOr<Json> OneOf(OperatorBackend& backend, const std::string& plural, const std::string& name) {
  v1::GetRequest request;
  request.set_kind(plural);
  request.set_name(name);
  QUELL_ASSIGN_OR_RETURN(const Listed listed, ListDocument(backend, request));
  return listed.json["items"].front();
}

absl::StatusOr<Json> Decisions(OperatorBackend& backend, const RowFilter& filter,
                               const std::function<bool(const v1::Decision&)>& wanted) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("decision", filter, kMostRows, ""));
  Json out = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Decision decision, Parsed<v1::Decision>(row));
    if (wanted(decision)) out.push_back(DecisionJson(decision));
  }
  std::reverse(out.begin(), out.end());  // oldest first, as it happened
  return out;
}

// Those around its start, oldest first. One that the lists no longer have keeps its id.
Json ChangesOf(OperatorBackend& backend, const v1::Incident& incident) {
  Json changes = Json::array();
  for (const std::string& id : incident.changes()) {
    const auto row = backend.Find("change", id);
    const auto change = row.ok() ? ChangeRow(backend, *row) : absl::StatusOr<Json>(row.status());
    changes.push_back(change.ok() ? *change : Json{{"id", id}, {"at", nullptr}});
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Json& a, const Json& b) { return a["at"] < b["at"]; });
  return changes;
}

}  // namespace

Json FullCommand(OperatorBackend& backend, const v1::CommandEntry& command) {
  return CommandJson(command, IncidentNumber(backend, command.incident()));
}

absl::StatusOr<Json> FullIncident(OperatorBackend& backend, const v1::Incident& incident, bool timeline) {
  Json json = IncidentJson(incident, timeline);
  QUELL_ASSIGN_OR_RETURN(json["commands"], CommandsOf(backend, incident));
  QUELL_ASSIGN_OR_RETURN(json["plans"], PlansOf(backend, incident));
  Json signals = Json::array();
  for (const auto& key : incident.signals()) {
    if (signals.size() >= kMostSignalsShown) break;
    const auto row = backend.Find("signal", key);
    const auto signal = row.ok() ? Parsed<v1::Signal>(*row) : absl::StatusOr<v1::Signal>(row.status());
    signals.push_back(signal.ok() ? SignalJson(*signal) : Json{{"key", key}});
  }
  json["signals"] = std::move(signals);
  json["changes"] = ChangesOf(backend, incident);
  return json;
}

absl::StatusOr<Json> StatusDocument(OperatorBackend& backend) {
  const ProgramInfo info = backend.Info();
  const Micros now = backend.Now();
  bool more = false;
  Json out = {
      {"at", TimeJson(now)},
      {"controller",
       Json{{"version", info.version}, {"started_at", TimeJson(info.started)}, {"epoch", info.epoch}}},
      {"data_age_seconds",
       info.data_age < 0 ? Json(nullptr) : Json(static_cast<double>(info.data_age) / kSecond)},
      {"automation", AutomationSummary(backend.Config())}};
  QUELL_ASSIGN_OR_RETURN(out["hosts"], HostsSummary(backend));
  QUELL_ASSIGN_OR_RETURN(out["holds"], HoldsSummary(backend));
  QUELL_ASSIGN_OR_RETURN(out["incidents"], OpenIncidents(backend, &more));
  out["more_incidents"] = more;
  return out;
}

absl::StatusOr<Listed> ListDocument(OperatorBackend& backend, const v1::GetRequest& request) {
  for (const auto& kind : RowKinds())
    if (kind.plural == request.kind() || kind.kind == request.kind()) return ListRows(backend, kind, request);
  QUELL_ASSIGN_OR_RETURN(Json items, Configured(backend, request.kind()));
  if (items.is_null()) return UnknownKind(request.kind());
  return ListConfigured(std::move(items), request);
}

absl::StatusOr<Json> DescribeDocument(OperatorBackend& backend, const v1::DescribeRequest& request,
                                      const Caller& caller) {
  const bool evidence = caller.role >= Role::kResponder;
  if (request.kind() == "incident") {
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend, request.name()));
    QUELL_ASSIGN_OR_RETURN(Json json, FullIncident(backend, incident, true));
    if (evidence) json["evidence"] = EvidenceListed(backend, incident.id());
    return json;
  }
  if (request.kind() == "command" || request.kind() == "plan") {
    const auto command = ResolveCommand(backend, request.name());
    if (!command.ok()) return CommandOrPlan(backend, request.name());
    Json json = WithIntent(FullCommand(backend, *command), command->intent());
    if (evidence) {
      QUELL_ASSIGN_OR_RETURN(json["evidence"], EvidenceItems(backend, *command));
    }
    return json;
  }
  const std::map<std::string, std::string> plurals = {
      {"host", "hosts"}, {"app", "apps"},       {"service", "services"}, {"policy", "policies"},
      {"rule", "rules"}, {"signal", "signals"}, {"action", "actions"}};
  const auto plural = plurals.find(request.kind());
  if (plural == plurals.end())
    return absl::InvalidArgumentError(
        absl::StrCat("there is no \"", request.kind(),
                     "\" to describe; there are: incident, command, plan, host, app, service, policy, "
                     "rule, signal, action"));
  if (request.name().empty()) return absl::InvalidArgumentError(absl::StrCat("name the ", request.kind()));
  return OneOf(backend, plural->second, request.name());
}

absl::StatusOr<Json> ExplainDocument(OperatorBackend& backend, std::string_view name) {
  if (LooksLikeCommand(name)) {
    QUELL_ASSIGN_OR_RETURN(const Json command, CommandOrPlan(backend, name));
    const std::string id = command["id"],
                      plan = command.value("plan", Json(nullptr)).is_string() ? command["plan"] : "";
    const std::string incident = command["incident"].is_string() ? command["incident"] : "";
    Json out = {{"command", command}};
    QUELL_ASSIGN_OR_RETURN(out["decisions"],
                           Decisions(backend, Everything(incident), [&](const v1::Decision& d) {
                             return d.command() == id || (!plan.empty() && d.command() == plan);
                           }));
    return out;
  }
  if (name.find('/') != std::string_view::npos) {
    const auto row = backend.Find("signal", name);
    if (!row.ok()) return absl::NotFoundError(absl::StrCat("there is no signal ", View(name)));
    QUELL_ASSIGN_OR_RETURN(const v1::Signal signal, Parsed<v1::Signal>(*row));
    Json out = {{"signal", SignalJson(signal)}};
    QUELL_ASSIGN_OR_RETURN(out["decisions"], Decisions(backend, Everything(), [&](const v1::Decision& d) {
                             return d.signal() == signal.key();
                           }));
    return out;
  }
  QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend, name));
  Json out = Json::object();
  QUELL_ASSIGN_OR_RETURN(out["incident"], FullIncident(backend, incident, true));
  QUELL_ASSIGN_OR_RETURN(out["decisions"], Decisions(backend, Everything(incident.id()),
                                                     [](const v1::Decision&) { return true; }));
  return out;
}

Json WhoAmIDocument(const Caller& caller) {
  Json json = {{"name", caller.name}, {"role", RoleName(caller.role)}, {"via", caller.via}};
  if (caller.expires == 0)
    json["uid"] = caller.uid;
  else
    json["certificate_expires_at"] = TimeJson(caller.expires);
  return json;
}

Json VersionDocument(const ProgramInfo& info) {
  return {{"controller", info.version},
          {"controller_id", info.controller_id},
          {"epoch", info.epoch},
          {"started_at", TimeJson(info.started)},
          {"store", info.store}};
}

Json AuditDocument(const AuditReport& report) {
  return {{"holds", report.problem.empty()},
          {"records", report.records},
          {"groups", report.groups},
          {"last_seq", report.last_seq},
          {"problem", report.problem.empty() ? Json(nullptr) : Json(report.problem)}};
}

}  // namespace quell::operators
