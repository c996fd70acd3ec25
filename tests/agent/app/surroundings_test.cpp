// What `quell-agent doctor` and `quell-agent init` make of a host.
#include "agent/app/surroundings.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_replace.h"
#include "agent/app/config.h"
#include "agent/app/doctor.h"
#include "agent/app/init.h"
#include "agent/executor/sanctions.h"
#include "common/base/file.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A machine: this process's user has two PM2 daemons, one beside its home; two PostgreSQL servers listen.
class SurroundingsTest : public testing::Test {
 protected:
  SurroundingsTest() {
    const std::string id = std::to_string(geteuid());
    test::WriteTree(
        root.path(),
        {{"etc/passwd", "deploy:x:" + id + ":" + id + "::/home/deploy:/bin/sh\nbroken line\n"},
         {"proc/net/unix",
          "Num       RefCount Protocol Flags    Type St Inode Path\n"
          "0000: 00000002 00000000 00010000 0001 01 101 /home/deploy/.pm2/rpc.sock\n"
          "0000: 00000002 00000000 00010000 0001 01 102 /srv/o'dd: pm2/rpc.sock\n"
          "0000: 00000003 00000000 00000000 0001 03 103 /home/deploy/.pm2/pub.sock\n"
          "0000: 00000002 00000000 00010000 0001 01 104 /var/run/postgresql/.s.PGSQL.5432\n"
          "0000: 00000002 00000000 00010000 0001 01 105 /tmp/.s.PGSQL.5433\n"
          "0000: 00000002 00000000 00010000 0001 01 106 /tmp/.s.PGSQL.x\n"
          "0000: 00000002 00000000 00010000 0001 01 107 @/abstract/rpc.sock\n"},
         {"proc/net/tcp",
          "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
          "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 555 "
          "1\n"},
         {"proc/77/fd/.keep", ""},
         {"home/deploy/.pm2/rpc.sock", ""},
         {"home/deploy/.pm2/pids/portal-0.pid", "77"},
         {"home/deploy/.pm2/pids/my-job-12.pid", "none"},
         {"srv/o'dd: pm2/rpc.sock", ""},
         {"srv/o'dd: pm2/pids/x\": [}-1.pid", "1"}});
    EXPECT_EQ(symlink("socket:[555]", root.Path("proc/77/fd/3").c_str()), 0);
  }

  AgentConfig Load(const std::string& text, config::Problems& problems) {
    return LoadAgentConfig(directory.Write("agent.yaml", text), problems);
  }

  test::TempDir root;
  test::TempDir directory;
};

TEST_F(SurroundingsTest, WhoListensIsReadFromTheKernelsTable) {
  EXPECT_THAT(ListeningSockets(root.path()),
              ElementsAre("/home/deploy/.pm2/rpc.sock", "/srv/o'dd: pm2/rpc.sock", "/tmp/.s.PGSQL.5433",
                          "/tmp/.s.PGSQL.x", "/var/run/postgresql/.s.PGSQL.5432"));
  EXPECT_THAT(ListeningSockets(root.Path("nowhere")), IsEmpty());
}

TEST_F(SurroundingsTest, Pm2DaemonsAndTheirApps) {
  const std::vector<FoundPm2> found = FindPm2(root.path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].user, "deploy");
  EXPECT_EQ(found[0].home, "");
  EXPECT_THAT(found[0].apps, ElementsAre("my-job", "portal"));
  EXPECT_THAT(found[0].ports, ElementsAre(testing::Pair("portal", 3000)));
  EXPECT_EQ(found[1].home, "/srv/o'dd: pm2");
}

