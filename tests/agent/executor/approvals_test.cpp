// Approvals in the executor: who has to sign before anything is done, and what a signature is good for. Row
// X13.
#include "agent/executor/approvals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "common/security/approval.h"
#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

class ExecutorApprovals : public ::testing::Test {
 protected:
  void SetUp() override {
    Sanction("one");
    executor_ = world_.Start();
  }
  void Sanction(const std::string& approval) {
    world_.host.Sanctions(
        "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}, approval: " + approval + "}\n");
  }
  v1::Intent IntentOf(const v1::CommandBody& body) {
    v1::Intent intent;
    *intent.mutable_action() = body.action();
    intent.add_host_ids(body.host_id());
    intent.set_cause(body.cause());
    intent.set_requested_by(body.requested_by());
    intent.add_evidence("AppHung on web-1");
    intent.set_expires_us(world_.clock.Wall() + 10 * kMinute);
    intent.set_id(body.id());
    return intent;
  }
  v1::CommandBody Body(const std::string& requested_by = "policy:restart-hung-app") {
    v1::CommandBody body = world_.Body(*executor_);
    body.set_requested_by(requested_by);
    body.set_intent(IntentOf(body).SerializeAsString());
    return body;
  }
  void Approve(v1::CommandBody& body, const std::string& person) {
    ApproveWith(body, person, world_.pki.Issue(world_.pki.ResponderSpec(person), world_.pki.responders()));
  }
  void ApproveWith(v1::CommandBody& body, const std::string& person, const testing_support::TestLeaf& leaf) {
    auto key = security::TlsKey::FromPem(leaf.key_pem);
    auto approval = security::SignApproval(body.intent(), person, *key, leaf.certificate_pem);
    ASSERT_TRUE(approval.ok()) << approval.status();
    *body.add_approvals() = *approval;
  }
  v1::CommandReport Submit(const v1::CommandBody& body) {
    executor_->Submit(world_.Sign(body));
    world_.EndAll(*executor_);
    return LastReport(*executor_, body.id());
  }
  void Done(const v1::CommandBody& body) {
    const v1::CommandReport report = Submit(body);
    EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED) << report.reason();
    EXPECT_EQ(world_.workers.effects[body.id()], 1);
  }
  void Refused(const v1::CommandBody& body, const std::string& says,
               v1::RefusalKind kind = v1::REFUSAL_APPROVAL) {
    const v1::CommandReport report = Submit(body);
    EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
    EXPECT_EQ(report.refusal(), kind) << report.reason();
    EXPECT_THAT(report.reason(), HasSubstr(says));
    EXPECT_EQ(world_.workers.effects[body.id()], 0);
  }

  World world_;
  std::unique_ptr<Executor> executor_;
};

TEST_F(ExecutorApprovals, OneIsAPersonWhoDidNotAsk) {
  v1::CommandBody body = Body();
  Approve(body, "alice");
  Done(body);
  body = Body("person:bob");
  Approve(body, "alice");
  Done(body);
  body = Body("person:bob");
  Approve(body, "bob");
  Refused(body, "sanctions.yaml:1 asks for approval: one, and only bob has signed, who asked for it");
}

TEST_F(ExecutorApprovals, WithoutASignatureTheReasonNamesTheSocket) {
  Refused(world_.Body(*executor_),
          "asks for approval: one, and nobody has signed one: what is approved by the "
          "controller's own socket is not signed");
  v1::CommandBody body = Body();
  Refused(body, "nobody has signed one");
}

TEST_F(ExecutorApprovals, TheSameIdMayComeAgainWithWhatWasMissing) {
  v1::CommandBody body = Body();
  Refused(body, "nobody has signed one");
  Approve(body, "alice");
  Done(body);
}

TEST_F(ExecutorApprovals, TwoAreTheRequesterAndAnotherOrTwoForAPolicy) {
  Sanction("two");
  v1::CommandBody body = Body();
  Approve(body, "alice");
  Refused(body, "asks for approval: two, and only alice has signed");
  Approve(body, "carol");
  Done(body);
  body = Body("person:bob");
  Approve(body, "alice");
  Refused(body, "asks for approval: two, and only alice has signed");
  Approve(body, "bob");
  Done(body);
  body = Body("person:bob");
  Approve(body, "bob");
  Refused(body, "only bob has signed, who asked for it");
}

