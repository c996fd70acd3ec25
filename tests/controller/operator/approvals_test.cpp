// What the operators' service checks of an approval before the engine sees it. Row X13.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "common/security/approval.h"
#include "controller/operator/service.h"
#include "tests/common/security/test_pki.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::operators {
namespace {

using testing::HasSubstr;

constexpr Micros kNow = 1'795'403'887 * kSecond;

class Approvals : public ::testing::Test {
 protected:
  void SetUp() override {
    FillExample(backend_, kNow);
    backend_.trust = pki_.bundle();
    const auto row = backend_.Find("command", "aabb" + std::string(28, '0'));
    ASSERT_TRUE(row.ok() && command_.ParseFromString(row->message));
  }
  v1::Approval Sign(const std::string& person, const std::string& intent) {
    const auto leaf = pki_.Issue(pki_.ResponderSpec(person), pki_.responders());
    auto key = security::TlsKey::FromPem(leaf.key_pem);
    return *security::SignApproval(intent, person, *key, leaf.certificate_pem);
  }
  grpc::Status Ask(bool approve, const std::optional<v1::Approval>& approval) {
    OperatorService service(backend_,
                            [&](const grpc::ServerContext&) { return absl::StatusOr<Caller>(caller_); });
    v1::CommandAct request;
    request.set_command("417.2");
    if (approval) *request.mutable_approval() = *approval;
    v1::ActReply reply;
    grpc::ServerContext context;
    return approve ? service.Approve(&context, &request, &reply) : service.Sign(&context, &request, &reply);
  }
  void Refused(const grpc::Status& status, const std::string& says) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(says));
    EXPECT_TRUE(backend_.acts().empty()) << "the engine never saw it";
  }

  testing_support::TestPki pki_{kNow};
  MapBackend backend_;
  v1::CommandEntry command_;
  Caller caller_{"alice", Role::kApprover, "certificate", 0};
};

TEST_F(Approvals, OneThatHoldsReachesTheEngine) {
  const grpc::Status status = Ask(true, Sign("alice", command_.intent()));
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(backend_.acts().size(), 1u);
  EXPECT_EQ(backend_.acts()[0].approve().approval().person(), "alice");
  EXPECT_EQ(backend_.acts()[0].approve().approval().intent_sha256(), Sha256(command_.intent()));
}

TEST_F(Approvals, OverTheNetworkOneIsSignedAndByTheSocketNot) {
  Refused(Ask(true, std::nullopt), "is signed by the person's own key");
  caller_ = Caller{"root", Role::kAdmin, "socket", 0};
  EXPECT_TRUE(Ask(true, std::nullopt).ok());
  EXPECT_FALSE(backend_.acts().at(0).approve().has_approval());
}

TEST_F(Approvals, X13_NobodyApprovesForAnotherOrWithWhatDoesNotHold) {
  Refused(Ask(true, Sign("carol", command_.intent())), "nobody approves for another");
  v1::Intent other;
  other.ParseFromString(command_.intent());
  other.set_cause("another");
  Refused(Ask(true, Sign("alice", other.SerializeAsString())), "it is of something else than this");
  v1::Approval bad = Sign("alice", command_.intent());
  bad.mutable_signature()->back() ^= 1;
  Refused(Ask(true, bad), "its signature does not hold");
  bad = Sign("carol", command_.intent());
  bad.set_person("alice");
  Refused(Ask(true, bad), "its certificate is made out to carol");
  backend_.trust.add_revoked("alice");
  Refused(Ask(true, Sign("alice", command_.intent())), "alice is revoked");
}

TEST_F(Approvals, WhoAskedSignsAndAnybodyElseApproves) {
  Refused(Ask(false, Sign("alice", command_.intent())), "who asked for it signs it");
  command_.set_requested_by("person:alice");
  backend_.PutCommand(command_);
  Refused(Ask(true, Sign("alice", command_.intent())), "is not approved by who asked for it");
  Refused(Ask(false, std::nullopt), "who asked for it signs it");
  caller_.role = Role::kResponder;
  EXPECT_TRUE(Ask(false, Sign("alice", command_.intent())).ok());
  EXPECT_TRUE(backend_.acts().at(0).approve().has_approval());
}

}  // namespace
}  // namespace quell::operators