TEST_F(SurroundingsTest, TheDraftOfAgentYamlLoads) {
  config::Problems problems;
  const AgentConfig config = Load(AgentDraft(FindPm2(root.path()), FindPostgres(root.path())), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(config.collectors.pm2.users.size(), 1u);  // one daemon a user: the one in the home
  EXPECT_EQ(config.collectors.pm2.users[0].home, "");
  ASSERT_EQ(config.collectors.probes.size(), 1u);
  EXPECT_EQ(config.collectors.probes[0].app, "portal");
  EXPECT_EQ(config.collectors.probes[0].url, "http://127.0.0.1:3000/");
  ASSERT_EQ(config.collectors.postgres.size(), 2u);
  EXPECT_EQ(config.collectors.postgres[1].dsn.port, 5432);
  const AgentConfig odd = Load(AgentDraft({FindPm2(root.path())[1]}, {}), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(odd.collectors.pm2.users[0].home, "/srv/o'dd: pm2");
  config::Problems none;
  Load(AgentDraft({}, {}), none);
  EXPECT_TRUE(none.ok()) << none.ToString();
}

TEST_F(SurroundingsTest, TheDraftOfSanctionsAllowsNothingAndIsRightWhenUncommented) {
  const std::string draft = SanctionsDraft(FindPm2(root.path()), FindPostgres(root.path()));
  config::Problems problems;
  std::vector<SanctionEntry> entries;
  ParseSanctions("sanctions.yaml", draft, problems, entries);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_THAT(entries, IsEmpty());
  ParseSanctions("sanctions.yaml", absl::StrReplaceAll(draft, {{"\n# - ", "\n- "}, {"\n[]\n", "\n"}}),
                 problems, entries);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_THAT(entries[0].allow["apps"], ElementsAre("my-job", "portal"));
}

// ---- doctor

class DoctorTest : public testing::Test {
 protected:
  DoctorTest() {
    options.config = directory.Write("agent.yaml", Config("a@b"));
    options.sanctions = directory.Write("sanctions.yaml", "[]", 0600);
    options.hold = directory.Path("hold");
    options.user = "nobody-of-this-name";
  }
  std::string Config(const std::string& user) {
    return "controller: {addresses: [\"127.0.0.1:1\"]}\nstate: " + directory.Path("state") +
           "\nexecutor: {socket: executor.sock}\ncollectors:\n  pm2: {users: [\"" + user +
           "\"]}\n  postgres: [{name: main, dsn: \"host=" + directory.path() + " dbname=x\"}]\n";
  }
  // What is said of one thing.
  std::string Said(const std::string& what) {
    std::string all;
    for (const Finding& finding : Examine(options, RealClock())) {
      EXPECT_EQ(finding.well, finding.mend.empty()) << finding.what;
      if (finding.what == what)
        all += std::string(finding.well ? "ok " : "!! ") + finding.why + " | " + finding.mend + "\n";
    }
    return all;
  }
  test::TempDir directory;
  DoctorOptions options;
};

TEST_F(DoctorTest, AHostThatIsNotEnrolledIsToldHow) {
  EXPECT_THAT(Said("configuration"), HasSubstr("ok "));
  EXPECT_THAT(Said("identity"), HasSubstr("isn't enrolled | quell-agent enrol --controller CONTROLLER:7401"));
  EXPECT_THAT(Said("trust"), HasSubstr("!! "));
  EXPECT_THAT(Said("controller"), HasSubstr("!! connecting to 127.0.0.1:1: "));
  EXPECT_THAT(Said("executor"), HasSubstr("| systemctl start quell-executor"));
  EXPECT_THAT(Said("PM2 of a@b"), HasSubstr("!! there is no such user"));
  EXPECT_THAT(Said("PostgreSQL main"), HasSubstr("!! "));
}

TEST_F(DoctorTest, SanctionsAndTheHoldAreSeenAsTheExecutorSeesThem) {
  EXPECT_THAT(Said("sanctions"),
              HasSubstr("names nothing: everything is refused | quell-agent init sanctions"));
  directory.Write("sanctions.yaml", "- {action: pm2.restart, user: deploy, allow: {apps: [x]}}\n", 0600);
  EXPECT_THAT(Said("sanctions"), HasSubstr("ok 1 entry"));
  EXPECT_EQ(Said("hold"), "");
  directory.Write("hold", "");
  EXPECT_THAT(Said("hold"), HasSubstr("| rm " + options.hold));
  directory.Write("sanctions.yaml", "- {action: pm2.restart}\n", 0600);
  EXPECT_THAT(Said("sanctions"), HasSubstr("!! everything is refused: "));
}

TEST_F(DoctorTest, AnExecutorThatListensIsSeenWithoutTakingItsConnection) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  directory.Path("executor.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd.get(), 1), 0);
  EXPECT_THAT(Said("executor"), HasSubstr("ok listens at "));
  EXPECT_EQ(accept(fd.get(), nullptr, nullptr), -1);
}

TEST_F(DoctorTest, EveryMistakeOfTheConfigurationIsALine) {
  directory.Write("agent.yaml", "controller: {addresses: [\"x:1\"]}\nstaet: /x\nexecuter: {}\n");
  const std::string said = Said("configuration");
  EXPECT_THAT(said, HasSubstr("agent.yaml:2:1: "));
  EXPECT_THAT(said, HasSubstr("agent.yaml:3:1: "));
}

TEST_F(DoctorTest, WhatANameHoldsIsShownAndNotObeyed) {
  EXPECT_THAT(FindingsText({{false, "PM2 of x", "\x1b[2J", "rm \x07"}}), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace quell::agent
