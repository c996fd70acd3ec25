// The whole path of a sample with the real programs, a real PM2 and real receivers: what the product is for,
// and of "what must never happen" that which real parts can show.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/scene.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// What was taken of the app before it was restarted, as a person reads it.
void ExpectEvidence(World& world) {
  const Json list = world.Quell({"evidence", "last"});
  ASSERT_TRUE(list.is_object());
  ASSERT_EQ(list["commands"].size(), 1u) << list.dump(1);
  std::map<std::string, Json> items;
  for (const Json& item : list["commands"][0]["evidence"]) items[item["name"]] = item;
  for (const char* name : {"describe", "log.out", "log.err", "proc.status", "proc.wchan", "proc.fds",
                           "proc.sockets", "kernel.stack"}) {
    ASSERT_EQ(items.count(name), 1u) << name << list.dump(1);
    EXPECT_NE(items[name]["missing"].is_null(), items[name]["sha256"].is_null()) << items[name];
  }
  const Json log = world.Quell({"evidence", "last.1", "--item", "log.out"});
  ASSERT_TRUE(log.is_object());
  const std::string content = log["content"];
  EXPECT_NE(content.find("last words before it hangs\n"), std::string::npos) << content;
  EXPECT_EQ(log["sha256"], items["log.out"]["sha256"]);
  EXPECT_EQ(log["bytes"], content.size());
  std::string output;
  EXPECT_EQ(world.QuellExit({"evidence", "last", "--item", "core"}, &output), 3) << output;
}

TEST(EndToEnd, AHungAppIsRestartedOnceVerifiedAndResolvedAndNobodyIsWoken) {
  HungAppScene scene;
  World& world = scene.world();
  const pid_t before = world.pm2().AppPid("portal");
  scene.Hang();
  ASSERT_TRUE(world.WaitForStatus("resolved", 90 * kSecond));
  const Json incident = world.Incident();
  ASSERT_EQ(incident["commands"].size(), 1u) << incident.dump(1);
  const std::vector<Json> commands = world.Items("commands");
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_EQ(commands[0]["action"], "pm2.restart");
  EXPECT_EQ(commands[0]["state"], "succeeded");
  EXPECT_EQ(commands[0]["verification"]["state"], "verified");
  EXPECT_NE(world.pm2().AppPid("portal"), before);
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 1);
  EXPECT_TRUE(world.hook().WaitForRequests(2));  // declared, resolved
  EXPECT_TRUE(world.mail().messages().empty());
  for (const char* time : {"started_at", "detected_at", "declared_at", "mitigated_at", "resolved_at"}) {
    EXPECT_TRUE(incident[time].is_string()) << time;
  }
  const Json command = world.Quell({"describe", "command", "last.1"});
  const Json described = command.is_null()
                             ? world.Quell({"describe", "command", commands[0]["id"].get<std::string>()})
                             : command;
  EXPECT_FALSE(described["evidence"].empty()) << described.dump(1);
  ExpectEvidence(world);
  std::string output;
  EXPECT_EQ(world.QuellExit({"audit", "verify"}, &output), 0) << output;
  EXPECT_EQ(world.QuellExit({"explain", "last"}, &output), 0) << output;
}

TEST(EndToEnd, Never1ACrashThatPm2HealsIsAnEventAndNothingElse) {
  HungAppScene scene;
  World& world = scene.world();
  scene.Crash();
  ASSERT_TRUE(world.WaitForEvent("pm2.exit"));
  ASSERT_TRUE(world.WaitForEvent("pm2.online"));
  ASSERT_TRUE(WaitFor([&] { return scene.Answers(); }));
  // A further exit is seen: the rules have looked at the first one by then.
  scene.Crash();
  ASSERT_TRUE(WaitFor([&] {
    int exits = 0;
    for (const Json& event : world.Items("events")) exits += event["kind"] == "pm2.exit";
    return exits >= 2;
  }));
  EXPECT_TRUE(world.Items("incidents").empty());
  EXPECT_TRUE(world.Items("commands").empty());
  EXPECT_TRUE(world.hook().requests().empty());
}