TEST_F(ExecutorApprovals, TheStrictestEntryCounts) {
  world_.host.Sanctions(
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [portal]}, approval: two}\n"
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"p*\"]}, approval: one}\n");
  v1::CommandBody body = Body();
  Approve(body, "alice");
  Refused(body, "sanctions.yaml:2 asks for approval: two");
}

TEST_F(ExecutorApprovals, X13_APersonIsANameAndNotACertificate) {
  Sanction("two");
  v1::CommandBody body = Body();
  Approve(body, "alice");
  *body.add_approvals() = body.approvals(0);
  Refused(body, "only alice has signed");
  body = Body();
  Approve(body, "alice");
  Approve(body, "alice");  // another certificate of hers
  Refused(body, "only alice has signed");
}

TEST_F(ExecutorApprovals, X13_WhatIsChangedAfterTheSignatureIsRefused) {
  const std::function<void(v1::CommandBody&)> changes[] = {
      [](v1::CommandBody& b) { b.mutable_action()->mutable_pm2_restart()->set_app("payments"); },
      [](v1::CommandBody& b) { b.mutable_action()->mutable_pm2_restart()->add_expect()->set_pid(7); },
      [](v1::CommandBody& b) { b.set_cause("INC-20261123-031208"); },
      [](v1::CommandBody& b) { b.set_requested_by("person:bob"); },
      [](v1::CommandBody& b) { b.set_id(RandomBytes(16)); },
  };
  for (const auto& change : changes) {
    v1::CommandBody body = Body();
    Approve(body, "alice");
    change(body);
    Refused(body, "what was approved is not what the command says", v1::REFUSAL_VERIFY);
  }
  // The intent changed along with the command: then the signature is of something else.
  for (const auto& change : changes) {
    v1::CommandBody body = Body();
    Approve(body, "alice");
    change(body);
    body.set_intent(IntentOf(body).SerializeAsString());
    Refused(body, "it is of something else than this");
  }
}

TEST_F(ExecutorApprovals, X13_AnIntentForOtherHostsOrWithMoreThanThisBuildKnowsIsRefused) {
  v1::CommandBody body = Body();
  v1::Intent intent = IntentOf(body);
  intent.set_host_ids(0, "1b3f5a6e-1111-4222-8333-444455556666");
  body.set_intent(intent.SerializeAsString());
  Approve(body, "alice");
  Refused(body, "its hosts is another", v1::REFUSAL_VERIFY);
  body = Body();
  Approve(body, "alice");
  body.mutable_intent()->append("\xf2\x7f\x01x", 4);
  Refused(body, "something that this version does not know", v1::REFUSAL_VERIFY);
  body = Body();
  Approve(body, "alice");
  body.clear_intent();
  Refused(body, "carries approvals, and not what they approve", v1::REFUSAL_VERIFY);
}

TEST_F(ExecutorApprovals, X13_CertificatesThatProveNobodyDoNotCount) {
  v1::CommandBody body = Body();
  const testing_support::TestPki other(world_.clock.Wall());
  ApproveWith(body, "alice", other.Issue(world_.pki.ResponderSpec("alice"), other.responders()));
  Refused(body, "issued by no authority of this installation");
  body = Body();
  ApproveWith(body, "alice", world_.pki.Agent(kHostId));
  Refused(body, "here the role responder is needed");
  body = Body();
  ApproveWith(body, "alice", world_.pki.Issue(world_.pki.ResponderSpec("mallory"), world_.pki.responders()));
  Refused(body, "its certificate is made out to mallory");
  body = Body();
  security::CertificateSpec old = world_.pki.ResponderSpec("alice");
  old.not_after = world_.clock.Wall() - kSecond;
  ApproveWith(body, "alice", world_.pki.Issue(old, world_.pki.responders()));
  Refused(body, "none that came with the command counts; the approval of alice: the certificate expired");
}

