// The whole program against a real responders' listener, with keys and certificates made as people make them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <sstream>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/program.h"
#include "cli/view.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/security/pki.h"
#include "common/security/responder.h"
#include "controller/operator/responders.h"
#include "tests/common/security/test_pki.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::cli {
namespace {

using testing::HasSubstr;

std::string ReadFile(const std::string& path) { return RealDisk().Read(path, 1 << 20).value_or(""); }

class Remote : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    top_ = testing_support::MakeTestDirectory();
    operators::FillExample(backend_, RealClock().Wall());
    MakePki("pki");
    Serve("pki");
    LogIn("alice");
  }
  void MakePki(const std::string& name) {
    security::PkiOptions options;
    options.directory = top_ + "/" + name;
    options.addresses = {"127.0.0.1"};
    options.now = RealClock().Wall();
    const auto made = security::InitPki(options);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  void Serve(const std::string& pki, int port = 0) {
    const std::string in = top_ + "/" + pki + "/controller";
    const auto identity = security::LoadTlsIdentity(in + "/controller.key", in + "/controller.crt");
    std::string pin = ReadFile(in + "/root.pin");
    pin.pop_back();
    const auto bundle = security::OpenTrustBundle(ReadFile(in + "/trust.bundle"), pin, RealClock().Wall());
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    backend_.trust = *bundle;
    server_.reset();
    auto server =
        operators::ResponderServer::Start("127.0.0.1:" + std::to_string(port), *identity,
                                          {.backend = backend_,
                                           .clock = RealClock(),
                                           .trust = std::make_shared<security::TrustHolder>(*bundle),
                                           .peer_seen = {}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  void LogIn(const std::string& name) {
    const std::string request = top_ + "/" + name + ".csr";
    ASSERT_EQ(Run({"login", "--csr-out", request}), kDone) << err_;
    security::ResponderIssue issue;
    issue.directory = top_ + "/pki";
    issue.request = ReadFile(request);
    issue.name = name;
    issue.now = RealClock().Wall();
    const auto pass = security::IssueResponder(issue);
    ASSERT_TRUE(pass.ok()) << pass.status();
    ASSERT_TRUE(RealDisk().WriteWhole(top_ + "/pass", security::FormatPass(*pass)).ok());
    ASSERT_EQ(Run({"login", "--certificate", top_ + "/pass", "--address",
                   "127.0.0.1:" + std::to_string(server_->port()), "--context", name}),
              kDone)
        << err_;
  }
  void Role(const std::string& name, const std::string& role) {
    v1::Person person;
    person.set_name(name);
    person.set_role(role);
    backend_.Put("person", name, person, RealClock().Wall());
  }
  int Run(const std::vector<std::string>& args) {
    Surroundings around;
    around.environment = [this](const char* name) {
      return std::string(name) == "HOME" ? top_ + "/home" : "";
    };
    around.now = absl::Now;
    around.answer = [this] { return typed_; };
    around.zone = absl::UTCTimeZone();
    std::ostringstream out, err;
    const int exit = RunProgram(args, around, out, err);
    out_ = out.str();
    err_ = err.str();
    return exit;
  }

  operators::MapBackend backend_;
  std::string top_, out_, err_;
  std::optional<std::string> typed_;  // by the person, when asked; nullopt: there is no terminal
  std::unique_ptr<operators::ResponderServer> server_;
};

TEST_F(Remote, WhoAmI) {
  EXPECT_EQ(Run({"whoami"}), kNotAllowed);
  EXPECT_THAT(err_, HasSubstr("quell responder role alice"));
  Role("alice", "approver");
  ASSERT_EQ(Run({"whoami", "-o", "json"}), kDone) << err_;
  const Json me = Json::parse(out_);
  EXPECT_EQ(me["name"], "alice");
  EXPECT_EQ(me["role"], "approver");
  EXPECT_EQ(me["via"], "certificate");
  EXPECT_TRUE(me["certificate_expires_at"].is_string());
}

TEST_F(Remote, ReadsAndActsAsItsPerson) {
  Role("alice", "responder");
  EXPECT_EQ(Run({"status"}), kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("client-portal down"));
  EXPECT_EQ(Run({"ack", "#417"}), kDone) << err_;
  EXPECT_EQ(backend_.acts().at(0).person(), "alice");
  EXPECT_EQ(Run({"approve", "417.2", "--yes"}), kNotAllowed);
  EXPECT_THAT(err_, HasSubstr("takes the role approver"));
}

TEST_F(Remote, AnApprovalIsShownAskedForAndSigned) {
  Role("alice", "approver");
  EXPECT_EQ(Run({"approve", "417.2"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("there is no terminal to ask on"));
  typed_ = "no";
  EXPECT_EQ(Run({"approve", "417.2"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("nothing was signed"));
  EXPECT_TRUE(backend_.acts().empty());
  typed_ = "yes";
  ASSERT_EQ(Run({"approve", "417.2", "--why", "seen it"}), kDone) << err_;
  EXPECT_THAT(err_, HasSubstr("alice signs:"));
  EXPECT_THAT(err_, HasSubstr("  app         \"portal\""));
  ASSERT_EQ(backend_.acts().size(), 1u);
  const v1::CommandAct act = backend_.acts()[0].approve();
  EXPECT_EQ(act.command(), "aabb" + std::string(28, '0'));
  EXPECT_EQ(act.why(), "seen it");
  EXPECT_EQ(act.approval().person(), "alice");
  typed_.reset();
  EXPECT_EQ(Run({"approve", "417.1", "--yes"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("does not wait for approval"));
}

TEST_F(Remote, WhoAskedSignsAsSuch) {
  Role("alice", "responder");
  v1::CommandEntry command;
  ASSERT_TRUE(command.ParseFromString(backend_.Find("command", "aabb" + std::string(28, '0'))->message));
  v1::Intent intent;
  ASSERT_TRUE(intent.ParseFromString(command.intent()));
  intent.set_requested_by("person:alice");
  command.set_requested_by("person:alice");
  command.set_reason("sanctions.yaml:1 asks for approval: one, and nobody has signed one");
  command.set_intent(intent.SerializeAsString());
  backend_.PutCommand(command);
  EXPECT_EQ(Run({"approve", "417.2", "--yes"}), kNotAllowed);
  EXPECT_THAT(err_, HasSubstr("is not approved by who asked for it"));
  command.set_reason("sanctions.yaml:1 asks for approval: two, and nobody has signed one");
  backend_.PutCommand(command);
  ASSERT_EQ(Run({"approve", "417.2", "--yes"}), kDone) << err_;
  EXPECT_EQ(backend_.acts().at(0).approve().approval().person(), "alice");
}

TEST_F(Remote, EachContextIsItsOwnPerson) {
  Role("alice", "viewer");
  Role("bob", "admin");
  LogIn("bob");
  ASSERT_EQ(Run({"whoami", "-o", "json"}), kDone) << err_;
  EXPECT_EQ(Json::parse(out_)["name"], "alice") << "the first is the current one";
  ASSERT_EQ(Run({"--context", "bob", "whoami", "-o", "json"}), kDone) << err_;
  EXPECT_EQ(Json::parse(out_)["name"], "bob");
}

TEST_F(Remote, PeopleAndTheirRoles) {
  Role("alice", "admin");
  Role("bob", "responder");
  EXPECT_EQ(Run({"responder", "list"}), kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("NAME"));
  EXPECT_THAT(out_, HasSubstr("responder"));
  ASSERT_EQ(Run({"responder", "list", "-o", "json"}), kDone) << err_;
  EXPECT_EQ(Json::parse(out_)["items"].size(), 2u);
  EXPECT_EQ(Run({"responder", "role", "carol", "viewer"}), kDone) << err_;
  EXPECT_EQ(Run({"responder", "role", "carol", "root"}), kUsage);
  EXPECT_EQ(Run({"responder", "revoke", "carol"}), kUsage) << "it needs a reason";
  EXPECT_EQ(Run({"responder", "revoke", "carol", "--why", "left"}), kDone) << err_;
  ASSERT_EQ(backend_.acts().size(), 2u);
  EXPECT_EQ(backend_.acts()[0].person_set().name(), "carol");
  EXPECT_EQ(backend_.acts()[1].person_revoke().why(), "left");
}

TEST_F(Remote, X03_AControllerOfAnotherInstallationIsRefused) {
  Role("alice", "admin");
  const int port = server_->port();
  MakePki("other");
  Serve("other", port);
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("refuses the controller: the certificate was issued by no authority"));
}

TEST_F(Remote, ACertificateThatTheControllerDoesNotKnowIsRefused) {
  const auto contexts = ReadContexts(top_ + "/home/.config/quell");
  ASSERT_TRUE(contexts.ok()) << contexts.status();
  const auto context = FindContext(top_ + "/home/.config/quell", *contexts, "");
  // The right key and name, by an authority of the same name that nobody trusts.
  const auto key = security::TlsKey::FromPem(ReadFile(context->key_file));
  const testing_support::TestPki pki(RealClock().Wall());
  const auto forged = security::IssueCertificate(pki.ResponderSpec("alice"), *key, pki.responders());
  ASSERT_TRUE(RealDisk().WriteWhole(context->certificate_file, *forged).ok());
  EXPECT_EQ(Run({"status"}), kNotAllowed);
  EXPECT_THAT(err_, HasSubstr("your certificate is not accepted"));
  EXPECT_THAT(err_, HasSubstr("quell login --csr-out"));
}

TEST_F(Remote, AnAddressThatNobodyListensAtIsUnreachable) {
  server_.reset();
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("the controller at 127.0.0.1:"));
}

}  // namespace
}  // namespace quell::cli