TEST(EndToEnd, Never2AnAppThatAPersonStoppedStaysStopped) {
  HungAppScene scene;
  World& world = scene.world();
  ASSERT_TRUE(world.pm2().Command({"stop", "portal"}).ok());
  ASSERT_TRUE(world.WaitForEvent("pm2.exit"));
  ASSERT_TRUE(WaitFor(
      [&] {
        const Json seen = world.Quell({"query", "pm2_app_stopped_by_hand == 1"});
        return seen.is_object() && !seen["result"].empty();
      },
      40 * kSecond));
  EXPECT_EQ(world.pm2().AppStatus("portal"), "stopped");
  EXPECT_TRUE(world.Items("incidents").empty());
  EXPECT_TRUE(world.Items("commands").empty());
}

TEST(EndToEnd, WhatTheHostDoesNotSanctionIsRefusedThereAndAPersonIsCalled) {
  SceneOptions options;
  options.sanctioned = false;
  HungAppScene scene(options);
  World& world = scene.world();
  const pid_t before = world.pm2().AppPid("portal");
  scene.Hang();
  ASSERT_TRUE(world.mail().WaitForMessages(1, 90 * kSecond));
  const std::vector<Json> commands = world.Items("commands");
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_TRUE(commands[0]["state"] == "refused" || commands[0]["state"] == "withheld") << commands[0].dump();
  EXPECT_EQ(world.pm2().AppPid("portal"), before);
}

TEST(EndToEnd, AskWaitsForAPersonAndApproveLetsItHappen) {
  SceneOptions options;
  options.mode = "ask";
  HungAppScene scene(options);
  World& world = scene.world();
  scene.Hang();
  ASSERT_TRUE(WaitFor(
      [&] {
        const std::vector<Json> commands = world.Items("commands");
        return !commands.empty() && commands[0]["state"] == "awaiting_approval";
      },
      60 * kSecond));
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 0);
  std::string output, error;
  const std::string number = absl::StrCat(world.Items("incidents")[0]["number"].get<int>(), ".1");
  ASSERT_EQ(world.QuellExit({"approve", number}, &output, &error), 0) << output << error;
  ASSERT_TRUE(world.WaitForStatus("resolved", 90 * kSecond));
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 1);
}

TEST(EndToEnd, AHoldStopsAutomationAndIsSaid) {
  HungAppScene scene;
  World& world = scene.world();
  ASSERT_EQ(world.QuellExit({"hold", "--all", "--for", "1h", "--why", "drill"}), 0);
  scene.Hang();
  ASSERT_TRUE(WaitFor([&] { return !world.Items("incidents").empty(); }, 60 * kSecond));
  std::string output;
  ASSERT_TRUE(WaitFor([&] {
    world.QuellExit({"explain", "last"}, &output);
    return output.find("hold") != std::string::npos;
  })) << output;
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 0);
}

TEST(EndToEnd, APersonRunsAnActionAndSeesItEnd) {
  HungAppScene scene;
  World& world = scene.world();
  const pid_t before = world.pm2().AppPid("portal");
  std::string output, error;
  EXPECT_EQ(
      world.QuellExit({"run", "pm2.restart", "--host", "web-1", "--user", world.user(), "--app", "portal"},
                      &output, &error),
      0)
      << output << error;
  EXPECT_NE(world.pm2().AppPid("portal"), before);
  EXPECT_EQ(
      world.QuellExit({"run", "pm2.restart", "--host", "web-1", "--user", world.user(), "--app", "nobody"},
                      &output, &error),
      5)
      << output << error;
}

// How many mails went to this address.
size_t MailsTo(World& world, const std::string& address) {
  size_t count = 0;
  for (const SmtpReceiver::Message& message : world.mail().messages()) count += message.to[0] == address;
  return count;
}

TEST(EndToEnd, APageThatNobodyAcknowledgesGoesOneStepFurtherAndAnAcknowledgementEndsThat) {
  SceneOptions options;
  options.sanctioned = false;
  options.page = "at_once";
  options.deadlines = "{P1: {acknowledge: 4s}}";
  options.audience = "{P0: [oncall], P1: [oncall, second, third], P2: [oncall]}";
  options.receivers =
      "  second: {type: email, smtp: \"MAIL\", from: quell@localhost, to: second@localhost, tls: off, wakes: "
      "true}\n"
      "  third: {type: email, smtp: \"MAIL\", from: quell@localhost, to: third@localhost, tls: off, wakes: "
      "true}\n";
  HungAppScene scene(options);
  World& world = scene.world();
  scene.Hang();
  ASSERT_TRUE(WaitFor([&] { return MailsTo(world, "oncall@localhost") >= 1; }, 60 * kSecond));
  ASSERT_TRUE(WaitFor([&] { return MailsTo(world, "second@localhost") == 1; }, 60 * kSecond));
  ASSERT_EQ(world.QuellExit({"ack", "last"}), 0);
  const Json incident = world.Incident();
  EXPECT_TRUE(incident["acknowledged_at"].is_string());
  EXPECT_TRUE(incident["deadlines"]["acknowledge_by"].is_null()) << incident["deadlines"].dump();
  EXPECT_EQ(MailsTo(world, "third@localhost"), 0u);
  // The page, and that automation has given up; neither twice.
  EXPECT_EQ(MailsTo(world, "oncall@localhost"), 2u) << incident["timeline"].dump(1);
}

