// Sanctions: what they say, and files that are not to be trusted.
#include "agent/executor/sanctions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/executor/approvals.h"
#include "agent/executor/glob.h"
#include "agent/executor/guarded_file.h"
#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

SanctionsFile Parse(const std::string& yaml) {
  FakeHost host;
  host.Sanctions(yaml);
  return host.sanctions;
}

Sanction Ask(const std::string& yaml, const std::string& user, const std::string& app) {
  v1::Action action;
  action.mutable_pm2_restart()->set_user(user);
  action.mutable_pm2_restart()->set_app(app);
  return FindSanction(Parse(yaml), DescribeAction(action));
}

TEST(Glob, MatchesWholeNames) {
  EXPECT_TRUE(GlobMatch("boutique-*", "boutique-client-portal"));
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_TRUE(GlobMatch("*a*b*c", "xxaxxbxxc"));
  EXPECT_TRUE(GlobMatch("a?c", "abc"));
  EXPECT_FALSE(GlobMatch("a?c", "ac"));
  EXPECT_FALSE(GlobMatch("boutique-*", "a-boutique-x"));
  EXPECT_FALSE(GlobMatch("", "x"));
  EXPECT_FALSE(GlobMatch("[a-z]", "a"));
  EXPECT_TRUE(GlobMatch("[a-z]", "[a-z]"));
}

TEST(Glob, IsNotSlowOnWhatMakesBacktrackersSlow) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "a*";
  EXPECT_FALSE(GlobMatch(pattern + "b", std::string(10'000, 'a')));
}

TEST(Sanctions, WhatIsNotNamedIsRefused) {
  const std::string yaml = "- {action: pm2.restart, user: deploy, allow: {apps: [\"boutique-*\", x]}}\n";
  EXPECT_TRUE(Ask(yaml, "deploy", "boutique-portal").allowed);
  EXPECT_TRUE(Ask(yaml, "deploy", "x").allowed);
  EXPECT_FALSE(Ask(yaml, "deploy", "xx").allowed);
  EXPECT_FALSE(Ask(yaml, "other", "x").allowed);
  EXPECT_FALSE(Ask("- {action: pm2.stop, user: deploy, allow: {apps: [\"*\"]}}", "deploy", "x").allowed);
  EXPECT_FALSE(Ask("", "deploy", "x").allowed);
}

TEST(Sanctions, OneDenyIsEnoughAndTheStrictestLimitCounts) {
  const std::string yaml =
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}, limits: {per_hour: 6}}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"p*\"]}, limits: {per_hour: 2}}\n"
      "- {action: pm2.restart, user: deploy, deny: {apps: [\"*-db\"]}}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [pay]}, approval: two}\n";
  EXPECT_EQ(Ask(yaml, "deploy", "portal").limits.size(), 2u);
  EXPECT_EQ(Ask(yaml, "deploy", "web").limits.size(), 1u);
  EXPECT_EQ(Ask(yaml, "deploy", "p-db").reason, "sanctions.yaml:3 denies pm2.restart on this target");
  EXPECT_EQ(Strictest(Ask(yaml, "deploy", "pay").limits), ApprovalNeeded::kTwo);
  EXPECT_EQ(Strictest(Ask(yaml, "deploy", "portal").limits), ApprovalNeeded::kNone);
}

TEST(Sanctions, EveryMistakeIsTold) {
  const SanctionsFile file = Parse(
      "- {action: pm2.explode, user: deploy, allow: {apps: [x]}}\n"
      "- {action: pm2.restart, allow: {apps: [\"*\"]}}\n"
      "- {action: pm2.restart, user: deploy, allow: {units: [x]}}\n"
      "- {action: pm2.restart, user: \"dep*\", allow: {apps: [x]}}\n"
      "- {action: pm2.restart, user: deploy}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [x]}, approval: three}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [x]}, limits: {per_hour: -1}}\n"
      "- just text\n");
  for (int line = 1; line <= 8; ++line) {
    EXPECT_THAT(file.error, HasSubstr("sanctions.yaml:" + std::to_string(line) + ":")) << file.error;
  }
  EXPECT_TRUE(file.entries.empty());
}

