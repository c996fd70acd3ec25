// The whole program against the real service over a real socket.
#include "cli/program.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <sstream>

#include "cli/exit_codes.h"
#include "cli/view.h"
#include "common/base/disk.h"
#include "controller/catalogue/loader.h"
#include "controller/operator/service.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::cli {
namespace {

constexpr Micros kNow = 1'795'403'887 * kSecond;

struct Ran {
  int exit;
  std::string out, err;
};

class Program : public ::testing::Test {
 protected:
  void SetUp() override {
    operators::FillExample(backend_, kNow);
    directory_ = ::testing::TempDir() + "quell-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    socket_ = directory_ + "/operator.sock";
    auto server = operators::OperatorServer::Start(socket_, backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  Ran Run(const std::vector<std::string>& args) {
    Surroundings around;
    around.environment = [this](const char* name) {
      return std::string(name) == "QUELL_SOCKET" ? socket_ : "";
    };
    around.now = [this] { return absl::FromUnixMicros(now_ += step_); };
    around.zone = absl::UTCTimeZone();
    std::ostringstream out, err;
    const int exit = RunProgram(args, around, out, err);
    return {exit, out.str(), err.str()};
  }
  operators::MapBackend backend_;
  std::string directory_, socket_;
  std::unique_ptr<operators::OperatorServer> server_;
  Micros now_ = kNow;
  Micros step_ = 0;
};

TEST_F(Program, DoctorSaysWhatIsToBeMended) {
  const Ran ran = Run({"doctor"});
  EXPECT_EQ(ran.exit, kFailed) << ran.err;
  EXPECT_NE(ran.out.find("mend: "), std::string::npos) << ran.out;
  const Ran json = Run({"doctor", "-o", "json"});
  EXPECT_EQ(Json::parse(json.out)["well"], false) << json.out;
}

TEST_F(Program, CompletionKnowsItsVerbs) {
  const Ran bash = Run({"completion", "bash"});
  EXPECT_EQ(bash.exit, kDone) << bash.err;
  EXPECT_NE(bash.out.find("' agent token'"), std::string::npos) << bash.out;
  EXPECT_EQ(Run({"completion", "tcsh"}).exit, kUsage);
}

TEST_F(Program, StatusIsTheFirstScreen) {
  const Ran ran = Run({"status"});
  EXPECT_EQ(ran.exit, kDone) << ran.err;
  EXPECT_EQ(ran.out,
            "HOLD none | automation 1 auto 1 ask | data fresh 2s | controller up 41d\n"
            "     hosts 2/3 (1 lost)\n"
            "P0 #417 client-portal down since 03:12:07 (6m)  UNACKED, escalates in 2m\n"
            "   seen from 2 hosts\n"
            "   did  pm2.restart web-1: no help   WAITS FOR YOU: pm2.restart web-1\n"
            "   next   quell approve 417.2 | quell explain 417 | quell ack 417\n"
            "P2 #416 replication lag db-2 since 02:18:07 (1h)  acked by bob\n"
            "   next   quell explain 416\n");
  EXPECT_EQ(ran.err, "");
}

TEST_F(Program, EveryOutputFormat) {
  const Ran json = Run({"get", "hosts", "-o", "json"});
  EXPECT_EQ(json.exit, kDone) << json.err;
  EXPECT_EQ(Json::parse(json.out)["items"].size(), 3u);
  EXPECT_NE(Run({"get", "hosts", "-o", "yaml"}).out.find("liveness: lost"), std::string::npos);
  EXPECT_NE(Run({"get", "hosts", "-o", "wide"}).out.find("LABELS"), std::string::npos);
  EXPECT_EQ(Run({"get", "hosts"}).out.find("LABELS"), std::string::npos);
  EXPECT_EQ(Run({"get", "hosts", "-o", "xml"}).exit, kUsage);
}

TEST_F(Program, GetByLabelLimitAndCursor) {
  const Ran labelled = Run({"get", "hosts", "-l", "role=db"});
  EXPECT_NE(labelled.out.find("db-1"), std::string::npos);
  EXPECT_EQ(labelled.out.find("web-1"), std::string::npos);
  const Ran page = Run({"get", "incidents", "--limit", "1"});
  EXPECT_NE(page.err.find("--cursor"), std::string::npos) << page.err;
  EXPECT_NE(Run({"get", "incidents", "--all"}).out.find("#400"), std::string::npos);
  EXPECT_EQ(Run({"get", "incidents", "-l", "nonsense"}).exit, kUsage);
  EXPECT_EQ(Run({"get", "incidents", "--since", "soon"}).exit, kUsage);
}

TEST_F(Program, ServicesWithTheirHostsAndIncidents) {
  EXPECT_EQ(Run({"get", "services"}).out,
            "NAME    COMPONENTS  HOSTS  INCIDENTS\n"
            "portal  app (pm2)   web-1  -\n");
  config::Problems problems;
  backend_.catalogue = std::make_shared<catalogue::Catalogue>(catalogue::ParseCatalogue("c.yaml", R"(services:
- name: lag
  max_severity: P2
  contacts: {primary: bob}
  components: [{name: web, kind: pm2, app: portal}, {name: database, kind: postgres, database: boutique}]
)",
                                                                                        problems));
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  for (const char* id : {"INC-20261123-021207", "INC-20261123-031207"}) {
    v1::Incident incident;
    ASSERT_TRUE(incident.ParseFromString(backend_.Find("incident", id)->message));
    incident.add_services("lag");
    backend_.PutIncident(incident);
  }
  EXPECT_EQ(Run({"get", "services"}).out,
            "NAME  COMPONENTS                     HOSTS  INCIDENTS\n"
            "lag   web (pm2),database (postgres)  web-1  P0 #417,P2 #416\n");
  EXPECT_EQ(Run({"get", "services", "-o", "wide"}).out,
            "NAME  COMPONENTS                     HOSTS  INCIDENTS        FROM       MAX  CONTACTS\n"
            "lag   web (pm2),database (postgres)  web-1  P0 #417,P2 #416  catalogue  P2   primary=bob\n");
  EXPECT_EQ(Json::parse(Run({"get", "services", "-o", "json"}).out)["items"][0]["name"], "lag");
  EXPECT_EQ(Run({"describe", "service", "lag"}).exit, kDone);
  EXPECT_EQ(Run({"get", "services", "shop"}).exit, kNoSuchThing);
}

TEST_F(Program, InitPrintsADraftThatLoads) {
  const Ran ran = Run({"init"});
  EXPECT_EQ(ran.exit, kDone) << ran.err;
  EXPECT_EQ(ran.out.substr(0, 10), "# A draft ");
  config::Problems problems;
  const catalogue::Catalogue loaded = catalogue::ParseCatalogue("draft", ran.out, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(loaded.services.size(), 1u);
  EXPECT_EQ(loaded.services[0].components[0].app, "portal");
  EXPECT_EQ(Json::parse(Run({"init", "-o", "json"}).out)["catalogue"], ran.out);
  EXPECT_EQ(Run({"init", "more"}).exit, kUsage);
}

TEST_F(Program, ExitCodesOfReading) {
  EXPECT_EQ(Run({"describe", "incident", "#9"}).exit, kNoSuchThing);
  EXPECT_EQ(Run({"describe", "incident", "417"}).exit, kDone);
  EXPECT_EQ(Run({"describe", "unicorn", "1"}).exit, kUsage);
  EXPECT_EQ(Run({"get", "unicorns"}).exit, kUsage);
  EXPECT_EQ(Run({"explain", "417.2"}).exit, kDone);
  EXPECT_EQ(Run({"whoami"}).exit, kDone);
  EXPECT_EQ(Run({"version"}).exit, kDone);
}

TEST_F(Program, EvidenceIsListedAndItsContentShownNotObeyed) {
  const Ran list = Run({"evidence", "417"});
  EXPECT_EQ(list.exit, kDone) << list.err;
  EXPECT_EQ(list.out,
            "417.1 pm2.restart on web-1 (succeeded)\n"
            "  EVIDENCE      BYTES  SHA256\n"
            "  log.out       21     f99c0287e3616972\n"
            "  proc.wchan    9      191a63ea76db0f10\n"
            "  kernel.stack  -      -                 missing: opening /proc/7/stack: Permission denied\n"
            "417.2 pm2.restart on web-1 (awaiting_approval)\n"
            "  none was taken\n");
  const Ran item = Run({"evidence", "417.1", "--item", "log.out"});
  EXPECT_EQ(item.exit, kDone) << item.err;
  EXPECT_EQ(item.out, "ready\n\\x1b[2Jlast words\n");
  EXPECT_EQ(Run({"evidence", "417.1", "--item", "proc.wchan"}).out, "do_exit\\x00\\xff\n");
  const Ran json = Run({"evidence", "417.1", "--item", "proc.wchan", "-o", "json"});
  EXPECT_EQ(Json::parse(json.out)["content"], "ZG9fZXhpdAD/") << json.out;
  EXPECT_EQ(Run({"evidence", "417.1", "--item", "kernel.stack"}).exit, kNoSuchThing);
  EXPECT_EQ(Run({"evidence", "#9"}).exit, kNoSuchThing);
  EXPECT_NE(Run({"evidence", "--help"}).out.find("--item"), std::string::npos);
}

TEST_F(Program, UsageErrors) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {},
           {"dance"},
           {"get"},
           {"approve"},
           {"declare"},
           {"declare", "x", "--severity", "P9"},
           {"rules"},
           {"rules", "check"},
           {"audit"},
           {"note"},
           {"query"},
           {"status", "--bogus"},
           {"hold", "end"},
           {"change"},
           {"change", "start", "1.8.2"},
           {"change", "start", "--service", "portal"},
           {"change", "start", "1.8.2", "--service", "portal", "--for", "soon"},
           {"run"},
           {"run", "pm2.restart", "--host", "web-1", "app"},
           {"run", "pm2.restart", "--host", "web-1", "--app"},
           {"hold", "--all", "--host", "web-1", "--why", "x"}}) {
    const Ran ran = Run(args);
    EXPECT_EQ(ran.exit, kUsage) << (args.empty() ? "" : args[0]) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err, "");
  }
  EXPECT_TRUE(backend_.acts().empty());
  const Ran help = Run({"--help"});
  EXPECT_EQ(help.exit, kDone);
  EXPECT_NE(help.out.find("describe"), std::string::npos);
}

