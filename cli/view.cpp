#include "cli/view.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "cli/table.h"
#include "common/base/time.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

// Text of one member: "" when absent or null.
std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>()
                            : found->dump(-1, ' ', false, Json::error_handler_t::replace);
}
std::string Or(std::string text, const char* otherwise = "-") { return text.empty() ? otherwise : text; }

bool ParseTime(const Json& time, absl::Time* out) {
  if (!time.is_string()) return false;
  std::string error;
  return absl::ParseTime(absl::RFC3339_full, time.get<std::string>(), out, &error);
}

std::string Joined(const Json& json, const char* key, const std::string& separator = ",") {
  std::string out;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return out;
  for (const auto& item : *found) {
    if (!item.is_string()) continue;
    out += (out.empty() ? "" : separator) + item.get<std::string>();
  }
  return out;
}

// {a="1",b="2"} without the braces; of parameters those that were given, which "", 0 and false are not.
std::string Pairs(const Json& json, const char* key) {
  std::string out;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) return out;
  const bool of_an_act = std::string_view(key) == "params";
  for (const auto& [name, value] : found->items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (of_an_act && (text.empty() || text == "0" || text == "false")) continue;
    out += (out.empty() ? "" : ",") + name + "=" + text;
  }
  return out;
}

struct Column {
  const char* title;
  std::function<std::string(const Json&, const ViewOptions&)> cell;
  bool wide = false;
};

Column Of(const char* title, const char* key, bool wide = false) {
  return {title, [key](const Json& item, const ViewOptions&) { return Or(Text(item, key)); }, wide};
}
Column Time(const char* title, const char* key, bool wide = false) {
  return {
      title,
      [key](const Json& item, const ViewOptions& o) { return ShowTime(item.value(key, Json(nullptr)), o); },
      wide};
}
Column Age(const char* title, const char* key, bool wide = false) {
  return {
      title,
      [key](const Json& item, const ViewOptions& o) { return ShowAge(item.value(key, Json(nullptr)), o); },
      wide};
}
Column List(const char* title, const char* key, bool wide = false) {
  return {title, [key](const Json& item, const ViewOptions&) { return Or(Joined(item, key)); }, wide};
}
Column Labels(const char* title, const char* key, bool wide = false) {
  return {title, [key](const Json& item, const ViewOptions&) { return Or(Pairs(item, key)); }, wide};
}

std::string Number(const Json& item, const ViewOptions&) { return "#" + Text(item, "number"); }
std::string Acked(const Json& item, const ViewOptions&) {
  const std::string who = item.contains("roles") ? Text(item["roles"], "acknowledged_by") : "";
  return who.empty() ? "-" : who.substr(who.find(':') == std::string::npos ? 0 : who.find(':') + 1);
}
std::string AppCount(const Json& item, const ViewOptions&) {
  return std::to_string(item.contains("apps") ? item["apps"].size() : 0);
}

// The worst first.
std::string IncidentNumbers(const Json& item, const ViewOptions&) {
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& incident : item.value("incidents", Json::array()))
    found.emplace_back(Text(incident, "severity"), "#" + Text(incident, "number"));
  std::sort(found.begin(), found.end());
  std::string out;
  for (const auto& [severity, number] : found) out += (out.empty() ? "" : ",") + severity + " " + number;
  return Or(out);
}
std::string Components(const Json& item, const ViewOptions&) {
  std::string out;
  for (const auto& component : item.value("components", Json::array()))
    out += (out.empty() ? "" : ",") + Text(component, "name") + " (" + Text(component, "kind") + ")";
  return Or(out);
}

std::vector<Column> CommandColumns() {
  return {Of("NAME", "name"),         Of("ACTION", "action"), Of("HOST", "host"),
          Labels("PARAMS", "params"), Of("STATE", "state"),   Of("BY", "requested_by"),
          Age("AGE", "proposed_at"),  Of("REASON", "reason"), Of("ID", "id", true)};
}