TEST(EndToEnd, SighupLoadsANewAndKeepsTheOldWhenTheNewIsBad) {
  HungAppScene scene;
  World& world = scene.world();
  const std::string path = world.dir().Path("controller/policies.d/policies.yaml");
  std::string policies = ReadFile(path);
  world.dir().Write("controller/policies.d/policies.yaml", policies + "  surprise: 1\n");
  world.Signal("controller", SIGHUP);
  ASSERT_TRUE(WaitFor([&] { return world.Log("controller").find("policies.yaml:") != std::string::npos; }));
  EXPECT_EQ(world.Items("policies")[0]["mode"], "automatic");
  policies.replace(policies.find("mode: automatic"), 15, "mode: observe");
  world.dir().Write("controller/policies.d/policies.yaml", policies);
  world.Signal("controller", SIGHUP);
  ASSERT_TRUE(WaitFor([&] { return world.Items("policies")[0]["mode"] == "observe"; }));
  const std::string catalogue =
      "services: [{name: shop, components: [{name: web, kind: pm2, app: portal}]}]\n";
  world.dir().Write("controller/catalogue.yaml", catalogue + "surprise: 1\n");
  world.Signal("controller", SIGHUP);
  ASSERT_TRUE(
      WaitFor([&] { return world.Log("controller").find("catalogue.yaml:2:1: ") != std::string::npos; }));
  ASSERT_EQ(world.Items("services").size(), 1u);
  EXPECT_EQ(world.Items("services")[0]["name"], "portal") << "of its own";
  // What the rules say themselves would stand.
  const std::string rules = absl::StrReplaceAll(kAppRules, {{", service: portal", ""}});
  world.dir().Write("controller/rules.d/rules.yml", rules);
  world.dir().Write("controller/catalogue.yaml", catalogue);
  world.Signal("controller", SIGHUP);
  ASSERT_TRUE(WaitFor([&] {
    const std::vector<Json> services = world.Items("services");
    return services.size() == 1 && services[0]["name"] == "shop" && services[0]["hosts"].size() == 1;
  }));
  scene.Hang();
  std::string output;
  ASSERT_TRUE(WaitFor(
      [&] {
        world.QuellExit({"explain", "last"}, &output);
        return output.find("observe") != std::string::npos;
      },
      40 * kSecond))
      << output;
  EXPECT_TRUE(world.Items("commands").empty());
  const Json incident = world.Incident();
  EXPECT_EQ(incident["services"], Json::array({"shop"}));
  EXPECT_EQ(world.Items("services")[0]["incidents"][0]["number"], incident["number"]);
}

TEST(EndToEnd, ACatalogueWithMistakesIsNoStartAndTheDraftIsOne) {
  HungAppScene scene;
  World& world = scene.world();
  const Json draft = world.Quell({"init"});
  ASSERT_TRUE(draft.is_object());
  ASSERT_EQ(world.Stop("controller"), 0);
  world.dir().Write("controller/catalogue.yaml", "services: [{name: shop}]\n");
  std::string errors;
  EXPECT_EQ(world.ControllerExit(&errors), 2);
  EXPECT_NE(errors.find("catalogue.yaml:1:12: "), std::string::npos) << errors;
  world.dir().Write("controller/catalogue.yaml", draft["catalogue"].get<std::string>());
  world.StartController();
  ASSERT_TRUE(WaitFor([&] { return world.Items("services").size() == 1; }));
  EXPECT_EQ(world.Items("services")[0]["name"], "portal");
  EXPECT_EQ(world.Items("services")[0]["from"], "catalogue");
}

}  // namespace
}  // namespace quell::test
