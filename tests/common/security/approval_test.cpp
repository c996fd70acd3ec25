// Approvals: one that holds, and one sentence for each thing that does not. Row X13 of the attackers.
#include "common/security/approval.h"

#include <gtest/gtest.h>

#include <functional>

#include "common/base/ids.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing_support::TestLeaf;
using testing_support::TestPki;

constexpr Micros kNow = 1'795'000'000 * kSecond;

v1::Intent SomeIntent() {
  v1::Intent intent;
  intent.mutable_action()->mutable_pm2_restart()->set_user("deploy");
  intent.mutable_action()->mutable_pm2_restart()->set_app("portal");
  intent.add_host_ids("0b3f5a6e-1111-4222-8333-444455556666");
  intent.add_host_ids("1b3f5a6e-1111-4222-8333-444455556666");
  intent.set_cause("INC-20261123-031207");
  intent.set_requested_by("policy:restart-hung-app");
  intent.add_evidence("AppHung on web-1");
  intent.set_expires_us(kNow + kMinute);
  intent.set_id(std::string(16, 'i'));
  return intent;
}

class Approvals : public ::testing::Test {
 protected:
  v1::Approval Sign(const std::string& intent, const std::string& person, const TestLeaf& leaf) {
    auto key = TlsKey::FromPem(leaf.key_pem);
    auto approval = SignApproval(intent, person, *key, leaf.certificate_pem);
    EXPECT_TRUE(approval.ok()) << approval.status();
    return *approval;
  }
  TestLeaf Responder(const std::string& name) {
    return pki_.Issue(pki_.ResponderSpec(name), pki_.responders());
  }
  void Refused(const v1::Approval& approval, std::string_view says, Micros at = kNow) {
    const absl::Status held = VerifyApproval(approval, intent_, pki_.bundle(), at);
    EXPECT_EQ(held.code(), absl::StatusCode::kPermissionDenied) << held;
    EXPECT_NE(held.message().find(std::string(says)), absl::string_view::npos) << held;
  }
  TestPki pki_{kNow};
  std::string intent_ = SomeIntent().SerializeAsString();
};

TEST_F(Approvals, ASignatureOverTheseVeryBytesHolds) {
  const v1::Approval approval = Sign(intent_, "alice", Responder("alice"));
  EXPECT_EQ(approval.person(), "alice");
  EXPECT_EQ(VerifyApproval(approval, intent_, pki_.bundle(), kNow), absl::OkStatus());
}

TEST_F(Approvals, X13_AFieldThatIsChangedAfterwardsIsRefused) {
  const v1::Approval approval = Sign(intent_, "alice", Responder("alice"));
  const std::function<void(v1::Intent&)> changes[] = {
      [](v1::Intent& i) { i.mutable_action()->mutable_pm2_restart()->set_app("payments"); },
      [](v1::Intent& i) { i.mutable_action()->mutable_release_rollback()->set_user("deploy"); },
      [](v1::Intent& i) { i.add_host_ids("2b3f5a6e-1111-4222-8333-444455556666"); },
      [](v1::Intent& i) { i.mutable_host_ids()->RemoveLast(); },
      [](v1::Intent& i) { i.set_cause("INC-20261123-031208"); },
      [](v1::Intent& i) { i.set_requested_by("person:bob"); },
      [](v1::Intent& i) { i.set_evidence(0, "nothing is wrong"); },
      [](v1::Intent& i) { i.add_evidence("one more"); },
      [](v1::Intent& i) { i.set_expires_us(kNow + kHour); },
      [](v1::Intent& i) { i.set_id(std::string(16, 'j')); },
  };
  for (const auto& change : changes) {
    v1::Intent other = SomeIntent();
    change(other);
    v1::Approval moved = approval;
    EXPECT_FALSE(VerifyApproval(moved, other.SerializeAsString(), pki_.bundle(), kNow).ok());
    // With the new hash the signature is another's.
    moved.set_intent_sha256(Sha256(other.SerializeAsString()));
    EXPECT_FALSE(VerifyApproval(moved, other.SerializeAsString(), pki_.bundle(), kNow).ok());
  }
}

