// Golden output: a fixed document, time and zone give exactly this text.
#include "cli/view.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/exit_codes.h"
#include "cli/run.h"
#include "cli/table.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

ViewOptions At(const char* now) {
  ViewOptions options;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, now, &options.now, &error)) << error;
  options.zone = absl::UTCTimeZone();
  return options;
}

const char kStatus[] = R"({
  "at": "2026-11-23T03:18:07Z",
  "controller": {"version": "0.1.0", "started_at": "2026-10-13T03:00:00Z", "epoch": 7},
  "data_age_seconds": 2.4,
  "automation": {"automatic": 3, "ask": 4, "observe": 0},
  "hosts": {"total": 50, "connected": 48, "lost": ["web-7", "web-8"], "held": []},
  "holds": [],
  "incidents": [
    {"number": 417, "severity": "P0", "title": "client-portal down", "status": "investigating",
     "started_at": "2026-11-23T03:12:07Z", "impact": "seen from 2 hosts",
     "roles": {"commander": null, "taken_by": null, "acknowledged_by": null},
     "deadlines": {"acknowledge_by": "2026-11-23T03:20:10Z", "monitor_until": null},
     "probable_cause": "AppHung on web-1",
     "commands": [
       {"name": "417.1", "action": "pm2.restart", "host": "web-1", "state": "succeeded", "verification": {"state": "not_verified"}},
       {"name": "417.2", "action": "pm2.restart", "host": "web-2", "state": "awaiting_approval", "verification": null}],
     "last_page": {"state": "sent", "sent_at": "2026-11-23T03:13:00Z"}, "given_up": null},
    {"number": 416, "severity": "P2", "title": "replication lag db-2", "status": "monitoring",
     "started_at": "2026-11-23T02:18:07Z", "impact": "",
     "roles": {"acknowledged_by": "person:bob", "taken_by": null},
     "deadlines": {"acknowledge_by": null, "monitor_until": "2026-11-23T03:50:00Z"},
     "probable_cause": null, "commands": [], "last_page": null, "given_up": null}
  ],
  "more_incidents": false
})";

TEST(StatusView, Golden) {
  EXPECT_EQ(StatusView(Json::parse(kStatus), At("2026-11-23T03:18:07Z")),
            "HOLD none | automation 3 auto 4 ask | data fresh 2s | controller up 41d\n"
            "     hosts 48/50 (2 lost)\n"
            "P0 #417 client-portal down since 03:12:07 (6m)  UNACKED, escalates in 2m3s\n"
            "   seen from 2 hosts\n"
            "   cause  AppHung on web-1   did  pm2.restart web-1: no help\n"
            "   WAITS FOR YOU: pm2.restart web-2   last page 03:13:00 ok\n"
            "   next   quell approve 417.2 | quell explain 417 | quell ack 417\n"
            "P2 #416 replication lag db-2 since 02:18:07 (1h)  acked by bob\n"
            "   fixed, watching until 03:50:00\n"
            "   next   quell explain 416\n");
}

TEST(StatusView, APlanThatWaits) {
  Json document = Json::parse(kStatus);
  Json& incident = document["incidents"][0];
  incident["commands"].erase(1);
  incident["plans"] = Json::array({Json{{"name", "417.3"},
                                        {"action", "release.rollback"},
                                        {"host", "2 hosts"},
                                        {"state", "awaiting_approval"},
                                        {"begun", 0}}});
  std::string screen = StatusView(document, At("2026-11-23T03:18:07Z"));
  EXPECT_NE(screen.find("did  pm2.restart web-1: no help"), std::string::npos) << screen;
  EXPECT_NE(screen.find("WAITS FOR YOU: rollback, 2 hosts"), std::string::npos) << screen;
  EXPECT_NE(screen.find("quell approve 417.3"), std::string::npos) << screen;
  incident["plans"][0]["state"] = "running";
  incident["plans"][0]["begun"] = 1;
  screen = StatusView(document, At("2026-11-23T03:18:07Z"));
  EXPECT_NE(screen.find("did  rollback, 2 hosts, 1 begun"), std::string::npos) << screen;
  EXPECT_EQ(screen.find("WAITS"), std::string::npos) << screen;
}

