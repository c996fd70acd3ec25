// A whole controller in this process, and people at its two doors: how somebody is let in, acts, and is put
// out, and what management hears of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/client.h"
#include "common/security/pki.h"
#include "common/security/responder.h"
#include "controller/app/controller.h"
#include "tests/common/security/test_pki.h"
#include "tests/support/files.h"
#include "tests/support/http_receiver.h"
#include "tests/support/wait.h"

namespace quell::app {
namespace {

using testing::HasSubstr;

class PeopleAtTheController : public testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    security::PkiOptions pki;
    pki.directory = dir_.Path("pki");
    pki.addresses = {"127.0.0.1"};
    pki.now = RealClock().Wall();
    const auto made = security::InitPki(pki);
    ASSERT_TRUE(made.ok()) << made.status();
    pin_ = made->pin;
    dir_.Write(
        "controller.yaml",
        absl::StrCat("listen: {agents: \"127.0.0.1:0\", web: \"127.0.0.1:0\", responders: \"127.0.0.1:0\"}\n",
                     "socket: ", dir_.Path("operator.sock"), "\nstore: {sqlite: ", dir_.Path("log.db"),
                     "}\npki: {directory: ", dir_.Path("pki/controller"),
                     "}\nreceivers: {management: {type: webhook, url: \"", management_.Url(), "\"}}\n"));
    Start();
  }
  void TearDown() override { controller_.reset(); }
  void Start() {
    root_.reset();
    controller_.reset();
    config::Problems problems;
    Loaded loaded = LoadAll(dir_.Path("controller.yaml"), problems);
    ASSERT_TRUE(problems.ok()) << problems.ToString();
    controller_ = std::make_unique<Controller>(std::move(loaded), RealClock());
    const absl::Status started = controller_->Start();
    ASSERT_TRUE(started.ok()) << started;
    root_ = *cli::Client::Connect(dir_.Path("operator.sock"));
  }
  std::unique_ptr<cli::Client> Person(const std::string& name) {
    const security::TlsKey key = security::TlsKey::Generate();
    security::ResponderIssue issue;
    issue.directory = dir_.Path("pki");
    issue.request = security::RequestCertificate(key, name);
    issue.name = name;
    issue.now = RealClock().Wall();
    const auto pass = security::IssueResponder(issue);
    EXPECT_TRUE(pass.ok()) << pass.status();
    const auto bundle = security::OpenTrustBundle(pass->signed_bundle, pin_, RealClock().Wall());
    const cli::Identity identity{
        name, {key.ToPem(), pass->certificate_pem}, std::make_shared<security::TrustHolder>(*bundle)};
    return *cli::Client::Connect(absl::StrCat("127.0.0.1:", controller_->responders_port()), identity);
  }
  static absl::StatusOr<cli::Acted> Role(cli::Client& by, const std::string& name, const std::string& role) {
    v1::ResponderRole request;
    request.set_name(name);
    request.set_role(role);
    return by.Act("SetResponder", request);
  }
  static absl::StatusOr<cli::Acted> Revoke(cli::Client& by, const std::string& name) {
    v1::PersonRevoke request;
    request.set_name(name);
    request.set_why("a test");
    return by.Act("RevokeResponder", request);
  }
  static absl::StatusOr<cli::Acted> Hold(cli::Client& by) {
    v1::HoldRequest request;
    request.set_scope("all");
    request.set_why("a test");
    return by.Act("SetHold", request);
  }

  test::TempDir dir_;
  test::HttpReceiver management_;
  std::string pin_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<cli::Client> root_;
};

TEST_F(PeopleAtTheController, X11_ARoleIsInForceAtTheNextCallAndSoIsItsEnd) {
  const auto alice = Person("alice");
  const auto unknown = alice->Read("WhoAmI", v1::WhoAmIRequest());
  EXPECT_TRUE(absl::IsPermissionDenied(unknown.status()));
  EXPECT_THAT(unknown.status().message(), HasSubstr("quell responder role alice"));

  const auto given = Role(*root_, "alice", "responder");
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->exit, 0) << given->message;
  EXPECT_EQ(given->json["role"], "responder");
  const auto known = alice->Read("WhoAmI", v1::WhoAmIRequest());
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ((*known)["role"], "responder");
  const auto held = Hold(*alice);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->json["by"], "person:alice");
  EXPECT_TRUE(absl::IsPermissionDenied(Role(*alice, "alice", "admin").status())) << "not by herself";

  ASSERT_TRUE(Revoke(*root_, "alice").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Hold(*alice).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Hold(*Person("alice")).status())) << "nor with a new certificate";
  Start();
  EXPECT_THAT(Hold(*Person("alice")).status().message(), HasSubstr("alice is revoked"));
}

TEST_F(PeopleAtTheController, ManagementHearsOfBreakGlassOnceAnHourAndPerson) {
  ASSERT_TRUE(Hold(*root_).ok());  // nobody has a role yet: there was no other way
  ASSERT_TRUE(Role(*root_, "alice", "admin").ok());
  ASSERT_TRUE(management_.WaitForRequests(1));
  EXPECT_THAT(management_.requests()[0].body, HasSubstr("break-glass"));
  EXPECT_THAT(management_.requests()[0].body, HasSubstr("person_set"));
  const auto alice = Person("alice");
  ASSERT_TRUE(Hold(*alice).ok());
  ASSERT_TRUE(Hold(*root_).ok());
  // Once this has arrived, whatever was queued before it has been begun.
  v1::NotifyTest test;
  test.set_receiver("management");
  ASSERT_TRUE(alice->Act("TestNotice", test).ok());
  ASSERT_TRUE(management_.WaitForRequests(2));
  int told = 0;
  for (const auto& request : management_.requests())
    told += request.body.find("break-glass") != std::string::npos ? 1 : 0;
  EXPECT_LE(told, 2) << "two only where the clock's hour ended meanwhile";
}

TEST_F(PeopleAtTheController, TheLogHoldsAndPeopleAreListed) {
  ASSERT_TRUE(Role(*root_, "alice", "admin").ok());
  const auto alice = Person("alice");
  ASSERT_TRUE(Role(*alice, "bob", "viewer").ok());
  ASSERT_TRUE(Revoke(*alice, "bob").ok());
  v1::GetRequest get;
  get.set_kind("responders");
  EXPECT_EQ((*alice->Read("Get", get))["items"].size(), 1u);
  get.set_all(true);
  EXPECT_EQ((*alice->Read("Get", get))["items"].size(), 2u);
  const auto audit = alice->Read("AuditVerify", v1::AuditVerifyRequest());
  ASSERT_TRUE(audit.ok()) << audit.status();
  EXPECT_TRUE((*audit)["holds"].get<bool>());
  const auto own = Revoke(*alice, "alice");
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->exit, 5) << own->message;
}

}  // namespace
}  // namespace quell::app