TEST_F(Approvals, X13_ACertificateThatDoesNotProveThePersonIsRefused) {
  const TestPki other(kNow);
  Refused(Sign(intent_, "alice", other.Issue(pki_.ResponderSpec("alice"), other.responders())),
          "issued by no authority of this installation");
  const std::string agent = RandomUuid();
  Refused(Sign(intent_, "alice", pki_.Issue(pki_.AgentSpec(agent), pki_.agents())),
          "role responder is needed");
  Refused(Sign(intent_, "alice", pki_.Issue(pki_.ResponderSpec("alice"), pki_.agents())),
          "says responder but was issued by the agents' authority");
  Refused(Sign(intent_, "alice", Responder("mallory")), "its certificate is made out to mallory");
  Refused(Sign(intent_, "Alice\n", Responder("alice")), "names no person");
  const v1::Approval late = Sign(intent_, "alice", Responder("alice"));
  Refused(late, "expired at", kNow + 400 * kDay);
  Refused(late, "is not valid before", kNow - 400 * kDay);
  pki_.bundle().add_revoked("alice");
  Refused(late, "the responder alice is revoked");
}

TEST_F(Approvals, X13_ASignatureThatIsNotTheCertificatesIsRefused) {
  const v1::Approval good = Sign(intent_, "alice", Responder("alice"));
  v1::Approval bad = good;
  bad.set_signature(Sign(intent_, "alice", Responder("alice")).signature());  // by another key of hers
  Refused(bad, "its signature does not hold");
  bad = good;
  bad.mutable_signature()->back() ^= 1;
  Refused(bad, "its signature does not hold");
  bad = good;
  bad.clear_signature();
  Refused(bad, "its signature does not hold");
  bad = good;
  bad.set_key_id("0000000000000000");
  Refused(bad, "names another key");
  bad = good;
  bad.set_certificate(std::string(10'000, 'x'));
  Refused(bad, "too large");
  bad.set_certificate("no certificate");
  Refused(bad, "the approval of alice: ");
  // Signed for another purpose.
  const TestLeaf leaf = Responder("alice");
  bad = Sign(intent_, "alice", leaf);
  bad.set_signature(TlsKey::FromPem(leaf.key_pem)->Sign("quell challenge v1", bad.intent_sha256()));
  Refused(bad, "its signature does not hold");
}

TEST_F(Approvals, AnIntentHasOneEncoding) {
  ASSERT_TRUE(ParseIntent(intent_).ok());
  EXPECT_FALSE(ParseIntent("").ok());
  EXPECT_FALSE(ParseIntent("\xff\xff").ok());
  EXPECT_FALSE(ParseIntent(intent_ + intent_).ok());
  EXPECT_FALSE(ParseIntent(intent_ + std::string("\xf2\x7f\x01x", 4)).ok()) << "an unknown field";
  EXPECT_FALSE(ParseIntent(std::string(kLargestIntent + 1, 'x')).ok());
  const std::function<void(v1::Intent&)> changes[] = {
      [](v1::Intent& i) { i.clear_host_ids(); },
      [](v1::Intent& i) { i.mutable_host_ids()->SwapElements(0, 1); },
      [](v1::Intent& i) { i.set_host_ids(1, i.host_ids(0)); },
      [](v1::Intent& i) { i.set_id("short"); },
      [](v1::Intent& i) { i.clear_action(); },
      [](v1::Intent& i) {
        for (int n = 0; n <= kMostEvidenceLines; ++n) i.add_evidence("x");
      },
  };
  for (const auto& change : changes) {
    v1::Intent intent = SomeIntent();
    change(intent);
    EXPECT_EQ(ParseIntent(intent.SerializeAsString()).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace quell::security
