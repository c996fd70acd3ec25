#include "cli/doctor.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

constexpr absl::Duration kLookBack = absl::Hours(24);
constexpr absl::Duration kOldData = absl::Minutes(1);
// A certificate of an enrolled host (24 h) is renewed at half of its life; one of `pki init` (days) never.
constexpr absl::Duration kSoonOfEnrolled = absl::Hours(6);
constexpr absl::Duration kSoonOfOthers = absl::Hours(7 * 24);
constexpr size_t kMostNamed = 5;

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

absl::Time TimeOf(const Json& json, const char* key) {
  absl::Time time = absl::InfinitePast();
  std::string error;
  absl::ParseTime(absl::RFC3339_full, Text(json, key), &time, &error);
  return time;
}

struct Diagnosis {
  const Json& documents;
  absl::Time now;
  Json findings = Json::array();

  void Well(const std::string& what, const std::string& why) {
    findings.push_back(Json{{"well", true}, {"what", what}, {"why", why}, {"mend", nullptr}});
  }
  void Ill(const std::string& what, const std::string& why, const std::string& mend) {
    findings.push_back(Json{{"well", false}, {"what", what}, {"why", why}, {"mend", mend}});
  }
  Json Items(const char* kind) const {
    const Json list = documents.value(kind, Json::object());
    return list.value("items", Json::array());
  }
};

// The first few of them, and how many there are besides.
std::string Named(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kMostNamed);
  std::string out = absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  return names.size() > shown ? absl::StrCat(out, " and ", names.size() - shown, " more") : out;
}

void LookAtCertificate(Diagnosis& d, const Json& host) {
  const std::string name = Text(host, "name");
  const absl::Time until = TimeOf(host, "certificate_expires_at");
  if (until == absl::InfinitePast()) return;
  const bool enrolled = !Text(host, "enrolled_at").empty();
  if (until <= d.now)
    return d.Ill(
        "host " + name, absl::StrCat("its certificate ended at ", Text(host, "certificate_expires_at")),
        absl::StrCat("on ", name, ": quell-agent doctor    # the controller's port 7401 makes it a new one"));
  if (until - d.now >= (enrolled ? kSoonOfEnrolled : kSoonOfOthers)) return;
  d.Ill(
      "host " + name,
      absl::StrCat("its certificate ends at ", Text(host, "certificate_expires_at"), " and was not renewed"),
      enrolled ? absl::StrCat("on ", name, ": quell-agent doctor")
               : absl::StrCat("quell agent token --host ", name,
                              " --replace --out FILE    # then enrol it: it renews itself"));
}

void LookAtHosts(Diagnosis& d) {
  const std::string version =
      Text(d.documents.value("status", Json::object()).value("controller", Json::object()), "version");
  size_t well = 0;
  for (const Json& host : d.Items("hosts")) {
    const std::string name = Text(host, "name"), what = "host " + name;
    if (Text(host, "membership") != "in_force") continue;
    const size_t before = d.findings.size();
    LookAtCertificate(d, host);
    if (Text(host, "liveness") != "connected") {
      d.Ill(what, absl::StrCat("is ", Text(host, "liveness"), "; seen last at ", Text(host, "seen_at")),
            absl::StrCat(
                "on ", name,
                ": systemctl start quell-agent && quell-agent doctor    # gone for good: quell agent delete ",
                name, " --why …"));
      continue;
    }
    if (Text(host, "executor") != "connected")
      d.Ill(what, "has no executor: nothing can be done there, and no PM2 is read",
            absl::StrCat("on ", name, ": systemctl start quell-executor"));
    if (!Text(host, "sanctions_error").empty())
      d.Ill(what, absl::StrCat("refuses everything: ", Text(host, "sanctions_error")),
            absl::StrCat("on ", name, ": quell-agent doctor    # says the line of sanctions.yaml"));
    if (host.value("held", false))
      d.Ill(what, "is held by a file of its own: nothing is done there",
            absl::StrCat("on ", name, ": rm /etc/quell/hold"));
    if (!version.empty() && Text(host, "agent_version") != version)
      d.Ill(what, absl::StrCat("runs version ", Text(host, "agent_version"), ", the controller ", version),
            absl::StrCat("on ", name, ": apt install quell-agent=", version, "*"));
    well += d.findings.size() == before ? 1 : 0;
  }
  if (d.Items("hosts").empty())
    return d.Ill("hosts", "there is none",
                 "quell agent token --host NAME --out FILE    # then enrol it with that file");
  d.Well("hosts", absl::StrCat(well, well == 1 ? " host has" : " hosts have", " nothing to mend"));
}

void LookAtData(Diagnosis& d) {
  const Json status = d.documents.value("status", Json::object());
  const Json age = status.value("data_age_seconds", Json(nullptr));
  if (age.is_number() && age.get<double>() > absl::ToDoubleSeconds(kOldData))
    d.Ill("data", absl::StrCat("the newest sample is ", static_cast<int64_t>(age.get<double>()), " s old"),
          "journalctl -u quell-controller -n 50");
  for (const Json& hold : status.value("holds", Json::array()))
    d.Ill("hold",
          absl::StrCat(Text(hold, "scope"), " by ", Text(hold, "by"), " since ", Text(hold, "since"), ": ",
                       Text(hold, "why")),
          "quell hold end " + Text(hold, "id"));
}