TEST(Run, APlansExitSaysWhetherAllOfItIsDone) {
  const auto plan = [](const char* state, const char* command, const char* verification) {
    return Json{{"state", state},
                {"commands",
                 Json::array({Json{{"state", command}, {"verification", Json{{"state", verification}}}}})}};
  };
  EXPECT_EQ(ExitOfPlan(plan("done", "succeeded", "verified")), kDone);
  EXPECT_EQ(ExitOfPlan(plan("stopped", "succeeded", "not_verified")), kFailed);
  EXPECT_EQ(ExitOfPlan(plan("stopped", "succeeded", "verified")), kWithheld) << "by a hold";
  EXPECT_EQ(ExitOfPlan(plan("stopped", "unknown", "")), kUnknown);
  EXPECT_EQ(ExitOfPlan(plan("denied", "succeeded", "verified")), kWithheld);
  EXPECT_EQ(ExitOfPlan(plan("running", "succeeded", "verified")), kTimedOut);
}

TEST(StatusView, NothingWrong) {
  Json document = Json::parse(kStatus);
  document["incidents"] = Json::array();
  document["holds"] = Json::array({Json{{"scope", "all"}, {"by", "person:alice"}}});
  document["data_age_seconds"] = nullptr;
  EXPECT_EQ(StatusView(document, At("2026-11-23T03:18:07Z")),
            "HOLD all by alice | automation 3 auto 4 ask | data none | controller up 41d\n"
            "     hosts 48/50 (2 lost)\n"
            "no open incident\n");
}

TEST(StatusView, StaysWithinTheScreen) {
  Json document = Json::parse(kStatus);
  Json one = document["incidents"][0];
  one["title"] = std::string(300, 'x');
  one["impact"] = std::string(300, 'y');
  document["incidents"] = Json::array();
  for (int i = 0; i < 20; ++i) document["incidents"].push_back(one);
  const std::string screen = StatusView(document, At("2026-11-23T03:18:07Z"));
  std::istringstream lines(screen);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(text::DisplayWidth(line), 80) << line;
  EXPECT_LE(count, 24);
  EXPECT_NE(screen.find("more: quell get incidents\n"), std::string::npos) << screen;
}

// What comes from a fleet cannot move the cursor or hide text.
TEST(Views, X06_TerminalControlsAreShownNotSent) {
  const std::string evil =
      "\x1b[2J\x1b]0;x\x07 up\xe2\x80\xae"
      "down\r\n$(id)";
  Json document = Json::parse(kStatus);
  document["incidents"][0]["title"] = evil;
  document["incidents"][0]["impact"] = evil;
  document["incidents"][0]["probable_cause"] = evil;
  document["incidents"][0]["commands"][0]["host"] = evil;
  document["holds"] = Json::array({Json{{"scope", evil}, {"by", evil}, {"why", evil}}});
  const Json items = {{"items", Json::array({Json{{"name", evil},
                                                  {"title", evil},
                                                  {"alert", evil},
                                                  {"labels", Json{{evil, evil}}},
                                                  {"reason", evil},
                                                  {"text", evil}}})}};
  const ViewOptions options = At("2026-11-23T03:18:07Z");
  std::string all =
      StatusView(document, options) + IncidentView(document["incidents"][0], options) +
      CommandView(items["items"][0], options) + FieldsView(items["items"][0], options) +
      ExplainView(Json{{"incident", document["incidents"][0]}, {"decisions", items["items"]}}, options);
  for (const char* kind : {"incidents", "hosts", "apps", "signals", "commands", "plans", "holds", "notices",
                           "decisions", "events", "rules", "policies", "actions", "receivers"})
    all += ListView(kind, items, options);
  all += QueryView(Json{{"result", Json::array({Json{{"metric", Json{{"__name__", "up"}, {"x", evil}}},
                                                     {"value", Json::array({1.0, evil})}}})}},
                   options);
  for (const char c : all) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << int(c);
  EXPECT_EQ(all.find("\xe2\x80\xae"), std::string::npos) << "bidi override";
}