TEST_F(Program, NoController) {
  server_.reset();
  for (const char* verb : {"status", "whoami", "ack"}) {
    const Ran ran = Run({verb});
    EXPECT_EQ(ran.exit, kUnreachable) << ran.err;
    EXPECT_NE(ran.err.find(socket_), std::string::npos) << ran.err;
  }
  EXPECT_EQ(Run({"version"}).exit, kDone) << "its own can be told";
}

TEST_F(Program, AVerbWithoutAnIncidentActsOnTheOnlyOpenOneElseListsThem) {
  const Ran several = Run({"ack"});
  EXPECT_EQ(several.exit, kUsage);
  EXPECT_NE(several.err.find("#417 (client-portal down), #416"), std::string::npos) << several.err;
  EXPECT_TRUE(backend_.acts().empty());
  v1::Incident lag;
  lag.set_id("INC-20261123-021207");
  lag.set_number(416);
  lag.set_status(v1::RESOLVED);
  backend_.PutIncident(lag);
  EXPECT_EQ(Run({"ack"}).exit, kDone);
  EXPECT_EQ(backend_.acts().at(0).acknowledge().incident(), "INC-20261123-031207");
}

TEST_F(Program, IncidentWorkReachesTheEngine) {
  EXPECT_EQ(Run({"ack", "417"}).exit, kDone);
  EXPECT_EQ(Run({"take", "#417"}).exit, kDone);
  EXPECT_EQ(Run({"note", "417", "seen by two customers"}).exit, kDone);
  EXPECT_EQ(Run({"resolve", "417", "--cause", "a leak", "--fix", "restart"}).exit, kDone);
  EXPECT_EQ(Run({"declare", "checkout fails", "--severity", "P1", "--service", "portal"}).exit, kDone);
  EXPECT_EQ(Run({"approve", "417.2", "--why", "seen it before"}).exit, kDone);
  EXPECT_EQ(Run({"deny", "417.2"}).exit, kDone);
  EXPECT_EQ(Run({"hold", "--host", "web-1", "--for", "2h", "--why", "work"}).exit, kDone);
  EXPECT_EQ(Run({"hold", "end", "H-1"}).exit, kDone);
  EXPECT_EQ(Run({"notify", "test", "oncall"}).exit, kDone);
  const auto acts = backend_.acts();
  ASSERT_EQ(acts.size(), 10u);
  EXPECT_EQ(acts[2].note().text(), "seen by two customers");
  EXPECT_EQ(acts[3].resolve().cause(), "a leak");
  EXPECT_EQ(acts[4].declare().severity(), v1::P1);
  EXPECT_EQ(acts[5].approve().command(), "aabb" + std::string(28, '0'));
  EXPECT_EQ(acts[7].hold().scope(), "host:web-1");
  EXPECT_EQ(acts[7].hold().until_us(), kNow + 2 * kHour);
  EXPECT_EQ(acts[8].end_hold().id(), "H-1");
  EXPECT_EQ(acts[9].notify_test().receiver(), "oncall");
}