void LookAtReceivers(Diagnosis& d) {
  std::set<std::string> names;
  bool wakes = false;
  for (const Json& receiver : d.Items("receivers")) {
    names.insert(Text(receiver, "name"));
    wakes = wakes || receiver.value("wakes", false);
  }
  const std::string edit =
      "editor /etc/quell/controller.yaml && systemctl reload quell-controller    # receivers: ";
  if (names.empty()) return d.Ill("receivers", "there is none: nobody is told of anything", edit + "oncall");
  if (!wakes)
    d.Ill("receivers", "none of them wakes anybody: pages are sent nowhere", edit + "one with wakes: true");
  if (names.count("management") == 0)
    d.Ill("receivers", "there is none for management: P0 and P1 go no further than on-call",
          edit + "management, and audience");
  std::map<std::string, std::string> failing;  // receiver -> its last error
  std::set<std::string> sent;
  for (const Json& notice : d.Items("notices")) {  // the newest come first
    const std::string name = Text(notice, "receiver");
    if (TimeOf(notice, "queued_at") < d.now - kLookBack || failing.count(name) != 0) continue;
    if (Text(notice, "state") == "sent") sent.insert(name);
    if (!Text(notice, "error").empty() && sent.count(name) == 0 && names.count(name) != 0)
      failing[name] = Text(notice, "error");
  }
  for (const auto& [name, error] : failing)
    d.Ill("receiver " + name, absl::StrCat("its newest notice was not taken: ", error),
          "quell notify test " + name);
  if (failing.empty()) d.Well("receivers", absl::StrCat(names.size(), ", and none refused its last notice"));
}

void LookAtRules(Diagnosis& d) {
  std::vector<std::string> without, observing;
  for (const Json& rule : d.Items("rules")) {
    if (Text(rule, "service").empty()) without.push_back(Text(rule, "name"));
  }
  if (!without.empty())
    d.Ill("rules", absl::StrCat(without.size(), " name no service and count as P2 at most: ", Named(without)),
          "editor /etc/quell/rules.d/FILE && systemctl reload quell-controller    # labels: {service: NAME}");
  for (const Json& policy : d.Items("policies")) {
    if (Text(policy, "mode") == "observe") observing.push_back(Text(policy, "name"));
  }
  if (!observing.empty())
    d.Ill("policies", absl::StrCat("only observed: ", Named(observing)),
          "editor /etc/quell/policies.d/FILE && systemctl reload quell-controller    # mode: ask");
  if (d.Items("rules").empty())
    d.Ill("rules", "there is none: nothing is noticed but lost hosts",
          "editor /etc/quell/controller.yaml && systemctl reload quell-controller    # defaults: "
          "/usr/share/quell");
}

// What a host's own sanctions refused, once per host, action and user; and outcomes that nobody knows.
void LookAtCommands(Diagnosis& d) {
  std::set<std::string> told;
  for (const Json& command : d.Items("commands")) {
    const std::string state = Text(command, "state"), host = Text(command, "host"),
                      action = Text(command, "action");
    if (TimeOf(command, "proposed_at") < d.now - kLookBack) continue;
    if (state == "unknown")
      d.Ill("command " + Text(command, "name"),
            absl::StrCat("nobody knows how ", action, " on ", host, " ended"),
            "quell explain " + Text(command, "name"));
    if (Text(command, "refusal") != "sanction" ||
        !told.insert(absl::StrCat(host, " ", action, " ", Text(command, "user"))).second)
      continue;
    d.Ill("host " + host, absl::StrCat("its sanctions refused ", action, ": ", Text(command, "reason")),
          absl::StrCat("on ", host,
                       ": editor /etc/quell/sanctions.yaml    # if it should be allowed; quell explain ",
                       Text(command, "name")));
  }
}

}  // namespace

Json Diagnose(const Json& documents, absl::Time now) {
  Diagnosis d{documents, now};
  LookAtData(d);
  LookAtHosts(d);
  LookAtReceivers(d);
  LookAtRules(d);
  LookAtCommands(d);
  const bool well =
      std::all_of(d.findings.begin(), d.findings.end(), [](const Json& f) { return f["well"].get<bool>(); });
  return Json{{"well", well}, {"findings", std::move(d.findings)}};
}

std::string DiagnosisView(const Json& diagnosis, const ViewOptions&) {
  std::string out;
  for (const Json& finding : diagnosis["findings"]) {
    const bool well = finding["well"].get<bool>();
    absl::StrAppend(&out, well ? "ok  " : "!!  ", text::Terminal(Text(finding, "what")), ": ",
                    text::Terminal(Text(finding, "why")), "\n");
    if (!well) absl::StrAppend(&out, "    mend: ", text::Terminal(Text(finding, "mend")), "\n");
  }
  return out;
}

int RunDoctor(Session& session) {
  const auto client = session.controller();
  if (!client.ok()) return session.Fail(client.status());
  Json documents = Json::object();
  const auto status = (*client)->Read("Status", v1::StatusRequest());
  if (!status.ok()) return session.Fail(status.status());
  documents["status"] = *status;
  for (const char* kind : {"hosts", "rules", "policies", "receivers", "notices", "commands"}) {
    v1::GetRequest request;
    request.set_kind(kind);
    request.set_limit(1000);
    request.set_all(kind == std::string_view("notices") || kind == std::string_view("commands"));
    const auto list = (*client)->Read("Get", request);
    if (!list.ok()) return session.Fail(list.status());
    documents[kind] = *list;
  }
  const Json diagnosis = Diagnose(documents, session.around().now());
  session.Print(diagnosis, DiagnosisView);
  return diagnosis["well"].get<bool>() ? kDone : kFailed;
}

}  // namespace quell::cli
