// The first screen: what is wrong, what was done, what waits for you, what to type next.
#include <algorithm>
#include <vector>

#include "cli/table.h"
#include "cli/view.h"
#include "common/base/time.h"

namespace quell::cli {
namespace {

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

const Json& Member(const Json& json, const char* key) {
  static const Json* nothing = new Json(Json::object());
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? *nothing : *found;
}

size_t Count(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return 0;
  if (found->is_number()) return found->get<size_t>();
  return found->is_array() ? found->size() : 0;
}

// "person:bob" -> "bob"
std::string Who(const std::string& who) {
  const size_t colon = who.find(':');
  return colon == std::string::npos ? who : who.substr(colon + 1);
}

// "in 2m", "2m ago".
std::string Until(const Json& time, const ViewOptions& options) {
  absl::Time at;
  std::string error;
  if (!time.is_string() || !absl::ParseTime(absl::RFC3339_full, time.get<std::string>(), &at, &error))
    return "";
  const int64_t left = absl::ToInt64Microseconds(at - options.now);
  return left >= 0 ? "in " + FormatAge(left) : FormatAge(-left) + " ago";
}

std::string Holds(const Json& document) {
  const Json& holds = Member(document, "holds");
  if (holds.empty()) return "HOLD none";
  std::string out = "HOLD " + Text(holds.front(), "scope") + " by " + Who(Text(holds.front(), "by"));
  if (holds.size() > 1) out += " and " + std::to_string(holds.size() - 1) + " more";
  return out;
}

std::string Hosts(const Json& document) {
  const Json& hosts = Member(document, "hosts");
  std::string out =
      "hosts " + std::to_string(Count(hosts, "connected")) + "/" + std::to_string(Count(hosts, "total"));
  std::string detail;
  if (Count(hosts, "lost") > 0) detail = std::to_string(Count(hosts, "lost")) + " lost";
  if (Count(hosts, "held") > 0)
    detail += (detail.empty() ? "" : ", ") + std::to_string(Count(hosts, "held")) + " held";
  return detail.empty() ? out : out + " (" + detail + ")";
}

std::string Fresh(const Json& document) {
  const auto age = document.find("data_age_seconds");
  if (age == document.end() || !age->is_number()) return "data none";
  return "data fresh " + FormatAge(static_cast<int64_t>(age->get<double>() * kSecond));
}

std::string Head(const Json& document, const ViewOptions& options) {
  const Json& automation = Member(document, "automation");
  std::string modes = "automation " + std::to_string(Count(automation, "automatic")) + " auto " +
                      std::to_string(Count(automation, "ask")) + " ask";
  if (Count(automation, "observe") > 0)
    modes += " " + std::to_string(Count(automation, "observe")) + " observe";
  const std::string up =
      "controller up " + ShowAge(Member(document, "controller").value("started_at", Json(nullptr)), options);
  return Flow({Holds(document), modes, Fresh(document), up, Hosts(document)}, " | ", options.columns, 5);
}

std::string Acknowledgement(const Json& incident, const ViewOptions& options) {
  const std::string taken = Who(Text(Member(incident, "roles"), "taken_by"));
  if (!taken.empty()) return "taken by " + taken;
  const std::string acked = Who(Text(Member(incident, "roles"), "acknowledged_by"));
  if (!acked.empty()) return "acked by " + acked;
  const Json deadline = Member(incident, "deadlines").value("acknowledge_by", Json(nullptr));
  const std::string when = Until(deadline, options);
  return when.empty() ? "UNACKED" : "UNACKED, escalates " + when;
}

std::string Watching(const Json& incident, const ViewOptions& options) {
  if (Text(incident, "status") != "monitoring") return "";
  return "fixed, watching until " +
         ShowTime(Member(incident, "deadlines").value("monitor_until", Json(nullptr)), options);
}

std::string Verdict(const Json& command) {
  const std::string verification = Text(Member(command, "verification"), "state");
  const std::string state = Text(command, "state");
  if (state != "succeeded") return state;
  if (verification == "verified") return "helped";
  if (verification == "not_verified") return "no help";
  return verification.empty() ? "done" : verification;
}

std::string WhatCommand(const Json& command) { return Text(command, "action") + " " + Text(command, "host"); }

// "rollback, 2 hosts"
std::string WhatPlan(const Json& plan) {
  const std::string action = Text(plan, "action");
  return action.substr(action.find('.') + 1) + ", " + Text(plan, "host");
}

struct Commands {
  std::string did;      // the newest that ran
  std::string waiting;  // the newest that waits for a person
  std::string waiting_name;
};

Commands Sum(const Json& incident) {
  Commands out;
  for (const auto& command : Member(incident, "commands")) {
    if (Text(command, "state") == "awaiting_approval") {
      out.waiting = WhatCommand(command);
      out.waiting_name = Text(command, "name");
    } else {
      out.did = WhatCommand(command) + ": " + Verdict(command);
    }
  }
  for (const auto& plan : Member(incident, "plans")) {
    const std::string state = Text(plan, "state");
    if (state == "awaiting_approval") {
      out.waiting = WhatPlan(plan);
      out.waiting_name = Text(plan, "name");
    } else if (state == "running") {
      out.did = WhatPlan(plan) + ", " + Text(plan, "begun") + " begun";
    }
  }
  return out;
}

std::string LastPage(const Json& incident, const ViewOptions& options) {
  const Json& page = Member(incident, "last_page");
  if (page.empty()) return "";
  const std::string state = Text(page, "state");
  if (state == "sent") return "last page " + ShowTime(page.value("sent_at", Json(nullptr)), options) + " ok";
  return "last page " + state;
}

std::string Incident(const Json& incident, const ViewOptions& options) {
  const Commands commands = Sum(incident);
  const std::string number = Text(incident, "number");
  const std::string head = Text(incident, "severity") + " #" + number + " " + Text(incident, "title") +
                           " since " + ShowTime(incident.value("started_at", Json(nullptr)), options) + " (" +
                           ShowAge(incident.value("started_at", Json(nullptr)), options) + ")";
  std::string out =
      Flow({head, Acknowledgement(incident, options), Watching(incident, options), Text(incident, "impact")},
           "  ", options.columns, 3);
  const std::string cause = Text(incident, "probable_cause");
  const std::string given_up = Text(incident, "given_up");
  const std::string middle =
      Flow({cause.empty() ? "" : "cause  " + cause, commands.did.empty() ? "" : "did  " + commands.did,
            commands.waiting.empty() ? "" : "WAITS FOR YOU: " + commands.waiting,
            given_up.empty() ? "" : "GAVE UP: " + given_up, LastPage(incident, options)},
           "   ", options.columns - 3, 0);
  for (size_t at = 0; at < middle.size();) {
    const size_t end = middle.find('\n', at);
    out += "   " + middle.substr(at, end - at) + "\n";
    at = end + 1;
  }
  std::vector<std::string> next;
  if (!commands.waiting_name.empty()) next.push_back("quell approve " + commands.waiting_name);
  next.push_back("quell explain " + number);
  if (Text(Member(incident, "roles"), "acknowledged_by").empty()) next.push_back("quell ack " + number);
  std::string steps;
  for (const auto& step : next) steps += (steps.empty() ? "" : " | ") + step;
  return out + "   " + Fit("next   " + steps, options.columns - 3) + "\n";
}

int Lines(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

std::string StatusView(const Json& document, const ViewOptions& options) {
  std::string out = Head(document, options);
  const Json& incidents = Member(document, "incidents");
  if (incidents.empty()) return out + "no open incident\n";
  size_t shown = 0;
  for (const auto& incident : incidents) {
    const std::string block = Incident(incident, options);
    // The last line stays free for saying that there is more.
    if (Lines(out) + Lines(block) > options.lines - 2) break;
    out += block;
    ++shown;
  }
  if (shown < incidents.size())
    out += "and " + std::to_string(incidents.size() - shown) + " more: quell get incidents\n";
  return out;
}

}  // namespace quell::cli
