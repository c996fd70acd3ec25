// Signed approvals in the engine: what is to be signed, by whom, and what follows when a host wants a
// signature.
#include "controller/commands/approvals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "common/base/ids.h"
#include "common/security/approval.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kWantsOne[] = "sanctions.yaml:1 asks for approval: one, and nobody has signed one";
constexpr char kWantsTwo[] = "sanctions.yaml:1 asks for approval: two, and only alice has signed";

v1::Config Asking() {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_policies(0)->set_mode(v1::ASK);
  return config;
}

// As the rim hands it on: the signature itself was checked there.
Answer Sign(Scenario& s, const std::string& who, const std::string& name, const std::string& intent) {
  if (!s.state().people.contains(who)) {
    s.Person("root", [&](v1::PersonAct& act) {
      act.mutable_person_set()->set_name(who);
      act.mutable_person_set()->set_role("approver");
    });
  }
  return s.Person(who, [&](v1::PersonAct& act) {
    act.set_via("certificate");
    act.set_role("approver");
    act.mutable_approve()->set_command(name);
    act.mutable_approve()->mutable_approval()->set_person(who);
    act.mutable_approve()->mutable_approval()->set_intent_sha256(Sha256(intent));
    act.mutable_approve()->mutable_approval()->set_key_id("key of " + who);
  });
}

Answer RunOn(Scenario& s, const std::string& who, std::vector<int> hosts, bool dry_run = false) {
  return s.Person(who, [&](v1::PersonAct& act) {
    v1::RunAct* run = act.mutable_run();
    run->mutable_action()->mutable_pm2_restart()->set_user("deploy");
    run->mutable_action()->mutable_pm2_restart()->set_app("portal");
    run->set_dry_run(dry_run);
    for (int host : hosts) run->add_hosts("00000000-0000-4000-8000-" + std::to_string(100000000000 + host));
  });
}

void Refuse(Scenario& s, const v1::CommandEntry& command, const std::string& reason) {
  s.Report(command, v1::OUTCOME_REFUSED, v1::REFUSAL_APPROVAL, reason);
}

TEST(SignedApprovals, WhatWaitsHasItsIntentAndTheSameBytesAfterARestart) {
  Scenario s(1, Asking());
  s.Fire(1);
  const std::string bytes = s.Command().intent();
  const auto intent = security::ParseIntent(bytes);
  ASSERT_TRUE(intent.ok()) << intent.status();
  EXPECT_EQ(intent->action().SerializeAsString(), s.Command().typed().SerializeAsString());
  EXPECT_THAT(intent->host_ids(), testing::ElementsAre(s.Command().host_id()));
  EXPECT_EQ(HexEncode(intent->id()), s.Command().id());
  EXPECT_EQ(intent->cause(), s.incident().id());
  EXPECT_EQ(intent->requested_by(), s.Command().requested_by());
  EXPECT_GE(intent->expires_us(), s.Command().approval_expires_us());
  EXPECT_THAT(intent->evidence(), Contains(HasSubstr("signal AppHung {app=portal")));
  EXPECT_THAT(intent->evidence(), Contains("host web-1"));
  s.Restart();
  EXPECT_EQ(s.Command().intent(), bytes);
}

TEST(SignedApprovals, ASignedOneIsKeptAndGoesWithTheCommand) {
  Scenario s(1, Asking());
  s.remedy_succeeds = false;
  s.Fire(1);
  const Answer answer = Sign(s, "alice", "1.1", s.Command().intent());
  EXPECT_EQ(answer.exit, 0u) << answer.message;
  EXPECT_EQ(s.Command().state(), v1::ISSUED);
  EXPECT_EQ(s.Command().approved_by(), "person:alice");
  ASSERT_EQ(s.Command().approvals_size(), 1);
  EXPECT_EQ(s.Command().approvals(0).person(), "alice");
  EXPECT_TRUE(s.Told("signed and approved 1.1"));
}

TEST(SignedApprovals, X13_OneOfSomethingElseOrOfSomebodyElseIsRefused) {
  Scenario s(1, Asking());
  s.Fire(1);
  EXPECT_EQ(Sign(s, "alice", "1.1", "something else").exit, 1u);
  const Answer other = s.Person("alice", [&](v1::PersonAct& act) {
    act.mutable_approve()->set_command("1.1");
    act.mutable_approve()->mutable_approval()->set_person("carol");
    act.mutable_approve()->mutable_approval()->set_intent_sha256(Sha256(s.Command().intent()));
  });
  EXPECT_EQ(other.exit, 4u);
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_THAT(s.starts, IsEmpty());
}