const std::map<std::string, std::vector<Column>, std::less<>>& Kinds() {
  static const auto* kinds = new std::map<std::string, std::vector<Column>, std::less<>>{
      {"incidents",
       {{"NUMBER", Number},
        Of("SEV", "severity"),
        Of("STATUS", "status"),
        Age("AGE", "declared_at"),
        {"ACKED", Acked},
        List("HOSTS", "hosts"),
        Of("TITLE", "title"),
        Of("ID", "id", true),
        List("SERVICES", "services", true),
        Time("DECLARED", "declared_at", true),
        Time("RESOLVED", "resolved_at", true)}},
      {"hosts",
       {Of("NAME", "name"),
        Of("LIVENESS", "liveness"),
        Age("SINCE", "since"),
        Of("EXECUTOR", "executor"),
        {"APPS", AppCount},
        Of("AGENT", "agent_version"),
        Of("ID", "id", true),
        Labels("LABELS", "labels", true),
        Of("SANCTIONS", "sanctions_error", true)}},
      {"agents",
       {Of("NAME", "name"), Of("MEMBERSHIP", "membership"), Of("LIVENESS", "liveness"),
        Time("ENROLLED", "enrolled_at"), Time("CERTIFIED UNTIL", "certificate_expires_at"),
        Labels("LABELS", "labels"), Of("ID", "id", true), Of("TOKEN", "token", true)}},
      {"tokens",
       {Of("ID", "id"), Of("HOST", "host"), Labels("LABELS", "labels"), Of("BY", "made_by"),
        Time("UNTIL", "expires_at"), Time("USED", "used_at"), Of("HOST ID", "host_id", true)}},
      {"responders",
       {Of("NAME", "name"), Of("ROLE", "role"), Of("STATE", "state"), Time("SINCE", "since"),
        Of("BY", "by")}},
      {"services",
       {Of("NAME", "name"),
        {"COMPONENTS", Components},
        List("HOSTS", "hosts"),
        {"INCIDENTS", IncidentNumbers},
        Of("FROM", "from", true),
        Of("MAX", "max_severity", true),
        Labels("CONTACTS", "contacts", true)}},
      {"apps", {Of("HOST", "host"), Of("USER", "user"), Of("APP", "app"), Of("STATE", "state")}},
      {"signals",
       {Of("ALERT", "alert"), Of("SEV", "severity"), Of("STATE", "state"), Age("FIRED", "fired_at"),
        Of("VALUE", "value"), Labels("LABELS", "labels"), Of("INCIDENT", "incident", true),
        Of("KEY", "key", true)}},
      {"commands", CommandColumns()},
      {"plans", CommandColumns()},
      {"holds",
       {Of("ID", "id"), Of("SCOPE", "scope"), Of("BY", "by"), Age("SINCE", "since"), Time("UNTIL", "until"),
        Of("WHY", "why")}},
      {"changes",
       {Of("ID", "id"), Time("AT", "at"), Of("KIND", "kind"), Of("HOST", "host"), Of("SERVICE", "service"),
        Of("STATE", "state"), Of("SUMMARY", "summary"), Of("AUTHOR", "author"), Of("BY", "by", true),
        Time("UNTIL", "until", true), Labels("LABELS", "labels", true)}},
      {"notices",
       {Of("RECEIVER", "receiver"), Of("TRANSITION", "transition"), Of("STATE", "state"),
        Of("ATTEMPTS", "attempts"), Age("QUEUED", "queued_at"), Of("SUBJECT", "subject"),
        Of("ERROR", "error", true), Of("KEY", "key", true)}},
      {"decisions",
       {Time("AT", "at"), Of("VERDICT", "verdict"), Of("POLICY", "policy"), Of("HOST", "host"),
        Of("GUARD", "guard"), Of("REASON", "reason"), Of("SIGNAL", "signal", true)}},
      {"events",
       {Time("AT", "at"), Of("HOST", "host"), Of("KIND", "kind"), Labels("LABELS", "labels"),
        Of("TEXT", "text")}},
      {"rules",
       {Of("NAME", "name"), Of("SEV", "severity"), Of("SCOPE", "scope"), Of("SERVICE", "service"),
        Of("GROUP", "group"), List("FROM", "provenance"), Of("FILE", "file", true),
        List("METRICS", "metrics", true)}},
      {"policies",
       {Of("NAME", "name"),
        Of("MODE", "mode"),
        List("ALERTS", "alerts"),
        List("SEVERITIES", "severities"),
        Of("PAGE", "page"),
        {"STEPS",
         [](const Json& item, const ViewOptions&) {
           std::string out;
           for (const auto& step : item.value("steps", Json::array()))
             out += (out.empty() ? "" : ",") + Text(step, "action");
           return Or(out);
         }},
        Of("FILE", "file", true)}},
      {"actions", {Of("NAME", "name"), Of("RISK", "risk"), Of("SUMMARY", "summary")}},
      {"receivers", {Of("NAME", "name"), Of("TYPE", "type"), Of("WAKES", "wakes")}},
  };
  return *kinds;
}