TEST(CommandView, SaysWhereARollbackWentAndWhatTakesItBack) {
  const Json command = Json::parse(R"json({
    "name": "417.2", "action": "release.rollback", "host": "web-1", "state": "succeeded",
    "params": {"user": "deploy", "deployment": "portal", "to": "previous", "accept_migrations": false},
    "release": {"from": {"name": "$(id) '1'"}, "to": {"name": "1.8.1"}, "running": "/opt/portal/releases/1.8.1"},
    "undo": {"action": "release.rollback", "host": "web-1",
             "params": {"user": "deploy", "deployment": "portal", "to": "$(id) '1'",
                        "accept_migrations": false}}})json");
  const std::string view = CommandView(command, At("2026-11-23T03:18:07Z"));
  EXPECT_NE(view.find("release       $(id) '1' -> 1.8.1\n"), std::string::npos) << view;
  EXPECT_NE(view.find("running       /opt/portal/releases/1.8.1\n"), std::string::npos) << view;
  // It can be pasted as it stands.
  const std::string undo =
      "undo          quell run release.rollback --host web-1 --user deploy --deployment portal "
      "--to '$(id) '\\''1'\\'''\n";
  EXPECT_NE(view.find(undo), std::string::npos) << view;
}

const char kCommands[] = R"({"items": [
  {"name": "417.2", "action": "pm2.restart", "host": "web-1", "params": {"user": "deploy", "app": "portal"},
   "state": "awaiting_approval", "requested_by": "policy:restart-hung-app", "proposed_at": "2026-11-23T03:15:00Z",
   "reason": "", "id": "aabb"},
  {"name": "C-58", "action": "pm2.restart", "host": "web-2", "params": {"user": "deploy", "app": "web"},
   "state": "refused", "requested_by": "person:alice", "proposed_at": "2026-11-22T03:15:00Z",
   "reason": "not sanctioned", "id": "cc11"}], "next_cursor": null})";

TEST(ListView, GoldenCommands) {
  ViewOptions options = At("2026-11-23T03:18:07Z");
  EXPECT_EQ(ListView("commands", Json::parse(kCommands), options),
            "NAME   ACTION       HOST   PARAMS                  STATE              BY                       "
            "AGE   REASON\n"
            "417.2  pm2.restart  web-1  user=deploy,app=portal  awaiting_approval  policy:restart-hung-app  "
            "3m7s  -\n"
            "C-58   pm2.restart  web-2  user=deploy,app=web     refused            person:alice             "
            "1d    not sanctioned\n");
  options.wide = true;
  EXPECT_NE(ListView("commands", Json::parse(kCommands), options).find("  ID\n"), std::string::npos);
  EXPECT_EQ(ListView("commands", Json{{"items", Json::array()}}, options), "");
}

TEST(ListView, GoldenHosts) {
  const Json document = Json::parse(R"({"items": [
    {"name": "web-1", "liveness": "connected", "since": "2026-11-22T03:18:07Z", "executor": "connected",
     "apps": [{"user": "deploy", "app": "portal"}], "agent_version": "0.1.0"},
    {"name": "db-1", "liveness": "lost", "since": "2026-11-23T03:17:07Z", "executor": "absent", "apps": [],
     "agent_version": ""}]})");
  EXPECT_EQ(ListView("hosts", document, At("2026-11-23T03:18:07Z")),
            "NAME   LIVENESS   SINCE  EXECUTOR   APPS  AGENT\n"
            "web-1  connected  1d     connected  1     0.1.0\n"
            "db-1   lost       1m     absent     0     -\n");
}

