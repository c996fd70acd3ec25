// What a person is shown before they sign, and who is asked to.
#include "cli/approve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quell::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(IntentLines, ShowEveryFieldThatIsSigned) {
  v1::Intent intent;
  v1::Pm2Restart* restart = intent.mutable_action()->mutable_pm2_restart();
  restart->set_user("deploy");
  restart->set_app("por\x1b[2Jtal\n");
  restart->add_expect()->set_pid(4711);
  intent.add_host_ids("0b3f5a6e-1111-4222-8333-444455556666");
  intent.add_host_ids("1b3f5a6e-1111-4222-8333-444455556666");
  intent.set_cause("INC-20261123-031207");
  intent.set_requested_by("policy:restart-hung-app");
  intent.add_evidence("AppHung on web-1");
  intent.set_expires_us(1'795'403'887 * kSecond);
  intent.set_id(std::string(16, '\x0f'));
  EXPECT_THAT(
      IntentLines(intent),
      ElementsAre("  action      pm2.restart", "  user        \"deploy\"",
                  "  app         \"por\\033[2Jtal\\n\"", HasSubstr("pid: 4711"),
                  "  host        0b3f5a6e-1111-4222-8333-444455556666",
                  "  host        1b3f5a6e-1111-4222-8333-444455556666", "  incident    INC-20261123-031207",
                  "  asked by    policy:restart-hung-app", "  evidence    AppHung on web-1",
                  HasSubstr("good until  2026-11-23T"), "  id          0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"));
}

TEST(WaitsForRequester, OnlyWhoAskedAndOnlyWhereTwoAreWanted) {
  Json command = {{"state", "awaiting_approval"},
                  {"requested_by", "person:bob"},
                  {"reason", "sanctions.yaml:1 asks for approval: two, and nobody has signed one"},
                  {"approvals", Json::array({Json{{"person", "person:alice"}, {"signed", true}}})}};
  EXPECT_TRUE(WaitsForRequester(command, "bob"));
  EXPECT_FALSE(WaitsForRequester(command, "alice"));
  Json other = command;
  other["state"] = "issued";
  EXPECT_FALSE(WaitsForRequester(other, "bob"));
  other = command;
  other["reason"] = "sanctions.yaml:1 asks for approval: one, and nobody has signed one";
  EXPECT_FALSE(WaitsForRequester(other, "bob"));
  command["approvals"].push_back(Json{{"person", "person:bob"}, {"signed", true}});
  EXPECT_FALSE(WaitsForRequester(command, "bob")) << "once is enough";
}

}  // namespace
}  // namespace quell::cli
