#include "controller/app/config.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/files.h"

namespace quell::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ConfigTest : public testing::Test {
 protected:
  ControllerConfig Load(const std::string& text) {
    problems = {};
    return LoadControllerConfig(directory.Write("controller.yaml", text), problems);
  }
  test::TempDir directory;
  config::Problems problems;
};

TEST_F(ConfigTest, AnEmptyFileGivesTheProceduresDefaults) {
  const ControllerConfig config = Load("");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.listen_agents, "0.0.0.0:7400");
  EXPECT_EQ(config.listen_web, "127.0.0.1:7402");
  EXPECT_EQ(config.pki.log_key, directory.Path("log.key"));
  EXPECT_EQ(config.hosts_file, directory.Path("hosts"));
  EXPECT_EQ(config.config.monitoring_us(), 30 * kMinute);
  EXPECT_EQ(config.config.lost_after_us(), 15 * kSecond);
  ASSERT_EQ(config.config.deadlines_size(), 4);
  EXPECT_EQ(config.config.deadlines(0).respond_us(), 15 * kMinute);
  EXPECT_EQ(config.config.deadlines(2).respond_off_hours_us(), 8 * kHour);
  for (const auto& audience : config.config.audience()) EXPECT_THAT(audience.steps(), IsEmpty());
}

TEST_F(ConfigTest, NobodyEnrolsUnlessItIsSaidWhere) {
  EXPECT_EQ(Load("").listen_enrol, "");
  const ControllerConfig config =
      Load("listen: {enrol: \"0.0.0.0:7401\"}\nagents: {certificate_lifetime: 12h}\n");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.listen_enrol, "0.0.0.0:7401");
  EXPECT_EQ(config.certificate_lifetime, 12 * kHour);
  EXPECT_EQ(config.pki.agents_ca_key, directory.Path("agents-ca.key"));
}

TEST_F(ConfigTest, NobodyComesWithACertificateUnlessItIsSaidWhere) {
  EXPECT_EQ(Load("").listen_responders, "");
  EXPECT_EQ(Load("listen: {responders: \"0.0.0.0:7403\"}\n").listen_responders, "0.0.0.0:7403");
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  Load("listen: {responders: 7403}\n");
  EXPECT_THAT(problems.ToString(), HasSubstr(":1:22: an address to listen on is host:port"));
}

TEST_F(ConfigTest, ACertificateLivesForAMinuteToThirtyDays) {
  for (const char* life : {"59s", "31d", "0s"}) {
    problems = config::Problems();
    Load(std::string("agents: {certificate_lifetime: ") + life + "}\n");
    EXPECT_THAT(problems.ToString(), testing::HasSubstr("controller.yaml:1:")) << life;
  }
}

TEST_F(ConfigTest, AWholeFileIsRead) {
  directory.Write("rules.d/b.yml", "groups: []");
  directory.Write("rules.d/a.yaml", "groups: []");
  directory.Write("rules.d/notes.txt", "");
  directory.Write("more/c.yml", "groups: []");
  directory.Write("policies.d/p.yaml", "policies: []");
  const ControllerConfig config = Load(R"(
listen: {agents: "127.0.0.1:0", web: "127.0.0.1:0"}
socket: run/quell.sock
store: {sqlite: log.db}
pki: {directory: /etc/quell/pki, log_key: keys/log.key}
host_labels: {web-1: {role: web, site: eu}}
external_url: https://quell.example
deadlines: {P0: {acknowledge: 1m}, P2: {respond: 2h}}
monitoring: 20s
audience: {P0: [oncall, hook], P1: oncall}
receivers:
  oncall: {type: email, smtp: "127.0.0.1:25", tls: off, from: q@example.com, to: a@example.com, wakes: true}
  hook: {type: webhook, url: "https://hooks.example/t0ken"}
routes: [{severity: [P0, P1], to: [hook]}, {to: hook}]
rules: [rules.d, "more/*.yml"]
)");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.socket, directory.Path("run/quell.sock"));
  EXPECT_EQ(config.sqlite, directory.Path("log.db"));
  EXPECT_EQ(config.pki.command_key, "/etc/quell/pki/command.key");
  EXPECT_EQ(config.pki.log_key, directory.Path("keys/log.key"));
  EXPECT_EQ(config.host_labels.at("web-1").at("site"), "eu");
  EXPECT_EQ(config.config.deadlines(0).acknowledge_us(), kMinute);
  EXPECT_EQ(config.config.deadlines(0).respond_us(), 15 * kMinute);
  EXPECT_EQ(config.config.deadlines(2).respond_us(), 2 * kHour);
  EXPECT_EQ(config.config.monitoring_us(), 20 * kSecond);
  ASSERT_EQ(config.config.receivers_size(), 2);
  EXPECT_TRUE(config.config.receivers(0).wakes());
  EXPECT_EQ(config.receivers.size(), 2u);
  ASSERT_EQ(config.config.audience_size(), 2);
  EXPECT_THAT(config.config.audience(0).steps(), ElementsAre("oncall", "hook"));
  ASSERT_EQ(config.config.routes_size(), 2);
  EXPECT_THAT(config.config.routes(0).severities(), ElementsAre(v1::P0, v1::P1));
  EXPECT_THAT(config.config.routes(1).to(), ElementsAre("hook"));
  EXPECT_THAT(config.rule_files, ElementsAre(directory.Path("more/c.yml"), directory.Path("rules.d/a.yaml"),
                                             directory.Path("rules.d/b.yml")));
  EXPECT_THAT(config.policy_files, ElementsAre(directory.Path("policies.d/p.yaml")));
}