TEST(IncidentView, Golden) {
  const Json incident = Json::parse(R"({"number": 417, "severity": "P0", "title": "client-portal down",
    "id": "INC-20261123-031207", "status": "resolved", "hosts": ["web-1"], "services": [], "impact": "",
    "started_at": "2026-11-23T03:12:07Z", "detected_at": null, "declared_at": "2026-11-23T03:12:09Z",
    "acknowledged_at": null, "mitigated_at": null, "resolved_at": "2026-11-22T23:00:00Z",
    "roles": {"acknowledged_by": null}, "signals": [], "commands": [], "probable_cause": null,
    "timeline": [{"at": "2026-11-23T03:12:09Z", "who": "quell", "kind": "declared", "text": "P0: client-portal down"}]})");
  EXPECT_EQ(IncidentView(incident, At("2026-11-23T03:18:07Z")),
            "#417 P0 client-portal down\n"
            "id            INC-20261123-031207\n"
            "status        resolved\n"
            "hosts         web-1\n"
            "started       03:12:07 (6m)\n"
            "declared      03:12:09 (5m58s)\n"
            "resolved      2026-11-22 23:00 (4h18m)\n"
            "timeline\n"
            "  AT        WHO    WHAT\n"
            "  03:12:09  quell  declared  P0: client-portal down\n");
}

TEST(QueryView, Golden) {
  const Json document = Json::parse(R"({"resultType": "vector", "result": [
    {"metric": {"__name__": "up", "instance": "web-1", "job": "host"}, "value": [1795403887.5, "1"]}]})");
  EXPECT_EQ(QueryView(document, At("2026-11-23T03:18:07Z")),
            "SERIES                            AT        VALUE\n"
            "up{instance=\"web-1\", job=\"host\"}  03:18:07  1\n");
}

TEST(YamlText, QuotesWhatWouldBeReadAsSomethingElse) {
  const Json document =
      Json::parse(R"({"a": "plain", "b": "no", "c": "1.5", "d": "x: y", "e": [1, {"f": null}], "g": {},
    "h": "line\nbreak", "i": true, "j": ""})");
  EXPECT_EQ(YamlText(document),
            "a: plain\nb: \"no\"\nc: \"1.5\"\nd: \"x: y\"\ne:\n  - 1\n  -\n    f: null\ng: {}\n"
            "h: \"line\\nbreak\"\ni: true\nj: \"\"\n");
}

TEST(Times, LocalZoneAndNull) {
  ViewOptions options = At("2026-11-23T03:18:07Z");
  options.zone = absl::FixedTimeZone(3600);
  EXPECT_EQ(ShowTime(Json("2026-11-23T03:12:07.5Z"), options), "04:12:07");
  EXPECT_EQ(ShowTime(Json(nullptr), options), "-");
  EXPECT_EQ(ShowTime(Json("rubbish"), options), "-");
  EXPECT_EQ(ShowAge(Json("2026-11-23T03:19:00Z"), options), "0s") << "a clock that is ahead";
}

// ---- run

TEST(RunParameters, Parsed) {
  const auto params = ParseParams({"--user", "deploy", "--max-memory=400", "--app", "--odd"});
  ASSERT_TRUE(params.ok()) << params.status();
  EXPECT_EQ(params->at("user"), "deploy");
  EXPECT_EQ(params->at("max_memory"), "400");
  EXPECT_EQ(params->at("app"), "--odd") << "a value is a value, whatever it looks like";
  for (const auto& bad :
       std::vector<std::vector<std::string>>{{"app"}, {"--app"}, {"--a", "1", "--a", "2"}, {"-x", "1"}})
    EXPECT_EQ(ParseParams(bad).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RunExit, SaysTheWorst) {
  const auto of = [](std::initializer_list<const char*> states, bool waiting = false) {
    Json commands = Json::array();
    for (const char* state : states) commands.push_back(Json{{"state", state}});
    return ExitOfCommands(commands, waiting);
  };
  EXPECT_EQ(of({"succeeded", "succeeded"}), kDone);
  EXPECT_EQ(of({"succeeded", "failed"}), kFailed);
  EXPECT_EQ(of({"failed", "unknown"}), kUnknown);
  EXPECT_EQ(of({"refused"}), kWithheld);
  EXPECT_EQ(of({"withheld", "succeeded"}), kWithheld);
  EXPECT_EQ(of({"denied"}), kWithheld);
  EXPECT_EQ(of({"expired"}), kTimedOut);
  EXPECT_EQ(of({"running"}, true), kTimedOut);
}

}  // namespace
}  // namespace quell::cli
