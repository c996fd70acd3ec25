// Secrets planted where hosts and controllers have them, a whole incident over them, and then every byte that
// quell wrote and everything that it shows searched for them.
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "tests/integration/world.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// One a place, so that a find says which door was open.
const std::map<std::string, std::string> kSecrets = {
    {"environment", "canary-environment-5f1c"},
    {"argument", "canary-argument-92be"},
    {"query", "canary-query-c07d"},
    {"configuration", "canary-configuration-41aa"},
    {"receiver", "canary-receiver-e83f"},
    {"source", "canary-source-0123456789abcdef0123"},
};

constexpr char kApp[] = R"js(
require("fs").writeSync(1, "an open word of its log\\n");
setInterval(() => { if (require("fs").existsSync(process.env.CONTROL + "/crash")) process.exit(1); }, 50);
)js";

constexpr char kRules[] = R"(groups:
- name: all
  interval: 1s
  rules:
  - alert: AppGivenUp
    expr: pm2_app_given_up == 1
    labels: {severity: P1, service: portal}
    annotations: {summary: "{{ $labels.app }} is down"}
  - alert: LongQuery
    expr: pg_long_query_seconds > 0.5
    labels: {severity: P1, service: database}
    annotations: {summary: "{{ $labels.pid }} runs one statement for too long"}
)";

constexpr char kPolicies[] = R"(policies:
- name: restart-app
  mode: automatic
  when: {alert: AppGivenUp}
  page: at_once
  steps:
  - action: pm2.restart
    with: {user: $labels.user, app: $labels.app}
    verify: {cleared: true, within: 30s, hold: 1s}
  guard: {cooldown: 0s, attempts: {max: 3, within: 1h}, fresh: 10s}
  otherwise: page
- name: end-long-query
  mode: automatic
  when: {alert: LongQuery}
  page: at_once
  steps:
  - action: postgres.terminate
    with:
      connection: $labels.server
      pid: $labels.pid
      backend_start_us: $labels.backend_start
      xact_start_us: $labels.xact_start
      query_start_us: $labels.query_start
    verify: {cleared: true, within: 30s, hold: 1s}
  guard: {cooldown: 0s, attempts: {max: 3, within: 1h}, fresh: 10s}
  otherwise: page
)";