TEST(SignedApprovals, AHostThatWantsOneMakesAnAutomaticCommandWaitForIt) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  ASSERT_EQ(s.Command().state(), v1::DELIVERED);
  Refuse(s, s.Command(), kWantsOne);
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_EQ(s.Command().reason(), kWantsOne);
  EXPECT_EQ(s.Command().approval_expires_us(), s.now() + 10 * kMinute);
  EXPECT_TRUE(security::ParseIntent(s.Command().intent()).ok());
  EXPECT_THAT(s.Pages(), Contains(testing::StartsWith("oncall/approval-1")));
  EXPECT_TRUE(s.Told(kWantsOne));
  // The socket's is not signed, and not enough here.
  const Answer unsigned_one = s.Decide("root", true, "1.1");
  EXPECT_EQ(unsigned_one.exit, 4u);
  EXPECT_THAT(unsigned_one.message, HasSubstr("by the controller's own socket none is signed"));
  EXPECT_EQ(Sign(s, "alice", "1.1", s.Command().intent()).exit, 0u);
  s.Pass(kSecond);
  EXPECT_EQ(s.Command().state(), v1::DELIVERED);
  EXPECT_EQ(s.starts[s.Command().id()], 2);
  s.Report(s.Command(), v1::OUTCOME_STARTED);
  s.Report(s.Command(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
  EXPECT_EQ(s.Command().refusal(), v1::REFUSAL_UNSPECIFIED);
  // Tried once, as far as guards count.
  size_t counted = 0;
  for (const auto& [key, count] : s.state().counts) counted = std::max<size_t>(counted, count.at_us_size());
  EXPECT_EQ(counted, 1u);
}

TEST(SignedApprovals, WhoAskedSignsAndIsNotTheOnlyOne) {
  Scenario s(1);
  s.remedy_succeeds = false;
  ASSERT_EQ(RunOn(s, "bob", {1}).exit, 0u);
  s.Pass(kSecond);
  Refuse(s, s.Command(), "sanctions.yaml:1 asks for approval: two, and nobody has signed one");
  ASSERT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  const std::string intent = s.Command().intent();
  EXPECT_EQ(s.Decide("bob", true, "C-1").exit, 4u);
  const Answer bob = Sign(s, "bob", "C-1", intent);
  EXPECT_EQ(bob.exit, 0u);
  EXPECT_EQ(bob.message, "signed C-1, which waits for somebody else's approval");
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_EQ(Sign(s, "bob", "C-1", intent).exit, 1u) << "once";
  EXPECT_EQ(Sign(s, "alice", "C-1", intent).exit, 0u);
  EXPECT_EQ(s.Command().state(), v1::ISSUED);
  EXPECT_EQ(s.Command().approvals_size(), 2);
  EXPECT_EQ(s.Command().approved_by(), "person:alice");
}

TEST(SignedApprovals, ForAPolicyTwoOthersSignAndAThirdRefusalIsFinal) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsOne);
  const std::string intent = s.Command().intent();
  EXPECT_EQ(Sign(s, "alice", "1.1", intent).exit, 0u);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsTwo);
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_EQ(s.Command().intent(), intent) << "what alice signed still holds";
  EXPECT_THAT(s.Pages(), Contains("oncall/approval-1-signed-1"));
  EXPECT_EQ(Sign(s, "alice", "1.1", intent).exit, 1u);
  EXPECT_EQ(Sign(s, "carol", "1.1", intent).exit, 0u);
  s.Pass(kSecond);
  EXPECT_EQ(s.Command().approvals_size(), 2);
  Refuse(s, s.Command(), "none that came with the command counts");
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
  EXPECT_TRUE(s.incident().given_up());
}