TEST_F(Program, ChangesAreStartedFinishedAndListed) {
  EXPECT_EQ(Run({"change", "start", "1.8.2", "--service", "portal", "--for", "15m"}).exit, kDone);
  EXPECT_EQ(Run({"change", "start", "1.8.3", "--service", "portal"}).exit, kDone);
  EXPECT_EQ(Run({"change", "finish"}).exit, kDone);
  EXPECT_EQ(Run({"change", "finish", "--service", "portal", "--failed"}).exit, kDone);
  EXPECT_EQ(Run({"change", "finish", "CH-12"}).exit, kDone);
  const auto acts = backend_.acts();
  ASSERT_EQ(acts.size(), 5u);
  EXPECT_EQ(acts[0].change_start().summary(), "1.8.2");
  EXPECT_EQ(acts[0].change_start().service(), "portal");
  EXPECT_EQ(acts[0].change_start().until_us(), kNow + 15 * kMinute);
  EXPECT_EQ(acts[1].change_start().until_us(), 0);
  EXPECT_FALSE(acts[2].change_finish().failed());
  EXPECT_TRUE(acts[3].change_finish().failed());
  EXPECT_EQ(acts[3].change_finish().service(), "portal");
  EXPECT_EQ(acts[4].change_finish().change(), "CH-12");

  v1::Change change;
  change.set_id("CH-12");
  change.set_kind("release");
  change.set_host("web-1");
  change.set_service("portal");
  change.set_summary("portal 1.8.1 -> 1.8.2 \x1b[31m");
  change.set_author("deploy");
  change.set_at_us(kNow - 3 * kHour);
  backend_.Put("change", change.id(), change, change.at_us());
  change.set_id("CH-15");
  change.set_kind("deploy");
  change.set_at_us(kNow - kMinute);
  change.set_until_us(kNow + kMinute);
  backend_.Put("change", change.id(), change, change.at_us());
  const Ran all = Run({"get", "changes"});
  EXPECT_EQ(all.exit, kDone) << all.err;
  EXPECT_NE(all.out.find("running"), std::string::npos) << all.out;
  EXPECT_NE(all.out.find("CH-12"), std::string::npos);
  EXPECT_EQ(all.out.find('\x1b'), std::string::npos) << "escapes are shown, not sent";
  const Ran recent = Run({"get", "changes", "--since", "2h"});
  EXPECT_EQ(recent.out.find("CH-12"), std::string::npos) << recent.out;
  const Json json = Json::parse(Run({"get", "changes", "CH-12", "-o", "json"}).out);
  EXPECT_EQ(json["items"][0]["state"], "done");
  EXPECT_EQ(json["items"][0]["author"], "deploy");
}