class SecretsTest : public testing::Test {
 protected:
  SecretsTest() {
    auto cluster = PostgresCluster::Start(database_.path());
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    EXPECT_TRUE(cluster_->Psql("CREATE DATABASE boutique").ok());
    EXPECT_TRUE(cluster_->Psql("CREATE ROLE shop LOGIN").ok());
    EXPECT_TRUE(cluster_->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "boutique").ok());
    secrets_.Write("ci.token", kSecrets.at("source"), 0600);
    secrets_.Write("portal/.env", "PASSWORD=" + kSecrets.at("configuration") + "\n");
    world_ = std::make_unique<World>(Options());
    secrets_.Write("hook.url", world_->hook().Url("/hook/" + kSecrets.at("receiver")) + "\n", 0600);
    world_->StartAll();
  }

  WorldOptions Options() const {
    const std::string user = getpwuid(getuid())->pw_name;
    WorldOptions options;
    options.apps = {
        {.name = "portal",
         .source = kApp,
         .settings = R"({"autorestart": false, "args": ["--password=)" + kSecrets.at("argument") + "\"]}",
         .environment = {{"CONTROL", control_.path()}, {"DATABASE_URL", kSecrets.at("environment")}}}};
    options.rules = kRules;
    options.policies = kPolicies;
    options.sanctions = absl::StrCat("- {action: pm2.restart, user: ", user, ", allow: {apps: [portal]}}\n",
                                     "- {action: postgres.terminate, connection: main, allow: {databases: "
                                     "[boutique]}, limits: {min_age: 0s, max_targets: 1, per_hour: 10}}\n");
    options.collectors =
        absl::StrCat("  postgres: [{name: main, dsn: \"host=", cluster_->socket_directory(),
                     " user=quell_monitor dbname=boutique\", every: 1s, long_query_after: 500ms}]\n");
    options.changes = absl::StrCat("{every: 1s, files: [\"", secrets_.path(), "/portal/.env*\"]}");
    options.sources = absl::StrCat("[{name: ci, token_file: ", secrets_.Path("ci.token"),
                                   ", may: observe, changes: true}]");
    options.receivers =
        absl::StrCat("  secret: {type: webhook, url_file: ", secrets_.Path("hook.url"), "}\n");
    options.audience = "{P0: [oncall], P1: [oncall, secret], P2: [oncall]}";
    options.executor = {"--monitor-user", "nobody", "--remedy-user", "nobody"};
    return options;
  }

  void WaitResolved(size_t wanted) {
    EXPECT_TRUE(WaitFor(
        [&] {
          size_t resolved = 0;
          for (const Json& incident : world_->Items("incidents"))
            resolved += incident["status"] == "resolved";
          return resolved >= wanted;
        },
        90 * kSecond))
        << world_->Log("controller") << world_->Log("executor");
  }

  // Everything that a responder can read of it.
  std::string Shown() {
    std::string all;
    for (const char* kind : {"incidents", "hosts", "apps", "signals", "rules", "policies", "actions",
                             "commands", "holds", "changes", "events"})
      all += world_->Quell({"get", kind, "--all"}).dump();
    for (const Json& incident : world_->Items("incidents")) {
      const std::string id = incident["id"].get<std::string>();
      for (const char* verb : {"evidence", "explain"}) all += world_->Quell({verb, id}).dump();
      all += world_->Quell({"describe", "incident", id}).dump();
    }
    for (const Json& command : world_->Items("commands")) {
      const std::string id = command["id"].get<std::string>();
      all += world_->Quell({"describe", "command", id}).dump();
      const Json taken = world_->Quell({"evidence", id});
      for (const Json& item : taken["commands"][0]["evidence"]) {
        if (!item["missing"].is_null()) continue;
        ++items_;
        all += world_->Quell({"evidence", id, "--item", item["name"].get<std::string>()}).dump();
      }
    }
    for (const SmtpReceiver::Message& mail : world_->mail().messages()) all += mail.data;
    return all;
  }

  void ExpectNone(const std::string& where, const std::string& text) {
    for (const auto& [place, secret] : kSecrets)
      EXPECT_EQ(text.find(secret), std::string::npos) << "the secret of the " << place << " is in " << where;
  }

  TempDir control_, secrets_, database_;
  std::unique_ptr<PostgresCluster> cluster_;
  std::unique_ptr<World> world_;
  size_t items_ = 0;  // of evidence, that were read
};

TEST_F(SecretsTest, X17_NoPlantedSecretIsInAnyLogJournalSpoolCaptureOrAnswer) {
  control_.Write("crash", "");
  ASSERT_TRUE(WaitFor([&] { return !world_->Items("commands").empty(); }, 60 * kSecond))
      << world_->Log("agent");
  unlink(control_.Path("crash").c_str());
  auto session = cluster_->Connect("shop", "boutique");
  ASSERT_TRUE(session.ok());
  (*session)->Begin("SELECT pg_sleep(600), '" + kSecrets.at("query") + "'");
  secrets_.Write("portal/.env", "PASSWORD=" + kSecrets.at("configuration") + "\nPORT=3000\n");
  WaitResolved(2);
  EXPECT_FALSE((*session)->End().ok()) << "its session was ended";
  EXPECT_TRUE(WaitFor([&] { return !world_->Items("changes").empty(); }, 30 * kSecond));

  const std::string shown = Shown();
  EXPECT_GE(items_, 5u) << "there is evidence to be searched";
  EXPECT_NE(shown.find("an open word of its log"), std::string::npos) << "the search sees what was captured";
  ExpectNone("an answer", shown);
  for (const char* program : {"agent", "executor", "controller"})
    EXPECT_EQ(world_->Stop(program), 0) << program;
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world_->dir().path())) {
    const std::string path = entry.path().string();
    if (!entry.is_regular_file() || path.find(world_->dir().Path("pm2") + "/") == 0) continue;  // PM2's own
    ++files;
    ExpectNone(path, ReadFile(path));
  }
  EXPECT_GT(files, 10u);
}

}  // namespace
}  // namespace quell::test
