// A host that joins over the network, with the real programs: what it is sent then is done there, and nothing
// is any more once it is revoked.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/scene.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

TEST(Enrol, AHostThatEnrolledIsSentARemedyAndDoesIt) {
  SceneOptions options;
  options.enrols = true;
  HungAppScene scene(options);
  World& world = scene.world();
  const std::vector<Json> hosts = world.Items("hosts");
  ASSERT_EQ(hosts.size(), 1u);
  EXPECT_EQ(hosts[0]["name"], "web-1");
  EXPECT_EQ(hosts[0]["labels"]["role"], "web");
  struct stat info {};
  ASSERT_EQ(stat((world.HostKeys() + "/agent.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  scene.Hang();
  ASSERT_TRUE(world.WaitForStatus("resolved", 90 * kSecond));
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 1);
  // The token has done its work, and a certificate that is there is not overwritten.
  std::string error;
  EXPECT_EQ(world.AgentExit({"enrol", "--controller", world.EnrolPort(), "--token-file",
                             world.dir().Path("token"), "--config", world.dir().Path("agent.yaml")},
                            &error),
            2)
      << error;
  EXPECT_NE(error.find("--again"), std::string::npos) << error;
  EXPECT_EQ(
      world.AgentExit({"enrol", "--controller", world.EnrolPort(), "--token-file", world.dir().Path("token"),
                       "--config", world.dir().Path("agent.yaml"), "--again"},
                      &error),
      4);
  EXPECT_NE(error.find("used already"), std::string::npos) << error;
  EXPECT_TRUE(world.Log("controller").find(ReadFile(world.dir().Path("token")).substr(0, 43)) ==
              std::string::npos);

  // Revoked: it is told why, and nothing reaches it any more.
  EXPECT_EQ(world.QuellExit({"agent", "revoke", "web-1"}, nullptr, &error), 2) << "it takes a reason";
  ASSERT_EQ(world.QuellExit({"agent", "revoke", "web-1", "--why", "stolen"}, nullptr, &error), 0) << error;
  EXPECT_TRUE(WaitFor([&] { return world.Log("agent").find("the agent of web-1") != std::string::npos; },
                      10 * kSecond));
  EXPECT_NE(
      world.QuellExit({"run", "pm2.restart", "--host", "web-1", "--user", world.user(), "--app", "portal"}),
      0);
  EXPECT_EQ(world.pm2().AppRestarts("portal"), 1);

  // Its name may be given anew.
  ASSERT_EQ(world.QuellExit({"agent", "delete", "web-1", "--why", "rebuilt"}, nullptr, &error), 0) << error;
  EXPECT_TRUE(world.Quell({"get", "hosts"})["items"].empty());
  world.Stop("agent");
  world.Stop("executor");
  EXPECT_EQ(world.QuellExit({"agent", "token", "--host", "web-1", "--out", world.dir().Path("token-2")},
                            nullptr, &error),
            0)
      << error;
  EXPECT_EQ(
      world.AgentExit({"enrol", "--controller", world.EnrolPort(), "--token-file",
                       world.dir().Path("token-2"), "--config", world.dir().Path("agent.yaml"), "--again"},
                      &error),
      0)
      << error;
  world.StartExecutor();
  world.StartAgent();
  EXPECT_TRUE(WaitFor([&] {
    const Json listed = world.Quell({"get", "hosts"});
    return listed.is_object() && listed["items"].size() == 1 && listed["items"][0]["liveness"] == "connected";
  }));
}

TEST(Enrol, TheCommandLinesOfBothEndsSayWhatIsWrong) {
  WorldOptions options;
  options.enrols = true;
  World world(options);
  world.StartController();
  const TempDir& dir = world.dir();
  std::string error, output;
  EXPECT_EQ(world.QuellExit({"agent", "token", "--host", "web-1"}, nullptr, &error), 2);
  EXPECT_NE(world.QuellExit({"agent", "token", "--host", "$(id)", "--out", dir.Path("bad")}, nullptr, &error),
            0);
  EXPECT_EQ(ReadFile(dir.Path("bad")), "") << "no file is left of a token that was not made";
  EXPECT_NE(access(dir.Path("bad").c_str(), F_OK), 0);
  ASSERT_EQ(world.QuellExit({"agent", "token", "--host", "web-1", "--out", "-"}, &output, &error), 0)
      << error;
  ASSERT_EQ(output.size(), 43u + 1 + 64 + 1);
  EXPECT_NE(
      world.QuellExit({"agent", "token", "--host", "db-1", "--out", dir.Path("token")}, nullptr, &error), 1);
  EXPECT_NE(
      world.QuellExit({"agent", "token", "--host", "db-1", "--out", dir.Path("token")}, nullptr, &error), 0)
      << "a file that is there is not overwritten";
  const Json tokens = world.Quell({"get", "tokens"});
  ASSERT_EQ(tokens["items"].size(), 2u);
  const std::string id = tokens["items"][0]["id"];
  EXPECT_EQ(world.QuellExit({"agent", "token", "revoke", id}, nullptr, &error), 0) << error;
  EXPECT_EQ(world.QuellExit({"agent", "token", "revoke", "0123456789abcdef"}, nullptr, &error), 3);
  EXPECT_EQ(world.QuellExit({"agent", "label", "nowhere", "role=web"}, nullptr, &error), 3);

  const auto enrol = [&](const std::string& controller, const std::string& file) {
    return world.AgentExit(
        {"enrol", "--controller", controller, "--token-file", file, "--config", dir.Path("agent.yaml")},
        &error);
  };
  dir.Write("open-token", output, 0644);
  EXPECT_EQ(enrol(world.EnrolPort(), dir.Path("open-token")), 4) << "a token that others can read";
  dir.Write("garbage", "garbage", 0600);
  EXPECT_EQ(enrol(world.EnrolPort(), dir.Path("garbage")), 2);
  EXPECT_EQ(enrol(world.EnrolPort(), dir.Path("no-such-file")), 2);
  dir.Write("good", output, 0600);
  EXPECT_EQ(enrol("127.0.0.1:1", dir.Path("good")), 6);
  EXPECT_EQ(enrol("nonsense", dir.Path("good")), 2);
  output.replace(50, 1, output[50] == '0' ? "1" : "0");
  dir.Write("other-pin", output, 0600);
  EXPECT_EQ(enrol(world.EnrolPort(), dir.Path("other-pin")), 4);
  EXPECT_NE(error.find("pinned"), std::string::npos) << error;
}

}  // namespace
}  // namespace quell::test