TEST_F(Program, AnIncidentShowsItsChanges) {
  v1::Change change;
  change.set_id("CH-12");
  change.set_kind("release");
  change.set_summary("portal 1.8.1 -> 1.8.2");
  change.set_at_us(kNow - 10 * kMinute);
  backend_.Put("change", change.id(), change, change.at_us());
  v1::Incident incident;
  incident.set_id("INC-20261123-031207");
  incident.set_number(417);
  incident.set_status(v1::INVESTIGATING);
  incident.add_changes("CH-12");
  incident.add_changes("CH-1");
  incident.set_probable_cause("change.release web-1 portal 1.8.1 -> 1.8.2, 4m before");
  backend_.PutIncident(incident);
  const Ran table = Run({"describe", "incident", "417"});
  EXPECT_NE(table.out.find("changes\n"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("portal 1.8.1 -> 1.8.2"), std::string::npos);
  EXPECT_NE(table.out.find("4m before"), std::string::npos);
  const Json json = Json::parse(Run({"describe", "incident", "417", "-o", "json"}).out);
  ASSERT_EQ(json["changes"].size(), 2u);
  EXPECT_EQ(json["changes"][1]["summary"], "portal 1.8.1 -> 1.8.2");
  EXPECT_EQ(json["changes"][0]["id"], "CH-1") << "what the lists no longer have keeps its id";
}

TEST_F(Program, TheEnginesAnswerIsTheExit) {
  backend_.answer = [](const v1::PersonAct&) { return engine::Answer{"", 5, "held by bob", "", ""}; };
  const Ran ran = Run({"ack", "417"});
  EXPECT_EQ(ran.exit, kWithheld);
  EXPECT_EQ(ran.err, "held by bob\n");
  EXPECT_EQ(ran.out, "");
  backend_.answer = [](const v1::PersonAct&) -> absl::StatusOr<engine::Answer> {
    return absl::DeadlineExceededError("the engine did not answer");
  };
  EXPECT_EQ(Run({"ack", "417"}).exit, kTimedOut);
}

// ---- run

const std::vector<std::string> kRestart = {"run",    "pm2.restart", "--host", "web-1",
                                           "--user", "deploy",      "--app",  "portal"};

// Answers a run with one command, which ends in `state` when it is looked at next.
void EndsIn(operators::MapBackend& backend, v1::CommandState state, const std::string& reason = "") {
  backend.answer = [&backend, state, reason](const v1::PersonAct& act) {
    v1::CommandEntry command;
    command.set_id(std::string(32, 'd'));
    command.set_number(59);
    command.set_host("web-1");
    command.set_action("pm2.restart");
    *command.mutable_typed() = act.run().action();
    command.set_state(state);
    command.set_reason(reason);
    command.set_proposed_us(kNow);
    backend.PutCommand(command);
    return engine::Answer{"", 0, "C-59 issued", "command", command.id()};
  };
}

TEST_F(Program, RunSaysItsTargetsFirstAndTheEnd) {
  EndsIn(backend_, v1::SUCCEEDED);
  const Ran ran = Run(kRestart);
  EXPECT_EQ(ran.exit, kDone) << ran.err;
  EXPECT_EQ(ran.err, "1 target: web-1\nC-59 issued\nC-59 web-1: succeeded\n");
  EXPECT_NE(ran.out.find("user=deploy,app=portal"), std::string::npos) << ran.out;
}

TEST_F(Program, RunsExitSaysHowItEnded) {
  const std::pair<v1::CommandState, int> ends[] = {{v1::SUCCEEDED, kDone},   {v1::FAILED, kFailed},
                                                   {v1::REFUSED, kWithheld}, {v1::WITHHELD, kWithheld},
                                                   {v1::DENIED, kWithheld},  {v1::COMMAND_UNKNOWN, kUnknown},
                                                   {v1::EXPIRED, kTimedOut}, {v1::CANCELLED, kFailed}};
  for (const auto& [state, exit] : ends) {
    EndsIn(backend_, state, "the reason");
    const Ran ran = Run(kRestart);
    EXPECT_EQ(ran.exit, exit) << ran.err;
    EXPECT_NE(ran.err.find("the reason"), std::string::npos);
  }
}

TEST_F(Program, RunThatDoesNotEndTimesOut) {
  EndsIn(backend_, v1::AWAITING_APPROVAL);
  step_ = kMinute;  // of the program's clock, at each look at it
  const Ran ran = Run(kRestart);
  EXPECT_EQ(ran.exit, kTimedOut);
  EXPECT_NE(ran.err.find("quell approve C-59"), std::string::npos) << ran.err;
  EndsIn(backend_, v1::ISSUED);
  std::vector<std::string> args = kRestart;
  args.push_back("--no-wait");
  EXPECT_EQ(Run(args).exit, kDone);
}

TEST_F(Program, RunOnManyFollowsThePlan) {
  backend_.answer = [&](const v1::PersonAct& act) {
    v1::CommandEntry command;
    command.set_id(std::string(32, 'e'));
    command.set_number(60);
    command.set_host("web-1");
    command.set_action("pm2.restart");
    *command.mutable_typed() = act.run().action();
    command.set_state(v1::FAILED);
    command.set_proposed_us(kNow);
    backend_.PutCommand(command);
    v1::Plan plan;
    plan.set_id(std::string(32, 'd'));
    plan.set_number(59);
    *plan.mutable_action() = act.run().action();
    plan.add_hosts("web-1");
    plan.add_hosts("web-2");
    plan.set_state(v1::PLAN_STOPPED);
    plan.set_reason("it failed on web-1");
    plan.add_commands(command.id());
    backend_.Put("plan", plan.id(), plan, kNow);
    return engine::Answer{"", 0, "2 targets: web-1, web-2; one first, then waves of 1", "plan", plan.id()};
  };
  const Ran ran = Run({"run", "pm2.restart", "--host", "web-1,web-2", "--user", "deploy", "--app", "portal"});
  EXPECT_EQ(ran.exit, kFailed);
  EXPECT_EQ(ran.err,
            "2 targets: web-1, web-2\none first, then waves of 1\nC-60 web-1: failed\n"
            "C-59 2 hosts: stopped (it failed on web-1)\n");
  EXPECT_EQ(backend_.acts().back().run().hosts_size(), 2);
}

TEST_F(Program, RunFindsHostsByServiceAndLabel) {
  EndsIn(backend_, v1::SUCCEEDED);
  const Ran labelled =
      Run({"run", "pm2.restart", "-l", "role=web", "--user", "deploy", "--app", "portal", "--dry-run"});
  EXPECT_EQ(labelled.err.substr(0, labelled.err.find('\n')), "2 targets: web-1, web-2") << labelled.err;
  EXPECT_TRUE(backend_.acts().back().run().dry_run());
  EXPECT_EQ(backend_.acts().back().run().hosts_size(), 2);
  const Ran service =
      Run({"run", "pm2.restart", "--service", "portal", "--user", "deploy", "--app", "portal"});
  EXPECT_EQ(service.err.substr(0, service.err.find('\n')), "1 target: web-1");
  const size_t before = backend_.acts().size();
  EXPECT_EQ(Run({"run", "pm2.restart", "--host", "web-9", "--user", "deploy", "--app", "portal"}).exit,
            kNoSuchThing);
  EXPECT_EQ(Run({"run", "pm2.restart", "--user", "deploy", "--app", "portal"}).exit, kUsage);
  EXPECT_EQ(Run({"run", "pm2.restart", "--host", "web-1", "--colour", "red"}).exit, kUsage);
  EXPECT_EQ(backend_.acts().size(), before);
}

// ---- the rest

TEST_F(Program, QueryNowAndOverARange) {
  Micros asked = -1;
  backend_.query = [&](const std::string& expr, Micros range,
                       Micros) -> absl::StatusOr<std::vector<operators::QuerySeries>> {
    if (expr == "up{") return absl::InvalidArgumentError("1:4: unexpected end");
    asked = range;
    return std::vector<operators::QuerySeries>{
        {Labels{{"__name__", "up"}, {"instance", "web-1"}}, {{kNow, 1.0}}}};
  };
  const Ran now = Run({"query", "up"});
  EXPECT_EQ(now.exit, kDone) << now.err;
  EXPECT_NE(now.out.find("up{instance=\"web-1\"}  03:18:07  1\n"), std::string::npos) << now.out;
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(Json::parse(Run({"query", "up", "--range", "1h", "-o", "json"}).out)["resultType"], "matrix");
  EXPECT_EQ(asked, kHour);
  const Ran bad = Run({"query", "up{"});
  EXPECT_EQ(bad.exit, kUsage);
  EXPECT_NE(bad.err.find("1:4"), std::string::npos);
}

TEST_F(Program, AuditVerifyFailsWhenTheLogDoesNotHold) {
  backend_.audit.records = 12;
  EXPECT_EQ(Run({"audit", "verify"}).exit, kDone);
  backend_.audit.problem = "group 3 does not verify";
  const Ran ran = Run({"audit", "verify"});
  EXPECT_EQ(ran.exit, kFailed);
  EXPECT_NE(ran.out.find("group 3"), std::string::npos) << ran.out;
}

TEST_F(Program, RulesCheckNeedsNoController) {
  server_.reset();
  const std::string good = directory_ + "/good.yaml";
  const std::string bad = directory_ + "/bad.yaml";
  ASSERT_TRUE(
      RealDisk()
          .WriteWhole(good, "groups:\n- name: a\n  rules:\n  - alert: Down\n    expr: up == 0\n    for: 1m\n")
          .ok());
  ASSERT_TRUE(
      RealDisk().WriteWhole(bad, "groups:\n- name: a\n  rules:\n  - alert: Down\n    expr: up ==\n").ok());
  const Ran fine = Run({"rules", "check", good});
  EXPECT_EQ(fine.exit, kDone) << fine.err;
  EXPECT_EQ(fine.out, "1 file, 1 group, 1 rule: good\n");
  const Ran wrong = Run({"rules", "check", good, bad});
  EXPECT_EQ(wrong.exit, kFailed);
  EXPECT_NE(wrong.err.find(bad + ":5:"), std::string::npos) << wrong.err;
  EXPECT_EQ(wrong.out, "");
  EXPECT_EQ(Run({"rules", "check", directory_ + "/absent.yaml"}).exit, kFailed);
}

}  // namespace
}  // namespace quell::cli