std::string Section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : title + "\n" + body;
}

std::string Indented(const std::string& block) {
  std::string out;
  for (size_t at = 0; at < block.size();) {
    const size_t end = std::min(block.find('\n', at), block.size());
    out += "  " + block.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}

std::string Rows(const char* kind, const Json& items, const ViewOptions& options) {
  if (items.empty()) return "";
  return Indented(ListView(kind, Json{{"items", items}}, options));
}

void Field(std::string& out, const std::string& name, const std::string& value) {
  if (value.empty() || value == "-") return;
  std::string padded = name;
  padded.resize(std::max<size_t>(14, name.size() + 1), ' ');
  out += padded + text::Terminal(value) + "\n";
}

// The items of a command; "" when there are none.
std::string EvidenceTable(const Json& command, const ViewOptions& options) {
  const Json items = command.value("evidence", Json::array());
  if (items.empty()) return "";
  Table table({"EVIDENCE", "BYTES", "SHA256", ""});
  for (const auto& item : items) {
    const std::string sha256 = Text(item, "sha256");
    std::string note = Text(item, "missing");
    if (!note.empty()) note = "missing: " + note;
    if (item.contains("expired") && item["expired"] == true) note = "expired";
    table.Add({Or(Text(item, "name")), Or(Text(item, "bytes")),
               Or(options.wide ? sha256 : sha256.substr(0, 16)), note});
  }
  return Indented(table.Text());
}

// `value` as one word for a shell, whatever the owner of a name put in it.
std::string ShellWord(const std::string& value) {
  const bool plain = std::all_of(value.begin(), value.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == '/';
  });
  if (plain && !value.empty()) return value;
  return "'" + absl::StrReplaceAll(value, {{"'", "'\\''"}}) + "'";
}

// What a person would type.
std::string UndoLine(const Json& undo) {
  std::string line = "quell run " + Text(undo, "action") + " --host " + ShellWord(Text(undo, "host"));
  const Json params = undo.value("params", Json::object());
  for (const auto& [name, value] : params.items()) {
    if (value.is_string() && value != "") line += " --" + name + " " + ShellWord(value.get<std::string>());
  }
  return line;
}

}  // namespace

std::string ShowTime(const Json& time, const ViewOptions& options) {
  absl::Time at;
  if (!ParseTime(time, &at)) return "-";
  const bool today = absl::ToCivilDay(at, options.zone) == absl::ToCivilDay(options.now, options.zone);
  return absl::FormatTime(today ? "%H:%M:%S" : "%Y-%m-%d %H:%M", at, options.zone);
}

std::string ShowAge(const Json& time, const ViewOptions& options) {
  absl::Time at;
  if (!ParseTime(time, &at)) return "-";
  return FormatAge(absl::ToInt64Microseconds(options.now - at));
}

