// Roles, references and documents, without a connection.
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "controller/operator/documents.h"
#include "controller/operator/evidence.h"
#include "controller/operator/references.h"
#include "controller/operator/roles.h"
#include "quell/v1/operator.pb.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::operators {
namespace {

constexpr Micros kNow = 1'795'403'887 * kSecond;

bool Says(const absl::Status& status, const std::string& text) {
  return status.message().find(text) != absl::string_view::npos;
}

// ---- roles

const google::protobuf::ServiceDescriptor& Service() {
  v1::StatusRequest::descriptor();  // links the file in
  return *google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("quell.v1.Operator");
}

TEST(RoleTable, EveryMethodHasExactlyOneRow) {
  std::map<std::string, int> rows;
  for (const auto& row : RoleTable()) ++rows[std::string(row.method)];
  for (int i = 0; i < Service().method_count(); ++i) {
    const std::string full = "/quell.v1.Operator/" + Service().method(i)->name();
    EXPECT_EQ(rows[full], 1) << full;
  }
  EXPECT_EQ(rows.size(), static_cast<size_t>(Service().method_count())) << "a row without a method";
}

TEST(RoleTable, SweepOfEveryMethodAndRole) {
  for (const auto& row : RoleTable()) {
    EXPECT_NE(row.least, Role::kNone) << row.method;
    for (const Role role : {Role::kNone, Role::kViewer, Role::kResponder, Role::kApprover, Role::kAdmin}) {
      const absl::Status status = Authorise(Caller{"alice", role, "socket", 0}, row.method);
      EXPECT_EQ(status.ok(), role >= row.least) << row.method << " for " << RoleName(role);
      if (!status.ok()) {
        EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
      }
    }
  }
}

// What the table of roles promises, method by method.
TEST(RoleTable, ReadsAreForViewersAndActsAreNot) {
  const std::set<std::string> reads = {"Status", "Get",   "Describe", "Explain",
                                       "Query",  "Draft", "WhoAmI",   "Version"};
  const Caller viewer{"eve", Role::kViewer, "socket", 0};
  for (const auto& row : RoleTable()) {
    const std::string name(row.method.substr(row.method.rfind('/') + 1));
    EXPECT_EQ(Authorise(viewer, row.method).ok(), reads.count(name) == 1) << name;
  }
  EXPECT_FALSE(Authorise(Caller{"root", Role::kAdmin, "socket", 0}, "/quell.v1.Operator/Unlisted").ok());
}

TEST(RoleTable, RunTakesTheRoleOfTheActionsRisk) {
  const Caller responder{"bob", Role::kResponder, "socket", 0};
  const Caller approver{"carol", Role::kApprover, "socket", 0};
  EXPECT_TRUE(AuthoriseRun(responder, v1::RISK_LOW).ok());
  for (const v1::Risk risk : {v1::RISK_MEDIUM, v1::RISK_HIGH, v1::RISK_UNSPECIFIED}) {
    EXPECT_FALSE(AuthoriseRun(responder, risk).ok());
    EXPECT_TRUE(AuthoriseRun(approver, risk).ok());
  }
}

// ---- references

class References : public ::testing::Test {
 protected:
  void SetUp() override { FillExample(backend_, kNow); }
  uint64_t Incident(const std::string& text) {
    const auto incident = ResolveIncident(backend_, text);
    return incident.ok() ? incident->number() : 0;
  }
  MapBackend backend_;
};

TEST_F(References, Incidents) {
  EXPECT_EQ(Incident("#417"), 417u);
  EXPECT_EQ(Incident("417"), 417u);
  EXPECT_EQ(Incident("last"), 417u);
  EXPECT_EQ(Incident("INC-20261123-031207"), 417u);
  EXPECT_EQ(Incident("INC-20261123-03"), 417u);
  EXPECT_EQ(Incident("INC-20261120"), 400u) << "a closed one, too";
}

TEST_F(References, WhatIsNoIncident) {
  EXPECT_EQ(ResolveIncident(backend_, "#9").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Says(ResolveIncident(backend_, "#9").status(), "#9"));
  const auto several = ResolveIncident(backend_, "INC-20261123");
  EXPECT_EQ(several.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Says(several.status(), "INC-20261123-021207")) << several.status();
  for (const std::string& odd :
       {std::string("#"), std::string("#-1"), std::string("#417x"), std::string("99999999999999999999"),
        std::string("' OR 1=1"), std::string(500, '4'), std::string("%")})
    EXPECT_FALSE(ResolveIncident(backend_, odd).ok()) << odd;
}

TEST_F(References, AnIdThatBeginsAnotherIsStillItself) {
  v1::Incident second;
  second.set_id("INC-20261123-031207-2");
  second.set_number(418);
  second.set_declared_us(kNow);
  backend_.PutIncident(second);
  EXPECT_EQ(Incident("INC-20261123-031207"), 417u);
  EXPECT_EQ(Incident("INC-20261123-031207-2"), 418u);
}

TEST_F(References, NoneNamedIsTheOnlyOpenOneOrAList) {
  const auto several = ResolveIncident(backend_, "");
  EXPECT_EQ(several.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Says(several.status(), "#417 (client-portal down), #416")) << several.status();
  auto lag = ResolveIncident(backend_, "416");
  lag->set_status(v1::RESOLVED);
  backend_.PutIncident(*lag);
  EXPECT_EQ(Incident(""), 417u);
  MapBackend empty;
  EXPECT_TRUE(Says(ResolveIncident(empty, "").status(), "no open incident"));
  EXPECT_EQ(ResolveIncident(empty, "last").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(References, Commands) {
  for (const char* text : {"417.2", "#417.2", "last.2", "aabb0000"}) {
    const auto command = ResolveCommand(backend_, text);
    ASSERT_TRUE(command.ok()) << text << ": " << command.status();
    EXPECT_EQ(command->state(), v1::AWAITING_APPROVAL) << text;
  }
  const auto alone = ResolveCommand(backend_, "C-58");
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->state(), v1::REFUSED);
  for (const char* text :
       {"", "417.9", "417.", ".2", "C-", "C-0", "C-417", "416.2", "aa", "zzzzzzzzz", "417"})
    EXPECT_FALSE(ResolveCommand(backend_, text).ok()) << text;
}

TEST_F(References, PlansAreNumberedTogetherWithCommands) {
  FillPlan(backend_);
  for (const char* text : {"417.3", "#417.3", "dddddddddddddddddddddddddddddddd", "dddddddd"}) {
    const auto plan = ResolvePlan(backend_, text);
    ASSERT_TRUE(plan.ok()) << text;
    EXPECT_EQ(plan->number(), 3u);
    EXPECT_FALSE(ResolveCommand(backend_, text).ok()) << text;
  }
  EXPECT_FALSE(ResolvePlan(backend_, "417.2").ok());
}

TEST_F(References, WhatLooksLikeACommand) {
  for (const char* text : {"417.2", "#417.2", "last.2", "C-58", "aabb0000000000000000000000000000"})
    EXPECT_TRUE(LooksLikeCommand(text)) << text;
  for (const char* text : {"417", "#417", "last", "INC-20261123-031207", "AppHung/0123456789abcdef", ""})
    EXPECT_FALSE(LooksLikeCommand(text)) << text;
}

// ---- documents

class Documents : public References {};

TEST_F(Documents, AnIncidentHasTheContractsKeys) {
  v1::DescribeRequest request;
  request.set_kind("incident");
  request.set_name("417");
  const auto json = DescribeDocument(backend_, request, Caller{"root", Role::kAdmin, "socket", 0});
  ASSERT_TRUE(json.ok()) << json.status();
  for (const char* key :
       {"id",          "number",          "title",        "description",    "impact",      "severity",
        "status",      "category",        "services",     "hosts",          "started_at",  "detected_at",
        "declared_at", "acknowledged_at", "responded_at", "mitigated_at",   "resolved_at", "closed_at",
        "roles",       "deadlines",       "signals",      "probable_cause", "changes",     "commands",
        "temporary",   "checklist",       "updates",      "next_update_at", "eta",         "workaround",
        "root_cause",  "resolution",      "timeline",     "drill"})
    EXPECT_TRUE(json->contains(key)) << key;
  EXPECT_EQ((*json)["started_at"], "2026-11-23T03:12:07.000000Z") << "RFC 3339 in UTC";
  EXPECT_TRUE((*json)["acknowledged_at"].is_null());
  EXPECT_EQ((*json)["commands"][1]["name"], "417.2");
  EXPECT_EQ((*json)["commands"][0]["params"]["app"], "portal");
  EXPECT_FALSE((*json)["commands"][0]["params"].contains("expect")) << "internal";
}

TEST_F(Documents, ACommandHasTheContractsKeys) {
  v1::DescribeRequest request;
  request.set_kind("command");
  request.set_name("417.1");
  const auto json = DescribeDocument(backend_, request, Caller{"root", Role::kAdmin, "socket", 0});
  ASSERT_TRUE(json.ok()) << json.status();
  for (const char* key : {"id", "number", "action", "host", "user", "params", "incident", "policy",
                          "requested_by", "approvals", "state", "outcome", "reason", "evidence", "issued_at",
                          "started_at", "finished_at", "verification", "undo"})
    EXPECT_TRUE(json->contains(key)) << key;
  EXPECT_EQ((*json)["evidence"][0]["name"], "log.out");
  EXPECT_EQ((*json)["sessions"][0]["pid"], 4711);
  const auto viewer = DescribeDocument(backend_, request, Caller{"eve", Role::kViewer, "socket", 0});
  ASSERT_TRUE(viewer.ok());
  EXPECT_TRUE((*viewer)["evidence"].empty()) << "evidence is not a viewer's to read";
}

v1::EvidenceRequest EvidenceOf(const std::string& name, const std::string& item = "") {
  v1::EvidenceRequest request;
  request.set_name(name);
  request.set_item(item);
  return request;
}

TEST_F(Documents, EvidenceIsListedWithWhatIsMissing) {
  for (const char* name : {"417", "417.1", "last.1"}) {
    const auto json = EvidenceDocument(backend_, EvidenceOf(name));
    ASSERT_TRUE(json.ok()) << name << ": " << json.status();
    const Json& command = (*json)["commands"][0];
    EXPECT_EQ(command["name"], "417.1");
    EXPECT_EQ(command["evidence_seconds"], 0.25);
    const Json& items = command["evidence"];
    ASSERT_EQ(items.size(), 3u) << "and nothing of another host's: " << items;
    EXPECT_EQ(items[0]["name"], "log.out");
    EXPECT_EQ(items[0]["bytes"], 21);
    EXPECT_EQ(items[0]["sha256"], HexEncode(Sha256("ready\n\x1b[2Jlast words\n")));
    EXPECT_EQ(items[0]["expires_at"], "2026-12-23T03:18:07.000000Z");
    EXPECT_EQ(items[0]["expired"], false);
    EXPECT_TRUE(items[0]["missing"].is_null());
    EXPECT_EQ(items[2]["name"], "kernel.stack");
    EXPECT_EQ(items[2]["missing"], "opening /proc/7/stack: Permission denied");
    EXPECT_TRUE(items[2]["sha256"].is_null());
  }
  const auto incident = EvidenceDocument(backend_, EvidenceOf("417"));
  ASSERT_EQ((*incident)["commands"].size(), 2u);
  EXPECT_TRUE((*incident)["commands"][1]["evidence"].empty());
}

TEST_F(Documents, EvidenceItemsAreReadAsTextOrBase64) {
  const auto text = EvidenceDocument(backend_, EvidenceOf("417", "log.out"));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ((*text)["command"], "417.1");
  EXPECT_EQ((*text)["encoding"], "utf-8");
  EXPECT_EQ((*text)["content"], "ready\n\x1b[2Jlast words\n");
  const auto bytes = EvidenceDocument(backend_, EvidenceOf("417.1", "proc.wchan"));
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ((*bytes)["encoding"], "base64");
  EXPECT_EQ((*bytes)["content"], "ZG9fZXhpdAD/");
  EXPECT_EQ((*bytes)["bytes"], 9);
}

TEST_F(Documents, EvidenceThatThereIsNotSaysWhy) {
  const auto says = [&](const std::string& name, const std::string& item) {
    return EvidenceDocument(backend_, EvidenceOf(name, item)).status();
  };
  EXPECT_TRUE(Says(says("417", "kernel.stack"), "kernel.stack could not be had before 417.1: opening"));
  EXPECT_TRUE(Says(says("417", "core"), "no evidence is called core; there are: kernel.stack, log.out"));
  EXPECT_TRUE(Says(says("417.2", "log.out"), "none was taken"));
  EXPECT_EQ(says("#9", "").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(says("417", std::string(500, 'x')).code(), absl::StatusCode::kInvalidArgument);
  backend_.DropEvidence();
  EXPECT_TRUE(Says(says("417", "log.out"), "the content of log.out, taken before 417.1, has expired"));
  const auto json = EvidenceDocument(backend_, EvidenceOf("417.1"));
  ASSERT_TRUE(json.ok()) << json.status();
  const Json& item = (*json)["commands"][0]["evidence"][0];
  EXPECT_EQ(item["name"], "log.out");
  EXPECT_EQ(item["expired"], true);
  EXPECT_TRUE(item["bytes"].is_null());
  EXPECT_TRUE(item["sha256"].is_string());
}

TEST_F(Documents, OfTwoCommandsThatTookAnItemOneIsToBeNamed) {
  auto second = ResolveCommand(backend_, "417.2");
  ASSERT_TRUE(second.ok());
  second->add_evidence(backend_.PutEvidence(second->id(), "log.out", "again", kNow));
  backend_.PutCommand(*second);  // its report's row went when the lists were made anew
  const auto both = EvidenceDocument(backend_, EvidenceOf("417", "log.out")).status();
  EXPECT_EQ(both.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Says(both, "name one of them: 417.1, 417.2")) << both;
  const auto one = EvidenceDocument(backend_, EvidenceOf("417.2", "log.out"));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ((*one)["content"], "again");
}

TEST_F(Documents, APlanStandsAmongTheCommandsAndInItsIncident) {
  FillPlan(backend_);
  v1::GetRequest get;
  get.set_kind("commands");
  const auto listed = ListDocument(backend_, get);
  ASSERT_TRUE(listed.ok()) << listed.status();
  const Json first = listed->json["items"][0];
  EXPECT_EQ(first["name"], "417.3");
  EXPECT_EQ(first["action"], "release.rollback");
  EXPECT_EQ(first["host"], "2 hosts");
  EXPECT_EQ(first["state"], "awaiting_approval");
  const auto status = StatusDocument(backend_);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ((*status)["incidents"][0]["plans"][0]["name"], "417.3");
  FillPlan(backend_, v1::PLAN_RUNNING);
  v1::DescribeRequest describe;
  describe.set_kind("command");
  describe.set_name("417.3");
  const auto described = DescribeDocument(backend_, describe, Caller{"eve", Role::kViewer, "socket", 0});
  ASSERT_TRUE(described.ok()) << described.status();
  EXPECT_EQ((*described)["hosts"], Json::array({"web-1", "web-2"}));
  EXPECT_EQ((*described)["begun"], 1);
  EXPECT_EQ((*described)["commands"][0]["name"], "417.1");
  v1::Decision decision;
  decision.set_incident("INC-20261123-031207");
  decision.set_verdict("ask");
  decision.set_command(std::string(32, 'd'));
  backend_.Put("decision", "d9", decision, kNow, true, decision.incident());
  const auto explained = ExplainDocument(backend_, "417.3");
  ASSERT_TRUE(explained.ok()) << explained.status();
  EXPECT_EQ((*explained)["command"]["name"], "417.3");
  EXPECT_EQ((*explained)["decisions"].size(), 1u);
}

TEST_F(Documents, ARollbackSaysWhereItWentAndWhatTakesItBack) {
  v1::CommandEntry command;
  command.set_action("release.rollback");
  command.set_host("web-1");
  command.set_state(v1::SUCCEEDED);
  command.mutable_typed()->mutable_release_rollback()->set_user("deploy");
  command.mutable_typed()->mutable_release_rollback()->set_deployment("portal");
  EXPECT_TRUE(CommandJson(command, 417)["release"].is_null());
  EXPECT_TRUE(CommandJson(command, 417)["undo"].is_null());
  command.mutable_release()->mutable_from()->set_name("1.8.2");
  command.mutable_release()->mutable_to()->set_name("1.8.1");
  command.mutable_release()->mutable_to()->set_tree_sha256(std::string(32, '\x01'));
  command.mutable_release()->set_running("/opt/portal/releases/1.8.1");
  const Json json = CommandJson(command, 417);
  EXPECT_EQ(json["release"]["from"]["name"], "1.8.2");
  EXPECT_EQ(json["release"]["to"]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(json["release"]["running"], "/opt/portal/releases/1.8.1");
  EXPECT_EQ(json["undo"]["action"], "release.rollback");
  EXPECT_EQ(json["undo"]["params"]["to"], "1.8.2");
  EXPECT_EQ(json["undo"]["params"]["deployment"], "portal");
  command.set_state(v1::FAILED);
  EXPECT_TRUE(CommandJson(command, 417)["undo"].is_null());
}

TEST_F(Documents, EveryCommandStateHasItsContractsName) {
  const std::map<v1::CommandState, std::string> names = {
      {v1::PROPOSED, "proposed"},       {v1::AWAITING_APPROVAL, "awaiting_approval"},
      {v1::DENIED, "denied"},           {v1::WITHHELD, "withheld"},
      {v1::ISSUED, "issued"},           {v1::DELIVERED, "delivered"},
      {v1::RUNNING, "running"},         {v1::SUCCEEDED, "succeeded"},
      {v1::FAILED, "failed"},           {v1::REFUSED, "refused"},
      {v1::CANCELLED, "cancelled"},     {v1::EXPIRED, "expired"},
      {v1::COMMAND_UNKNOWN, "unknown"}, {v1::UNDONE, "undone"}};
  for (const auto& [state, name] : names) EXPECT_EQ(StateName(state), name);
}

TEST_F(Documents, ListsHoldNoTimelinesAndArePaged) {
  v1::GetRequest request;
  request.set_kind("incidents");
  request.set_limit(1);
  const auto first = ListDocument(backend_, request);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->json["items"].size(), 1u);
  EXPECT_EQ(first->json["items"][0]["number"], 417);
  EXPECT_FALSE(first->json["items"][0].contains("timeline"));
  ASSERT_FALSE(first->next_cursor.empty());
  request.set_cursor(first->next_cursor);
  const auto second = ListDocument(backend_, request);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->json["items"][0]["number"], 416);
  EXPECT_TRUE(second->next_cursor.empty()) << "closed ones only with --all";
}

TEST_F(Documents, ListsByLabelAndName) {
  v1::GetRequest request;
  request.set_kind("hosts");
  (*request.mutable_labels())["role"] = "web";
  EXPECT_EQ(ListDocument(backend_, request)->json["items"].size(), 2u);
  request.clear_labels();
  request.set_name("db-1");
  const auto one = ListDocument(backend_, request);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->json["items"][0]["liveness"], "lost");
  request.set_name("db-9");
  EXPECT_EQ(ListDocument(backend_, request).status().code(), absl::StatusCode::kNotFound);
  request.set_kind("unicorns");
  EXPECT_EQ(ListDocument(backend_, request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Documents, AppsTellWhatTheSeriesTell) {
  const auto state = [&](std::vector<std::pair<std::string, double>> values) {
    backend_.query = [=](const std::string&, Micros, Micros) {
      std::vector<QuerySeries> all;
      int id = 0;
      for (const auto& [metric, value] : values)
        all.push_back({Labels{{"__name__", metric},
                              {"instance", "web-1"},
                              {"user", "deploy"},
                              {"app", "portal"},
                              {"pm_id", std::to_string(id++)}},
                       {{kNow, value}}});
      return all;
    };
    v1::GetRequest request;
    request.set_kind("apps");
    const auto apps = ListDocument(backend_, request);
    return apps.ok() ? apps->json["items"].at(0)["state"].get<std::string>()
                     : std::string(apps.status().message());
  };
  EXPECT_EQ(state({}), "unknown");
  EXPECT_EQ(state({{"pm2_app_online", 1}, {"pm2_app_online", 1}}), "online");
  EXPECT_EQ(state({{"pm2_app_online", 1}, {"pm2_app_online", 0}}), "down") << "one of its processes";
  EXPECT_EQ(state({{"pm2_app_online", 0}, {"pm2_app_stopped_by_hand", 1}}), "stopped_by_hand");
  EXPECT_EQ(state({{"pm2_app_online", 0}, {"pm2_app_given_up", 1}}), "given_up");
}

TEST_F(Documents, ActionsComeFromTheirDescriptors) {
  v1::GetRequest request;
  request.set_kind("actions");
  const auto actions = ListDocument(backend_, request);
  ASSERT_TRUE(actions.ok());
  const Json& restart = actions->json["items"][0];
  EXPECT_EQ(restart["name"], "pm2.restart");
  EXPECT_EQ(restart["risk"], "low");
  EXPECT_EQ(restart["params"].size(), 2u) << restart;
}

TEST_F(Documents, ExplainsByIncidentAndCommand) {
  const auto incident = ExplainDocument(backend_, "417");
  ASSERT_TRUE(incident.ok()) << incident.status();
  EXPECT_EQ((*incident)["decisions"][0]["reason"], "2 attempts within 1h are used up");
  const auto command = ExplainDocument(backend_, "417.2");
  ASSERT_TRUE(command.ok());
  EXPECT_EQ((*command)["decisions"].size(), 1u);
  const auto other = ExplainDocument(backend_, "417.1");
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE((*other)["decisions"].empty());
}

TEST_F(Documents, InvalidUtf8IsReplacedNotThrown) {
  const Json json = QueryJson({{Labels{{"app", "\xff\xfe bad"}}, {{kNow, 1.0}}}}, false);
  EXPECT_EQ(Dump(json).find("\xff"), std::string::npos);
  EXPECT_EQ(Json::parse(Dump(json))["result"][0]["metric"]["app"], "\xef\xbf\xbd\xef\xbf\xbd bad");
}

TEST_F(Documents, TheFirstScreenCounts) {
  const auto json = StatusDocument(backend_);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["hosts"]["connected"], 2);
  EXPECT_EQ((*json)["hosts"]["lost"][0], "db-1");
  EXPECT_EQ((*json)["automation"]["automatic"], 1);
  EXPECT_EQ((*json)["incidents"][0]["number"], 417) << "the worst first";
  EXPECT_EQ((*json)["incidents"].size(), 2u);
}

}  // namespace
}  // namespace quell::operators
