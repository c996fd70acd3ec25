// The files that quell brings along load without a mistake, and name only what its programs know.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "agent/app/config.h"
#include "agent/collectors/collector.h"
#include "agent/executor/sanctions.h"
#include "controller/app/config.h"
#include "controller/catalogue/loader.h"
#include "controller/policy/loader.h"
#include "controller/rules/rule_set.h"
#include "tests/support/files.h"

namespace quell {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Files(const std::string& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(std::string(QUELL_SOURCE_DIR "/deploy/") + directory)) {
    files.push_back(entry.path());
  }
  return files;
}

std::string Read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

// Of a metric that a collector of ours produces; `unknown` gathers the others.
rules::ProvenanceOf Provenances(std::set<std::string>& unknown) {
  return [&unknown](std::string_view metric) -> std::string {
    for (const agent::CollectorRow& row : agent::CollectorRegistry()) {
      for (const MetricDescriptor& descriptor : row.metrics) {
        if (descriptor.name == metric) return std::string(ProvenanceName(descriptor.provenance));
      }
    }
    unknown.insert(std::string(metric));
    return "";
  };
}

std::shared_ptr<const rules::RuleSet> LoadDefaultRules(std::set<std::string>& unknown) {
  std::vector<rules::RuleFile> files;
  for (const fs::path& path : Files("rules")) files.push_back({path.string(), Read(path)});
  config::Problems problems;
  auto rules = rules::LoadRules(files, Provenances(unknown), problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  return rules;
}

TEST(DeployFilesTest, DefaultRulesLoadAndReadOnlyWhatAgentsMeasure) {
  std::set<std::string> unknown;
  const auto rules = LoadDefaultRules(unknown);
  ASSERT_NE(rules, nullptr);
  EXPECT_TRUE(unknown.empty()) << *unknown.begin();
  for (const rules::Group& group : rules->groups) {
    for (const rules::Rule& rule : group.rules) {
      EXPECT_TRUE(rule.host_local) << rule.name << " needs more than one host's series";
      EXPECT_TRUE(rule.alert) << rule.name;
    }
  }
}

TEST(DeployFilesTest, DefaultRulesStateSeverityAndCategory) {
  const std::set<std::string> categories = {"database", "application", "performance", "security",
                                            "infrastructure"};
  std::set<std::string> unknown;
  const auto rules = LoadDefaultRules(unknown);
  ASSERT_NE(rules, nullptr);
  std::set<std::string> names;
  for (const rules::Group& group : rules->groups) {
    for (const rules::Rule& rule : group.rules) {
      EXPECT_TRUE(names.insert(rule.name).second) << rule.name << " is there twice";
      std::map<std::string, std::string> labels;
      for (const auto& [name, text] : rule.labels) labels[name] = text.Expand({}, 0);
      EXPECT_EQ(labels["severity"].size(), 2u) << rule.name;
      EXPECT_NE(rules::SeverityOf(labels["severity"]), v1::P0)
          << rule.name << ": P0 is not for a default rule";
      EXPECT_TRUE(categories.contains(labels["category"])) << rule.name;
    }
  }
}

TEST(DeployFilesTest, DefaultPoliciesLoadAskAndNameDefaultAlerts) {
  std::vector<std::string> paths;
  for (const fs::path& path : Files("policies")) paths.push_back(path.string());
  config::Problems problems;
  const std::vector<v1::Policy> policies = policy::LoadPolicyFiles(paths, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  std::set<std::string> unknown;
  const auto rules = LoadDefaultRules(unknown);
  ASSERT_NE(rules, nullptr);
  std::set<std::string> alerts;
  for (const v1::AlertRule& alert : rules->alerts) alerts.insert(alert.name());
  ASSERT_FALSE(policies.empty());
  for (const v1::Policy& policy : policies) {
    EXPECT_EQ(policy.mode(), v1::ASK) << policy.name();
    for (const std::string& alert : policy.alerts()) EXPECT_TRUE(alerts.contains(alert)) << alert;
  }
}

TEST(DeployFilesTest, ExamplePoliciesLoad) {
  std::vector<std::string> paths;
  for (const fs::path& path : Files("examples/policies")) paths.push_back(path.string());
  config::Problems problems;
  const std::vector<v1::Policy> policies = policy::LoadPolicyFiles(paths, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(policies.size(), 1u);
  ASSERT_EQ(policies[0].steps_size(), 2);
  EXPECT_EQ(policies[0].steps(1).action(), "release.rollback");
  EXPECT_EQ(policies[0].steps(1).only_if_changed_within_us(), 2 * kHour);
}

TEST(DeployFilesTest, ExampleSanctionsAllowWhatTheySay) {
  const std::string path = QUELL_SOURCE_DIR "/deploy/examples/sanctions.yaml";
  config::Problems problems;
  agent::SanctionsFile file;
  agent::ParseSanctions(path, Read(path), problems, file.entries);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  const auto allowed = [&](const std::string& app) {
    v1::Action action;
    action.mutable_pm2_restart()->set_user("deploy");
    action.mutable_pm2_restart()->set_app(app);
    return agent::FindSanction(file, agent::DescribeAction(action)).allowed;
  };
  EXPECT_TRUE(allowed("boutique-client-portal"));
  EXPECT_FALSE(allowed("boutique-migrations"));
  EXPECT_FALSE(allowed("other"));
  v1::Action terminate;
  terminate.mutable_postgres_terminate()->set_connection("main");
  EXPECT_TRUE(agent::FindSanction(file, agent::DescribeAction(terminate)).allowed);
  terminate.mutable_postgres_terminate()->set_connection("other");
  EXPECT_FALSE(agent::FindSanction(file, agent::DescribeAction(terminate)).allowed);
}

// Writes an example where a test may, with /etc/quell in it replaced by that place, and secrets beside it.
std::string PlaceExample(const test::TempDir& dir, const std::string& name) {
  std::string text = Read(QUELL_SOURCE_DIR "/deploy/examples/" + name);
  const std::string etc = "/etc/quell/";
  for (size_t at = 0; (at = text.find(etc, at)) != std::string::npos;)
    text.replace(at, etc.size(), dir.path() + "/");
  for (const char* secret : {"smtp-user", "smtp-password"}) dir.Write(secret, "secret\n", 0600);
  dir.Write("hook-url", "https://hook.example/x\n", 0600);
  dir.Write("rules.d/default.yml", Read(QUELL_SOURCE_DIR "/deploy/rules/default.yml"));
  dir.Write("policies.d/default.yml", Read(QUELL_SOURCE_DIR "/deploy/policies/default.yml"));
  return dir.Write(name, text, 0600);
}

TEST(DeployFilesTest, ExampleControllerFileLoads) {
  const test::TempDir dir;
  config::Problems problems;
  const app::ControllerConfig config =
      app::LoadControllerConfig(PlaceExample(dir, "controller.yaml"), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.listen_agents, "0.0.0.0:7400");
  EXPECT_EQ(config.receivers.size(), 3u);
  EXPECT_EQ(config.rule_files, std::vector<std::string>{dir.Path("rules.d/default.yml")});
  EXPECT_EQ(config.policy_files.size(), 1u);
}

TEST(DeployFilesTest, ExampleCatalogueLoads) {
  const std::string path = QUELL_SOURCE_DIR "/deploy/examples/catalogue.yaml";
  config::Problems problems;
  const catalogue::Catalogue catalogue = catalogue::ParseCatalogue(path, Read(path), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(catalogue.services.size(), 1u);
  EXPECT_EQ(catalogue.services[0].components.size(), 4u);
  for (const auto& [role, who] : catalogue.services[0].contacts)
    EXPECT_TRUE(catalogue.people.contains(who) || who == "schedule:portal") << who;
}

TEST(DeployFilesTest, ExampleAgentFileLoads) {
  const test::TempDir dir;
  config::Problems problems;
  const agent::AgentConfig config = agent::LoadAgentConfig(PlaceExample(dir, "agent.yaml"), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(config.collectors.probes.size(), 1u);
  EXPECT_EQ(config.collectors.probes[0].app, "boutique-client-portal");
  ASSERT_EQ(config.collectors.pm2.users.size(), 1u);
  EXPECT_EQ(config.collectors.pm2.users[0].user, "deploy");
  ASSERT_EQ(config.collectors.postgres.size(), 1u);
  EXPECT_EQ(config.collectors.postgres[0].name, "main");
  EXPECT_EQ(config.collectors.postgres[0].dsn.user, "quell_monitor");
}

}  // namespace
}  // namespace quell
