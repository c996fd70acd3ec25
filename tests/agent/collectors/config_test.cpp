#include "agent/collectors/config.h"

#include <gmock/gmock.h>

namespace quell::agent {
namespace {

using testing::HasSubstr;

TEST(ConfigTest, AllOfIt) {
  config::Problems problems;
  const auto root = config::ParseYaml("agent.yaml", R"(
host: {every: 2s}
pm2: {every: 500ms, users: [deploy, {user: other, home: /srv/pm2}]}
probes:
- name: health
  about: {user: deploy, app: boutique-client-portal}
  url: "http://127.0.0.1:3000/api/admin/health"
  every: 1s
  timeout: 3s
  expect: {status: 200, body: ok}
- {name: shop, url: "https://shop.example/"}
postgres:
- {name: main, dsn: "host=/var/run/postgresql user=quell_monitor dbname=boutique", every: 1s}
- {name: other, dsn: "host=127.0.0.1 port=5433 dbname=x", password_file: /etc/quell/db, log_file: /var/log/pg.log}
changes:
  every: 20s
  releases: [{user: deploy, app: boutique-client-portal, path: /opt/boutique-client}]
  git: [/srv/app, {path: /srv/shop.git, service: shop}]
  files: ["/opt/boutique-client/app/.env*"]
  packages: true
)",
                                      problems);
  const CollectorsConfig config = ParseCollectorsConfig(root, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.host.every, 2 * kSecond);
  EXPECT_EQ(config.pm2.every, 500 * kMillisecond);
  ASSERT_EQ(config.pm2.users.size(), 2u);
  EXPECT_EQ(config.pm2.users[0].user, "deploy");
  EXPECT_EQ(config.pm2.users[0].home, "");
  EXPECT_EQ(config.pm2.users[1].home, "/srv/pm2");
  ASSERT_EQ(config.probes.size(), 2u);
  EXPECT_EQ(config.probes[0].app, "boutique-client-portal");
  EXPECT_EQ(config.probes[0].timeout, 3 * kSecond);
  EXPECT_EQ(config.probes[0].status, 200);
  EXPECT_EQ(config.probes[0].body, "ok");
  EXPECT_EQ(config.probes[1].status, 0);
  ASSERT_EQ(config.postgres.size(), 2u);
  EXPECT_EQ(config.postgres[0].name, "main");
  EXPECT_EQ(config.postgres[0].dsn.dbname, "boutique");
  EXPECT_EQ(config.postgres[0].every, kSecond);
  EXPECT_EQ(config.postgres[1].dsn.port, 5433);
  EXPECT_EQ(config.postgres[1].every, 5 * kSecond);
  EXPECT_EQ(config.postgres[1].password_file, "/etc/quell/db");
  EXPECT_EQ(config.postgres[1].log_file, "/var/log/pg.log");
  ASSERT_TRUE(config.changes.has_value());
  EXPECT_EQ(config.changes->every, 20 * kSecond);
  ASSERT_EQ(config.changes->releases.size(), 1u);
  EXPECT_EQ(config.changes->releases[0].app, "boutique-client-portal");
  ASSERT_EQ(config.changes->git.size(), 2u);
  EXPECT_EQ(config.changes->git[0].path, "/srv/app");
  EXPECT_EQ(config.changes->git[1].service, "shop");
  EXPECT_EQ(config.changes->files[0].path, "/opt/boutique-client/app/.env*");
  EXPECT_TRUE(config.changes->packages);
}

TEST(ConfigTest, PostgresMistakesAtTheirPlaces) {
  config::Problems problems;
  const auto root = config::ParseYaml("agent.yaml", R"(postgres:
- {name: main, dsn: "host=/run dbname=x password=hunter2"}
- {name: main, dsn: "host=/run dbname=x options='-c x=y'"}
- {name: "a; id", dsn: "host=/run dbname=x"}
- {name: b}
- {name: c, dsn: "host=/run dbname=x", password: hunter2}
- {name: d, dsn: "host=/run dbname=x", log_file: log, every: 2h}
- {name: e, dsn: "host=/run dbname=x user='a\nb'"}
)",
                                      problems);
  ParseCollectorsConfig(root, problems);
  const std::string text = problems.ToString();
  for (const char* sentence :
       {"agent.yaml:2:", "password_file", "agent.yaml:3:", "a second PostgreSQL server has the name main",
        "agent.yaml:4:", "1 to 63 letters", "agent.yaml:5:", "dsn", "agent.yaml:6:", "password",
        "log_file must be an absolute path", "every must be between", "agent.yaml:8:", "control character"})
    EXPECT_THAT(text, HasSubstr(sentence));
  EXPECT_THAT(text, testing::Not(HasSubstr("hunter2")));
}

TEST(ConfigTest, PlacesOfChangesAreAbsoluteAndAReleaseNamesItsApp) {
  config::Problems problems;
  const auto root = config::ParseYaml("agent.yaml", R"(changes:
  every: 100ms
  releases: [/opt/portal, {path: /opt/x}]
  git: [srv/app, /srv/app, /srv/app]
  files: ["/opt/../etc/*"]
  package: true
)",
                                      problems);
  ParseCollectorsConfig(root, problems);
  const std::string all = problems.ToString();
  for (const char* wanted : {"agent.yaml:2:10: every must be between 1s and 1h", "agent.yaml:3:14", "user",
                             "agent.yaml:4:9: path must be", "agent.yaml:4:28: /srv/app is listed twice",
                             "agent.yaml:5:11: path must be", "agent.yaml:6:3"}) {
    EXPECT_THAT(all, HasSubstr(wanted));
  }
}

TEST(ConfigTest, EveryMistakeAtItsPlace) {
  config::Problems problems;
  const auto root = config::ParseYaml("agent.yaml", R"(host: {every: 1ms}
pm2: {users: [deploy, deploy, {user: x, home: relative}]}
probes:
- {name: a, url: "ftp://x/"}
- {name: a, url: "http://x/", about: {user: y}, expect: {status: 99}, colour: red}
cpu: {}
)",
                                      problems);
  ParseCollectorsConfig(root, problems);
  const std::string text = problems.ToString();
  EXPECT_THAT(text, HasSubstr("agent.yaml:1:"));
  EXPECT_THAT(text, HasSubstr("every must be between"));
  EXPECT_THAT(text, HasSubstr("deploy is listed twice"));
  EXPECT_THAT(text, HasSubstr("absolute path"));
  EXPECT_THAT(text, HasSubstr("agent.yaml:4:"));
  EXPECT_THAT(text, HasSubstr("http:// or https://"));
  EXPECT_THAT(text, HasSubstr("second probe has the name a"));
  EXPECT_THAT(text, HasSubstr("colour"));
  EXPECT_THAT(text, HasSubstr("cpu"));
  EXPECT_GE(problems.mistakes().size(), 8u);
}

}  // namespace
}  // namespace quell::agent