TEST_F(ConfigTest, OnesOwnFilesLieOverTheDefaults) {
  directory.Write("share/rules.d/a.yml", "groups: []");
  directory.Write("share/rules.d/b.yml", "groups: []");
  directory.Write("share/rules.d/c.yml", "groups: []");
  directory.Write("share/policies.d/default.yml", "policies: []");
  directory.Write("rules.d/b.yml", "groups: []");
  directory.Write("rules.d/own.yml", "groups: []");
  std::filesystem::create_symlink("/dev/null", directory.Path("rules.d/c.yml"));
  const ControllerConfig config = Load("defaults: share\n");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_THAT(config.rule_files,
              ElementsAre(directory.Path("share/rules.d/a.yml"), directory.Path("rules.d/b.yml"),
                          directory.Path("rules.d/own.yml")));
  EXPECT_THAT(config.policy_files, ElementsAre(directory.Path("share/policies.d/default.yml")));
  // Who lists files gets those and no others.
  EXPECT_THAT(Load("defaults: share\nrules: [rules.d/own.yml]\n").rule_files,
              ElementsAre(directory.Path("rules.d/own.yml")));
}

TEST_F(ConfigTest, WithoutAnAudienceTheProceduresLadderIsWalked) {
  const ControllerConfig config = Load(
      "receivers:\n"
      "  oncall: {type: webhook, url: \"https://a.example\"}\n"
      "  management: {type: webhook, url: \"https://b.example\"}\n");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(config.config.audience_size(), 4);
  EXPECT_THAT(config.config.audience(0).steps(), ElementsAre("oncall", "management"));
  EXPECT_THAT(config.config.audience(2).steps(), ElementsAre("oncall"));
  EXPECT_THAT(config.config.audience(3).steps(), IsEmpty());
}

TEST_F(ConfigTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  Load(
      "listen: {agents: 7400, nurses: \"0.0.0.0:7403\"}\n"
      "monitoring: soon\n"
      "lost_after: 1s\n"
      "deadlines: {P7: {acknowledge: 5m}, P0: {acknowlege: 5m}}\n"
      "audience: {P0: [oncal]}\n"
      "receivers:\n"
      "  oncall: {type: pager}\n"
      "  Hook: {type: webhook}\n"
      "  mail: {smtp: \"x:25\"}\n"
      "routes: [{severity: high, to: [nobody]}]\n"
      "rules: [absent.d]\n"
      "host_labels: {WEB: {a: b}, web-1: {instance: x}}\n"
      "external_url: quell.example\n"
      "stor: {}\n");
  const std::string all = problems.ToString();
  for (const char* expected :
       {":1:18: an address to listen on is host:port", ":1:24: unknown key \"nurses\"",
        ":2:13: ", ":3:13: lost_after must be at least 10s", ":4:13: a severity is P0",
        ":4:41: unknown key \"acknowlege\"", ":5:17: there is no receiver \"oncal\"",
        ":7:18: there is no receiver type \"pager\" (there are email, webhook)", ":8:3: a receiver's name",
        ":9:9: receiver mail has no type", ":10:21: a severity is P0",
        ":10:32: there is no receiver \"nobody\"", ":11:9: there is no file",
        ":12:15: this is not a host's name", ":12:36: instance and job", ":13:15: external_url must begin",
        ":14:1: unknown key \"stor\""}) {
    EXPECT_THAT(all, HasSubstr(directory.Path("controller.yaml") + expected)) << all;
  }
  EXPECT_EQ(problems.mistakes().size(), 17u) << all;
}

