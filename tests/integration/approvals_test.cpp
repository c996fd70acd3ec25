// Signed approvals on the real programs: controller, agent, executor, PM2, and people with keys of their own.
// A host's sanction asks for them; no controller can do without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/scene.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

using testing::HasSubstr;

constexpr int kNotAllowed = 4;
constexpr int kTimedOut = 8;

class SignedApprovals : public ::testing::Test {
 protected:
  void Begin(const std::string& mode, const std::string& approval) {
    SceneOptions options;
    options.mode = mode;
    options.approval = approval;
    options.people = true;
    scene_ = std::make_unique<HungAppScene>(options);
    world().LogIn("alice", "approver");
    world().LogIn("bob", "approver");
  }
  World& world() { return scene_->world(); }
  Json Command(const std::string& name) { return world().Quell({"describe", "command", name}); }
  // Until it waits, with the host's own reason when that is wanted.
  bool Waits(const std::string& name, const std::string& reason) {
    return WaitFor(
        [&] {
          const Json command = Command(name);
          return command.is_object() && command["state"] == "awaiting_approval" &&
                 command["reason"].get<std::string>().find(reason) != std::string::npos;
        },
        60 * kSecond);
  }
  bool Ended(const std::string& name, const std::string& state) {
    return WaitFor(
        [&] {
          const Json command = Command(name);
          return command.is_object() && command["state"] == state;
        },
        60 * kSecond);
  }
  int As(const std::string& person, const std::vector<std::string>& words) {
    output_.clear(), error_.clear();
    return person == "root" ? world().QuellExit(words, &output_, &error_)
                            : world().QuellAs(person, words, &output_, &error_);
  }
  std::vector<std::string> Restart(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"run",    "pm2.restart",  "--host", "web-1",
                                      "--user", world().user(), "--app",  "portal"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::unique_ptr<HungAppScene> scene_;
  std::string output_, error_;
};

TEST_F(SignedApprovals, APolicyAsksAPersonSignsAndTheHostActs) {
  Begin("ask", "one");
  scene_->Hang();
  ASSERT_TRUE(WaitFor([&] { return !world().Items("commands").empty(); }, 60 * kSecond));
  const std::string name = world().Items("commands")[0]["name"];
  ASSERT_TRUE(Waits(name, ""));
  // By the socket: the policy has its approval, the host wants it signed.
  ASSERT_EQ(As("root", {"approve", name}), 0) << error_;
  ASSERT_TRUE(Waits(name, "asks for approval: one, and nobody has signed one"));
  EXPECT_EQ(As("root", {"approve", name}), kNotAllowed);
  EXPECT_THAT(error_, HasSubstr("by the controller's own socket none is signed"));
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 0);
  EXPECT_EQ(As("alice", {"approve", name}), 2) << "nobody is there to be asked";
  ASSERT_EQ(As("alice", {"approve", name, "--yes"}), 0) << error_;
  EXPECT_THAT(error_, HasSubstr("action      pm2.restart"));
  EXPECT_THAT(error_, HasSubstr("evidence    signal AppHung"));
  ASSERT_TRUE(world().WaitForStatus("resolved", 90 * kSecond));
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 1);
  const Json done = Command(name);
  ASSERT_FALSE(done["approvals"].empty());
  EXPECT_EQ(done["approvals"][0]["person"], "person:alice");
  EXPECT_EQ(done["approvals"][0]["signed"], true);
  ASSERT_EQ(As("alice", {"describe", "command", name}), 0) << error_;
  EXPECT_THAT(output_, HasSubstr("alice (signed)"));
  EXPECT_EQ(As("root", {"audit", "verify"}), 0) << error_;
}

TEST_F(SignedApprovals, WhoAskedDoesNotApproveAndIsOneOfTwo) {
  Begin("observe", "one");
  // One: somebody else.
  ASSERT_EQ(As("bob", Restart({"--no-wait"})), 0) << error_;
  ASSERT_TRUE(Waits("C-1", "asks for approval: one"));
  EXPECT_EQ(As("bob", {"approve", "C-1", "--yes"}), kNotAllowed);
  EXPECT_THAT(error_, HasSubstr("C-1 is not approved by who asked for it"));
  EXPECT_EQ(Command("C-1")["state"], "awaiting_approval") << error_;
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 0);
  ASSERT_EQ(As("alice", {"approve", "C-1", "--yes"}), 0) << error_;
  ASSERT_TRUE(Ended("C-1", "succeeded")) << Command("C-1").dump();
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 1);
  // Two: who asked signs as it is run, and somebody else.
  scene_->Sanction("two");
  EXPECT_EQ(As("bob", Restart({"--yes", "--timeout", "3s"})), kTimedOut) << error_;
  EXPECT_THAT(error_, HasSubstr("signed C-2, which waits for somebody else's approval"));
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 1);
  ASSERT_EQ(As("alice", {"approve", "C-2", "--yes"}), 0) << error_;
  ASSERT_TRUE(Ended("C-2", "succeeded")) << Command("C-2").dump();
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 2);
  EXPECT_EQ(Command("C-2")["approvals"].size(), 2u);
}

}  // namespace
}  // namespace quell::test