TEST(Sanctions, EntriesOfEveryActionCanBeWritten) {
  const SanctionsFile file = Parse(R"yaml(
- {action: pm2.restart, user: deploy, allow: {apps: ["boutique-*"]}, env_file: /opt/boutique-client/app/.env.production, limits: {per_hour: 6}}
- {action: pm2.scale, user: deploy, allow: {apps: [boutique-client-portal]}, limits: {min: 1, max: 8}}
- {action: release.rollback, user: deploy, deployment: portal, path: /opt/boutique-client, layout: releases, app: boutique-client-portal, never: ["1.6.*"]}
- {action: postgres.terminate, connection: main, allow: {databases: [boutique]}, deny: {users: [backup]}, limits: {min_age: 60s, max_targets: 20}}
- {action: service.restart, allow: {units: ["postgresql@15-main.service"]}, approval: one}
- {action: network.block, deny: {networks: ["10.0.0.0/8"]}, limits: {max_targets: 100, longest: 24h}}
- {action: sessions.revoke, connection: main, statement: 'DELETE FROM "Session"', approval: one}
- {action: procedure.run, name: db-restore, user: deploy, approval: two, timeout: 1h,
   argv: [/opt/boutique-client/scripts/disaster-recovery.sh, --scenario=db-restore, "--backup-date={date}"], params: {date: date}}
)yaml");
  EXPECT_EQ(file.error, "");
  EXPECT_EQ(file.entries.size(), 8u);
}

TEST(Sanctions, KeepsWhatADeploymentSays) {
  const SanctionsFile file = Parse(R"yaml(
- {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal/, layout: releases, app: web,
   never: ["1.6.*"], migrations: {connection: main, query_file: /etc/quell/migrations.sql}, limits: {per_hour: 2}}
)yaml");
  ASSERT_EQ(file.error, "");
  ASSERT_TRUE(file.entries[0].release);
  const ReleaseSanction& release = *file.entries[0].release;
  EXPECT_EQ(release.deployment, "portal");
  EXPECT_EQ(release.path, "/opt/portal");
  EXPECT_EQ(release.layout, "releases");
  EXPECT_EQ(release.app, "web");
  EXPECT_EQ(release.never, (std::vector<std::string>{"1.6.*"}));
  EXPECT_EQ(release.migrations_connection, "main");
  EXPECT_EQ(release.migrations_query_file, "/etc/quell/migrations.sql");
  EXPECT_EQ(file.entries[0].per_hour, 2);
  EXPECT_TRUE(EntryMatches(file.entries[0], "release.rollback", "deploy", "portal"));
  EXPECT_FALSE(EntryMatches(file.entries[0], "release.rollback", "deploy", "web"));
  EXPECT_FALSE(EntryMatches(file.entries[0], "release.rollback", "other", "portal"));
  EXPECT_FALSE(EntryMatches(file.entries[0], "pm2.restart", "deploy", "portal"));
}

TEST(Sanctions, ADeploymentsMistakesAreToldWithTheirLines) {
  const SanctionsFile file = Parse(
      "- {action: release.rollback, user: deploy, deployment: a, path: opt, layout: releases}\n"
      "- {action: release.rollback, user: deploy, deployment: a, path: /opt, layout: git}\n"
      "- {action: release.rollback, user: deploy, path: /opt, layout: releases}\n"
      "- {action: release.rollback, deployment: a, path: /opt, layout: releases}\n"
      "- {action: release.rollback, user: deploy, deployment: a, path: /opt, layout: releases, migrations: "
      "{}}\n");
  for (int line = 1; line <= 5; ++line) {
    EXPECT_THAT(file.error, HasSubstr("sanctions.yaml:" + std::to_string(line) + ":")) << file.error;
  }
  EXPECT_TRUE(file.entries.empty());
}

class SanctionsFiles : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing_support::MakeTestDirectory();
    path_ = directory_ + "/sanctions.yaml";
    Write(path_, "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}}\n");
  }
  void Write(const std::string& path, const std::string& text) {
    unlink(path.c_str());
    FILE* file = fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
    chmod(path.c_str(), 0644);
  }
  SanctionsFile Load() { return LoadSanctions(path_, geteuid()); }
  void ExpectRefused(const std::string& why) {
    const SanctionsFile file = Load();
    EXPECT_THAT(file.error, HasSubstr(why));
    EXPECT_TRUE(file.entries.empty());
  }

  std::string directory_;
  std::string path_;
};