TEST_F(ConfigTest, SourcesAreReadWithTheirTokens) {
  directory.Write("ci.token", "0123456789abcdef0123456789abcdef\n", 0600);
  const ControllerConfig config = Load(
      "sources:\n"
      "- {name: ci, token_file: ci.token, may: observe, changes: true, services: [portal], per_minute: 5}\n");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(config.sources.size(), 1u);
  EXPECT_EQ(config.sources[0].name, "ci");
  EXPECT_EQ(config.sources[0].token.Reveal(), "0123456789abcdef0123456789abcdef");
  EXPECT_TRUE(config.sources[0].changes);
  EXPECT_THAT(config.sources[0].services, ElementsAre("portal"));
  EXPECT_EQ(config.sources[0].per_minute, 5u);
  EXPECT_THAT(config.redacted, Not(HasSubstr("0123456789abcdef")));
}

TEST_F(ConfigTest, ASourceThatWouldBeUnsafeIsRefused) {
  directory.Write("open", "0123456789abcdef", 0644);
  directory.Write("short", "0123456789", 0600);
  directory.Write("good", "0123456789abcdef", 0600);
  Load(
      "sources:\n"
      "- {name: a, token_file: open}\n"
      "- {name: b, token_file: short}\n"
      "- {name: c, token_file: absent}\n"
      "- {name: d}\n"
      "- {name: e, token_file: good, may: automatic}\n"
      "- {name: e, token_file: good}\n"
      "- {name: F, token_file: good, token: 0123456789abcdef}\n");
  const std::string all = problems.ToString();
  for (const char* expected :
       {":2:25: ", ":3:25: the token in ", ":4:25: ", ":5:3: ", ":6:", ":7:3: there are two sources named e",
        ":7:3: sources e and e have the same token", ":8:3: a source's name",
        ":8:31: unknown key \"token\""}) {
    EXPECT_THAT(all, HasSubstr(directory.Path("controller.yaml") + expected));
  }
}

TEST_F(ConfigTest, AFileThatIsAbsentOrBrokenIsOneMistake) {
  LoadControllerConfig(directory.Path("absent.yaml"), problems);
  EXPECT_THAT(problems.ToString(), HasSubstr("absent.yaml:1:1: "));
  Load("receivers: [unclosed");
  EXPECT_EQ(problems.mistakes().size(), 1u) << problems.ToString();
}

TEST_F(ConfigTest, SecretsAreTakenFromFilesAlone) {
  Load(
      "receivers: {oncall: {type: email, smtp: \"127.0.0.1:25\", tls: off, from: a@b, to: c@d, password: "
      "hunter2}}");
  EXPECT_THAT(problems.ToString(), HasSubstr("unknown key \"password\""));
  EXPECT_THAT(problems.ToString(), Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, TheRecordedTextHoldsNoUrlAndNoComment) {
  const ControllerConfig config = Load(
      "# password is hunter2\n"
      "receivers: {hook: {type: webhook, url: \"https://hooks.example/t0ps3cret\"}}\n");
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_THAT(config.redacted, HasSubstr("\"hook\""));
  EXPECT_THAT(config.redacted, Not(HasSubstr("t0ps3cret")));
  EXPECT_THAT(config.redacted, Not(HasSubstr("hunter2")));
  EXPECT_EQ(config.config.sha256().size(), 64u);
}

}  // namespace
}  // namespace quell::app