TEST_F(ExecutorApprovals, X13_WhoIsRevokedMeanwhileHasNotApproved) {
  v1::CommandBody body = Body();
  Approve(body, "alice");
  executor_->Submit(world_.Sign(body));
  ASSERT_EQ(world_.workers.running.size(), 1u) << "it is being checked";
  world_.pki.bundle().set_serial(world_.pki.bundle().serial() + 1);
  world_.pki.bundle().add_revoked("alice");
  ASSERT_EQ(executor_->OfferTrust(world_.pki.signed_bundle()), absl::OkStatus());
  world_.EndAll(*executor_);
  const v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.refusal(), v1::REFUSAL_APPROVAL) << report.reason();
  EXPECT_THAT(report.reason(), HasSubstr("alice is revoked"));
  EXPECT_EQ(world_.Effects(), 0);
}

TEST_F(ExecutorApprovals, AnIntentExpiresByTheHostsWallClock) {
  v1::CommandBody body = Body();
  Approve(body, "alice");
  executor_->Submit(world_.Sign(body));
  world_.End(*executor_, Fine());  // the check; it is taking evidence
  world_.clock.JumpWall(10 * kMinute);
  world_.EndAll(*executor_);
  EXPECT_THAT(LastReport(*executor_, body.id()).reason(), HasSubstr("had to begin before"));
  EXPECT_EQ(world_.Effects(), 0);
  body = Body();
  v1::Intent intent = IntentOf(body);
  intent.set_expires_us(world_.clock.Wall() + 3 * kDay);
  body.set_intent(intent.SerializeAsString());
  Approve(body, "alice");
  Refused(body, "good for more than two days", v1::REFUSAL_VERIFY);
}

TEST_F(ExecutorApprovals, X13_APlansApprovalStartsOneCommandOnAHostAlsoAfterARestart) {
  v1::CommandBody first = world_.Body(*executor_);
  v1::Intent intent = IntentOf(first);
  intent.add_host_ids("1b3f5a6e-1111-4222-8333-444455556666");
  intent.set_id(std::string(16, 'p'));
  first.set_intent(intent.SerializeAsString());
  Approve(first, "alice");
  Done(first);
  executor_->Acknowledge(LastReport(*executor_, first.id()).seq());
  v1::CommandBody second = first;
  second.set_id(RandomBytes(16));
  Refused(second, "was begun on this host before, by command " + HexEncode(first.id()), v1::REFUSAL_VERIFY);
  executor_ = world_.Start();
  second.set_id(RandomBytes(16));
  second.set_nonce(executor_->Status().nonce());
  Refused(second, "was begun on this host before", v1::REFUSAL_VERIFY);
}

TEST_F(ExecutorApprovals, TheJournalKeepsWhoApprovedWhat) {
  v1::CommandBody body = Body();
  Approve(body, "alice");
  Done(body);
  Journal journal(world_.disk, {"/state/journal", "boot-1"});
  ASSERT_EQ(journal.Open(world_.clock.Wall()), absl::OkStatus());
  const JournalEntry* entry = journal.FindApproved(body.id());
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->intent.approved_intent(), body.intent());
  ASSERT_EQ(entry->intent.approvals_size(), 1);
  EXPECT_EQ(entry->intent.approvals(0).person(), "alice");
}

TEST_F(ExecutorApprovals, ADryRunNeedsNobodyAndSaysWhatWouldBeNeeded) {
  Sanction("two");
  v1::CommandBody body = world_.Body(*executor_);
  body.set_dry_run(true);
  const v1::CommandReport report = Submit(body);
  EXPECT_EQ(report.outcome(), v1::OUTCOME_DRY_RUN);
  EXPECT_THAT(report.reason(), HasSubstr("two persons have to sign it"));
  EXPECT_EQ(world_.Effects(), 0);
}

TEST_F(ExecutorApprovals, ASignatureIsCheckedAlsoWhereNoneIsAskedFor) {
  Sanction("none");
  v1::CommandBody body = Body();
  Approve(body, "alice");
  body.set_cause("another");
  Refused(body, "what was approved is not what the command says", v1::REFUSAL_VERIFY);
}

}  // namespace
}  // namespace quell::agent