std::string ListView(std::string_view kind, const Json& document, const ViewOptions& options) {
  const auto columns = Kinds().find(kind);
  const Json items = document.value("items", Json::array());
  if (columns == Kinds().end()) return JsonText(document);
  if (items.empty()) return "";
  std::vector<const Column*> shown;
  std::vector<std::string> titles;
  for (const auto& column : columns->second) {
    if (column.wide && !options.wide) continue;
    shown.push_back(&column);
    titles.emplace_back(column.title);
  }
  Table table(titles);
  for (const auto& item : items) {
    std::vector<std::string> cells;
    for (const Column* column : shown) cells.push_back(column->cell(item, options));
    table.Add(std::move(cells));
  }
  return table.Text();
}

std::string IncidentView(const Json& incident, const ViewOptions& options) {
  std::string out = text::Terminal("#" + Text(incident, "number") + " " + Text(incident, "severity") + " " +
                                   Text(incident, "title")) +
                    "\n";
  Field(out, "id", Text(incident, "id"));
  Field(out, "status", Text(incident, "status"));
  Field(out, "impact", Text(incident, "impact"));
  Field(out, "hosts", Joined(incident, "hosts", ", "));
  Field(out, "services", Joined(incident, "services", ", "));
  for (const char* key :
       {"started_at", "detected_at", "declared_at", "acknowledged_at", "mitigated_at", "resolved_at"}) {
    const Json time = incident.value(key, Json(nullptr));
    if (!time.is_null())
      Field(out, std::string(key).substr(0, std::string(key).find('_')),
            ShowTime(time, options) + " (" + ShowAge(time, options) + ")");
  }
  Field(out, "acked by", Acked(incident, options));
  Field(out, "cause", Text(incident, "probable_cause"));
  Field(out, "root cause", Text(incident, "root_cause"));
  Field(out, "resolution", Text(incident, "resolution"));
  Field(out, "given up", Text(incident, "given_up"));
  out += Section("signals", Rows("signals", incident.value("signals", Json::array()), options));
  out += Section("plans", Rows("plans", incident.value("plans", Json::array()), options));
  out += Section("changes", Rows("changes", incident.value("changes", Json::array()), options));
  out += Section("commands", Rows("commands", incident.value("commands", Json::array()), options));
  Table timeline({"AT", "WHO", "WHAT", ""});
  for (const auto& entry : incident.value("timeline", Json::array()))
    timeline.Add({ShowTime(entry.value("at", Json(nullptr)), options), Text(entry, "who"),
                  Text(entry, "kind"), Text(entry, "text")});
  if (!incident.value("timeline", Json::array()).empty())
    out += Section("timeline", Indented(timeline.Text()));
  return out;
}

namespace {

// "alice (signed), root (not signed)"
std::string Approvals(const Json& command) {
  std::string out;
  for (const auto& approval : command.value("approvals", Json::array())) {
    std::string who = Text(approval, "person");
    if (who.rfind("person:", 0) == 0) who = who.substr(7);
    out +=
        (out.empty() ? "" : ", ") + who + (approval.value("signed", false) ? " (signed)" : " (not signed)");
  }
  return out;
}

}  // namespace