TEST_F(SanctionsFiles, AreReadWithTheFilesBesideThem) {
  EXPECT_EQ(Load().error, "");
  EXPECT_EQ(Load().entries.size(), 1u);
  const std::string digest = Load().sha256;
  ASSERT_EQ(mkdir((directory_ + "/sanctions.d").c_str(), 0755), 0);
  Write(directory_ + "/sanctions.d/10.yaml", "- {action: pm2.restart, user: deploy, deny: {apps: [db]}}\n");
  Write(directory_ + "/sanctions.d/ignored.txt", "not yaml: [");
  EXPECT_EQ(Load().error, "");
  EXPECT_EQ(Load().entries.size(), 2u);
  EXPECT_NE(Load().sha256, digest);
  Write(directory_ + "/sanctions.d/20.yaml", "- nonsense\n");
  ExpectRefused("20.yaml:1");
}

TEST_F(SanctionsFiles, X14_WritableByOthersIsRefused) {
  chmod(path_.c_str(), 0664);
  ExpectRefused("its group or others can write it");
  chmod(path_.c_str(), 0646);
  ExpectRefused("its group or others can write it");
  chmod(path_.c_str(), 0644);
  chmod(directory_.c_str(), 0777);
  ExpectRefused("its group or others can write it");
  chmod(directory_.c_str(), 0700);
  EXPECT_EQ(Load().error, "");
}

// In a sticky directory others can't swap what is there; but a file that they add stops every action.
TEST_F(SanctionsFiles, X14_StickyOnesThatOthersCanAddToAreRefused) {
  const std::string parts = directory_ + "/sanctions.d";
  ASSERT_EQ(mkdir(parts.c_str(), 0755), 0);
  for (const mode_t mode : {01777, 01775, 01757}) {
    chmod(parts.c_str(), mode);
    ExpectRefused(parts + " is refused: its group or others can write it: what they add there would count");
  }
  chmod(parts.c_str(), 0755);
  EXPECT_EQ(Load().error, "");
  rmdir(parts.c_str());
  chmod(directory_.c_str(), 01777);  // whoever can may make a sanctions.d here
  ExpectRefused(directory_ + " is refused: its group or others can write it");
  chmod(directory_.c_str(), 0700);
  EXPECT_EQ(Load().error, "");
  // Further up, a name that is taken stays who it is.
  ASSERT_EQ(mkdir((directory_ + "/quell").c_str(), 0755), 0);
  Write(directory_ + "/quell/sanctions.yaml", "[]");
  path_ = directory_ + "/quell/sanctions.yaml";
  chmod(directory_.c_str(), 01777);
  EXPECT_EQ(Load().error, "");
}

TEST_F(SanctionsFiles, X14_LinksAreNotFollowed) {
  ASSERT_EQ(rename(path_.c_str(), (directory_ + "/real.yaml").c_str()), 0);
  ASSERT_EQ(symlink("real.yaml", path_.c_str()), 0);
  ExpectRefused("symbolic link");
  unlink(path_.c_str());
  ASSERT_EQ(mkdir((directory_ + "/real").c_str(), 0755), 0);
  ASSERT_EQ(symlink("real", (directory_ + "/link").c_str()), 0);
  Write(directory_ + "/real/sanctions.yaml", "[]");
  path_ = directory_ + "/link/sanctions.yaml";
  ExpectRefused("symbolic link");
}

TEST_F(SanctionsFiles, AbsentLargeAndOddOnesAreRefused) {
  Write(path_, std::string((1 << 20) + 1, '#'));
  ExpectRefused("longer than");
  unlink(path_.c_str());
  ExpectRefused("opening");
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  ExpectRefused("no regular file");
  rmdir(path_.c_str());
  ASSERT_EQ(mkfifo(path_.c_str(), 0644), 0);
  ExpectRefused("no regular file");
}

TEST_F(SanctionsFiles, X14_AnothersFileIsRefused) {
  const SanctionsFile file = LoadSanctions(path_, geteuid() + 1);
  // Root's own is right for everybody; another's for nobody.
  EXPECT_EQ(file.error.empty(), geteuid() == 0);
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  ExpectRefused("belongs to uid 65534");
}

}  // namespace
}  // namespace quell::agent