// Alice has signed, the host wants a second signature, this is done about alice, and carol signs: whose
// signature is left.
void ExpectOnlyCarols(const std::function<void(v1::PersonAct&)>& about_alice) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsOne);
  EXPECT_EQ(Sign(s, "alice", "1.1", s.Command().intent()).exit, 0u);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsTwo);
  ASSERT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  const Answer done = s.Person("root", about_alice);
  ASSERT_EQ(done.exit, 0u) << done.message;
  EXPECT_EQ(Sign(s, "carol", "1.1", s.Command().intent()).exit, 0u);
  ASSERT_EQ(s.Command().approvals_size(), 1);
  EXPECT_EQ(s.Command().approvals(0).person(), "carol");
}

TEST(SignedApprovals, X13_WhoIsRevokedMeanwhileHasNotSigned) {
  ExpectOnlyCarols([](v1::PersonAct& act) {
    act.mutable_person_revoke()->set_name("alice");
    act.mutable_person_revoke()->set_why("left");
  });
}

TEST(SignedApprovals, X12_WhoMayNotApproveAnyMoreHasNotSigned) {
  ExpectOnlyCarols([](v1::PersonAct& act) {
    act.mutable_person_set()->set_name("alice");
    act.mutable_person_set()->set_role("viewer");
  });
}

TEST(SignedApprovals, OneThatNobodySignsExpiresAndPagesTheNext) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsOne);
  const std::string id = s.Command().id();
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); });
  s.Pass(11 * kMinute);
  EXPECT_EQ(s.Command().state(), v1::EXPIRED);
  EXPECT_THAT(s.Pages(), Contains(testing::StartsWith("management/escalated")));
  EXPECT_EQ(s.starts[id], 1) << "handed over once, and refused";
}

TEST(SignedApprovals, NobodyIsAskedForWhatHasClearedMeanwhile) {
  Scenario s(2);
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  ASSERT_EQ(s.Command().state(), v1::DELIVERED);
  s.Clear(1);
  Refuse(s, s.Command(), kWantsOne);
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  EXPECT_EQ(s.Command().reason(), "its signal cleared before anybody approved");
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
}

TEST(SignedApprovals, ADryRunIsNeverMadeToBeSigned) {
  Scenario s(1);
  s.remedy_succeeds = false;
  ASSERT_EQ(RunOn(s, "bob", {1}, true).exit, 0u);
  s.Pass(kSecond);
  Refuse(s, s.Command(), kWantsOne);
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
  EXPECT_EQ(s.Command().intent(), "");
}

TEST(SignedApprovals, APlanWaitsAsAWholeWhenItsFirstHostWantsASignature) {
  Scenario s(3);
  s.remedy_succeeds = false;
  ASSERT_EQ(RunOn(s, "bob", {3, 1, 2}).exit, 0u);
  s.Pass(kSecond);
  ASSERT_EQ(s.Commands().size(), 1u);
  const v1::CommandEntry refused = s.Command();
  Refuse(s, refused, kWantsOne);
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_AWAITING_APPROVAL);
  EXPECT_EQ(s.Plan().reason(), kWantsOne);
  EXPECT_EQ(s.Plan().begun(), 0u);
  const auto intent = security::ParseIntent(s.Plan().intent());
  ASSERT_TRUE(intent.ok()) << intent.status();
  EXPECT_EQ(intent->host_ids_size(), 3);
  EXPECT_EQ(HexEncode(intent->id()), s.Plan().id());
  EXPECT_EQ(s.Decide("root", true, "C-1").exit, 4u);
  s.remedy_succeeds = true;
  EXPECT_EQ(Sign(s, "alice", "C-1", s.Plan().intent()).exit, 0u);
  s.Pass(10 * kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  ASSERT_EQ(s.Commands().size(), 4u);
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(s.Command(i).intent(), s.Plan().intent());
    EXPECT_EQ(s.Command(i).approvals_size(), 1);
  }
}

TEST(SignedApprovals, APlanWhoseLaterHostWantsMoreStops) {
  Scenario s(2);
  s.remedy_succeeds = false;
  ASSERT_EQ(RunOn(s, "bob", {1, 2}).exit, 0u);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_STARTED);
  s.Report(s.Command(), v1::OUTCOME_SUCCEEDED);
  s.Pass(kSecond);
  ASSERT_EQ(s.Commands().size(), 2u);
  Refuse(s, s.Command(1), kWantsOne);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_THAT(s.Plan().reason(), HasSubstr(kWantsOne));
}

}  // namespace
}  // namespace quell::engine