std::string CommandView(const Json& command, const ViewOptions& options) {
  std::string out =
      text::Terminal(Text(command, "name") + " " + Text(command, "action") + " on " + Text(command, "host")) +
      "\n";
  for (const char* key : {"id", "state", "reason", "requested_by", "policy", "incident"})
    Field(out, key, Text(command, key));
  Field(out, "approved_by", Approvals(command));
  Field(out, "params", Pairs(command, "params"));
  Field(out, "hosts", Joined(command, "hosts", ", "));
  Field(out, "begun", Text(command, "begun"));
  for (const char* key : {"proposed_at", "issued_at", "delivered_at", "started_at", "finished_at"})
    Field(out, key, ShowTime(command.value(key, Json(nullptr)), options));
  if (command.contains("verification") && command["verification"].is_object())
    Field(out, "verification", Text(command["verification"], "state"));
  Table sessions({"PID", "USER", "DATABASE", "APPLICATION", "STATE", "VICTIMS"});
  for (const auto& item : command.value("sessions", Json::array()))
    sessions.Add({Text(item, "pid"), Or(Text(item, "role")), Or(Text(item, "database")),
                  Or(Text(item, "application")), Or(Text(item, "state")), Text(item, "victims")});
  if (!command.value("sessions", Json::array()).empty()) out += Indented(sessions.Text());
  if (command.contains("release") && command["release"].is_object()) {
    const Json& release = command["release"];
    Field(out, "release", Text(release["from"], "name") + " -> " + Text(release["to"], "name"));
    Field(out, "running", Text(release, "running"));
  }
  if (command.contains("undo") && command["undo"].is_object()) Field(out, "undo", UndoLine(command["undo"]));
  out += EvidenceTable(command, options);
  return out + Section("commands", Rows("commands", command.value("commands", Json::array()), options));
}

std::string EvidenceView(const Json& document, const ViewOptions& options) {
  std::string out;
  for (const auto& command : document.value("commands", Json::array())) {
    out += text::Terminal(Text(command, "name") + " " + Text(command, "action") + " on " +
                          Text(command, "host") + " (" + Text(command, "state") + ")") +
           "\n";
    const std::string items = EvidenceTable(command, options);
    out += items.empty() ? "  none was taken\n" : items;
  }
  return out.empty() ? "no command was given\n" : out;
}

std::string EvidenceItemView(const Json& document, const ViewOptions&) {
  std::string content = Text(document, "content");
  std::string bytes;
  if (Text(document, "encoding") == "base64" && absl::Base64Unescape(content, &bytes)) content = bytes;
  std::string out = text::Terminal(content, true);
  if (!out.empty() && out.back() != '\n') out += "\n";
  return out;
}

std::string DraftView(const Json& document, const ViewOptions&) {
  return text::Terminal(Text(document, "catalogue"), true);
}

std::string ExplainView(const Json& document, const ViewOptions& options) {
  std::string out;
  if (document.contains("incident")) out += IncidentView(document["incident"], options);
  if (document.contains("command")) out += CommandView(document["command"], options);
  if (document.contains("signal"))
    out += ListView("signals", Json{{"items", Json::array({document["signal"]})}}, options);
  const Json decisions = document.value("decisions", Json::array());
  out += decisions.empty() ? "decisions\n  none was taken\n"
                           : Section("decisions", Rows("decisions", decisions, options));
  return out;
}

std::string QueryView(const Json& document, const ViewOptions& options) {
  Table table({"SERIES", "AT", "VALUE"});
  for (const auto& one : document.value("result", Json::array())) {
    std::string name;
    std::string labels;
    const Json metric = one.value("metric", Json::object());
    for (const auto& [key, value] : metric.items()) {
      if (!value.is_string()) continue;
      if (key == "__name__")
        name = value.get<std::string>();
      else
        labels += (labels.empty() ? "" : ", ") + key + "=" + text::Json(value.get<std::string>());
    }
    const Json points =
        one.contains("values") ? one["values"] : Json::array({one.value("value", Json::array())});
    for (const auto& point : points) {
      if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_string()) continue;
      const absl::Time at =
          absl::UnixEpoch() + absl::Milliseconds(static_cast<int64_t>(point[0].get<double>() * 1000));
      table.Add({name + "{" + labels + "}", absl::FormatTime("%H:%M:%S", at, options.zone),
                 point[1].get<std::string>()});
    }
  }
  return table.Text();
}

std::string FieldsView(const Json& document, const ViewOptions& options) {
  std::string out;
  for (const auto& [key, value] : document.items()) {
    const bool time = key.size() > 3 && key.substr(key.size() - 3) == "_at";
    Field(out, key, time ? ShowTime(value, options) : Text(document, key.c_str()));
  }
  return out;
}

std::string JsonText(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace quell::cli
