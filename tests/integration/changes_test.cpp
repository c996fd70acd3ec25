// Changes through the real programs: an agent that sees a release, also one that came while it was away; CI
// that tells of a deployment over HTTP; and the incident that shows them.
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/world.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";

class ChangesTest : public testing::Test {
 protected:
  static WorldOptions Options() {
    WorldOptions options;
    options.rules = "groups: []\n";
    options.policies = "policies: []\n";
    options.changes =
        "{every: 1s, releases: [{user: deploy, app: portal, path: DIR/portal}], files: "
        "[\"DIR/portal/.env*\"]}";
    options.sources = "[{name: ci, token_file: DIR/ci.token, may: observe, changes: true}]";
    return options;
  }
  ChangesTest() : world_(Options()) {
    world_.dir().Write("ci.token", kToken, 0600);
    world_.dir().Write("portal/.env", "PORT=3000\n");
    Link("1.8.1");
    world_.StartAll();
    // The first look has been written down.
    EXPECT_TRUE(WaitFor([&] { return access(world_.dir().Path("agent/changes").c_str(), F_OK) == 0; }));
  }
  void Link(const std::string& release) {
    world_.dir().MakeDirectory("portal/releases/" + release);
    const std::string link = world_.dir().Path("portal/current"), fresh = link + ".new";
    ASSERT_EQ(symlink(("releases/" + release).c_str(), fresh.c_str()), 0);
    ASSERT_EQ(rename(fresh.c_str(), link.c_str()), 0);
  }
  // The change whose summary contains this; null when there is none.
  Json Find(const std::string& summary) {
    for (const Json& change : world_.Items("changes")) {
      if (change["summary"].get<std::string>().find(summary) != std::string::npos) return change;
    }
    return nullptr;
  }
  httplib::Result Post(const std::string& body, const std::string& token) {
    httplib::Client client("127.0.0.1", world_.web_port());
    return client.Post("/api/changes", {{"Authorization", "Bearer " + token}}, body, "application/json");
  }
  World world_;
};

TEST_F(ChangesTest, AReleaseIsSeenAlsoWhileTheAgentIsAwayAndShownByTheIncident) {
  Link("1.8.2");
  ASSERT_TRUE(WaitFor([&] { return Find("1.8.1 -> 1.8.2").is_object(); }, 30 * kSecond))
      << world_.Log("agent");
  const Json release = Find("1.8.1 -> 1.8.2");
  EXPECT_EQ(release["kind"], "release");
  EXPECT_EQ(release["service"], "portal");
  EXPECT_EQ(release["labels"]["to"], "1.8.2");
  world_.Stop("agent");
  Link("1.8.3");
  world_.dir().Write("portal/.env", "PORT=canary-7\n");
  world_.StartAgent();
  ASSERT_TRUE(WaitFor([&] { return Find("1.8.2 -> 1.8.3").is_object() && Find(".env changed").is_object(); },
                      30 * kSecond))
      << world_.Log("agent");
  ASSERT_EQ(world_.QuellExit({"declare", "portal fails", "--service", "portal"}), 0);
  const Json incident = world_.Incident();
  ASSERT_EQ(incident["changes"].size(), 2u) << incident.dump(1);
  EXPECT_EQ(incident["changes"][1]["summary"], "portal 1.8.2 -> 1.8.3");
  const std::string cause = incident["probable_cause"].get<std::string>();
  EXPECT_EQ(cause.find("change.release web-1 portal 1.8.2 -> 1.8.3, "), 0u) << cause;
  std::string output;
  EXPECT_EQ(world_.QuellExit({"describe", "incident", "last"}, &output), 0);
  EXPECT_NE(output.find("1.8.2 -> 1.8.3"), std::string::npos) << output;
  EXPECT_EQ(world_.Quell({"get", "changes"}).dump().find("canary"), std::string::npos);
}

TEST_F(ChangesTest, CiTellsOfADeploymentAndAPersonFinishesIt) {
  EXPECT_EQ(Post(R"({"change":"start","summary":"1.8.2","service":"portal"})", "wrong")->status, 401);
  const auto started = Post(R"({"change":"start","summary":"1.8.2","service":"portal","for":"15m"})", kToken);
  ASSERT_TRUE(started);
  ASSERT_EQ(started->status, 201) << started->body;
  const Json change = Find("1.8.2");
  EXPECT_EQ(change["state"], "running");
  EXPECT_EQ(change["by"], "ci:ci");
  EXPECT_EQ(world_.QuellExit({"change", "start", "x", "--service", "portal", "--for", "5h"}), 1);
  EXPECT_EQ(world_.QuellExit({"change", "finish", "--service", "portal", "--failed"}), 0);
  EXPECT_EQ(Find("1.8.2")["state"], "failed");
  EXPECT_EQ(Post(R"({"change":"finish","service":"portal"})", kToken)->status, 404);
  std::string output;
  EXPECT_EQ(world_.QuellExit({"audit", "verify"}, &output), 0) << output;
}

}  // namespace
}  // namespace quell::test
