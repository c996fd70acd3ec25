#include "common/security/responder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <sstream>

#include "common/base/disk.h"
#include "common/security/pki.h"
#include "common/security/responder_command.h"
#include "common/security/trust.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing::HasSubstr;
constexpr Micros kNow = 1'795'000'000 * kSecond;
constexpr char kPassphrase[] = "correct horse";

class Responder : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing_support::MakeTestDirectory();
    PkiOptions options;
    options.directory = pki();
    options.dns = {"quell.example"};
    options.passphrase = Secret(kPassphrase);
    options.now = kNow;
    const auto made = InitPki(options);
    ASSERT_TRUE(made.ok()) << made.status();
    pin_ = made->pin;
  }
  std::string pki() const { return directory_ + "/pki"; }
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(RealDisk().WriteWhole(path, content).ok());
    return path;
  }
  ResponderIssue Issue(const std::string& name) const {
    ResponderIssue issue;
    issue.directory = pki();
    issue.request = RequestCertificate(key_, "who knows");
    issue.name = name;
    issue.passphrase = Secret(kPassphrase);
    issue.now = kNow;
    return issue;
  }
  int Command(const std::vector<std::string>& words) {
    std::ostringstream out, err;
    const int exit = RunResponderCommand(words, out, err, kNow);
    out_ = out.str();
    err_ = err.str();
    return exit;
  }

  const TlsKey key_ = TlsKey::Generate();
  std::string directory_, pin_, out_, err_;
};

TEST_F(Responder, IsCertifiedUnderTheNameThatTheIssuerSaid) {
  const auto pass = IssueResponder(Issue("alice"));
  ASSERT_TRUE(pass.ok()) << pass.status();
  const auto home = ParsePass(FormatPass(*pass));
  ASSERT_TRUE(home.ok()) << home.status();
  EXPECT_EQ(home->certificate_pem, pass->certificate_pem);
  EXPECT_EQ(*PinOf(home->signed_bundle), pin_);
  EXPECT_TRUE(CheckPair(key_.ToPem().Reveal(), home->certificate_pem).ok());
  const auto bundle = OpenTrustBundle(home->signed_bundle, pin_, kNow);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const auto peer = PeerFromCertificate(home->certificate_pem, *bundle, kNow);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->role, "responder");
  EXPECT_EQ(peer->id, "alice");
  EXPECT_EQ(peer->not_after, kNow + 30 * kDay);
}

TEST_F(Responder, ANameIsOneOfAFewCharacters) {
  for (const char* name : {"", "Alice", "alice,bob", "alice bob", "alice/admin", "../alice", "alice\n",
                           "al%69ce", "aliçe", "alice@example.com"})
    EXPECT_THAT(IssueResponder(Issue(name)).status().message(), HasSubstr("no person's name")) << name;
  EXPECT_FALSE(IssueResponder(Issue(std::string(65, 'a'))).ok());
  EXPECT_TRUE(IssueResponder(Issue(std::string(64, 'a'))).ok());
}

TEST_F(Responder, NobodyIsCertifiedForLongerThanThirtyDays) {
  ResponderIssue issue = Issue("alice");
  issue.life = 30 * kDay + kSecond;
  EXPECT_FALSE(IssueResponder(issue).ok());
  issue.life = 0;
  EXPECT_FALSE(IssueResponder(issue).ok());
}

TEST_F(Responder, ARequestThatItsKeyDidNotSignIsRefused) {
  const std::string good = RequestCertificate(key_, "alice");
  EXPECT_EQ(*PublicKeyOfRequest(good), key_.PublicDer());
  for (const std::string& bad : {std::string(), std::string("x"), key_.ToPem().Reveal(),
                                 good.substr(0, good.size() / 2), std::string(1 << 20, 'x')})
    EXPECT_FALSE(PublicKeyOfRequest(bad).ok());
  // A character of the signature, which is what the body ends with.
  const size_t end = good.find("\n-----END");
  std::string forged = good;
  forged[end - 8] = forged[end - 8] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(PublicKeyOfRequest(forged).ok());
}

TEST_F(Responder, TheWrongPassphraseCertifiesNobody) {
  ResponderIssue issue = Issue("alice");
  issue.passphrase = Secret("something else");
  EXPECT_FALSE(IssueResponder(issue).ok());
  issue.passphrase = Secret();
  EXPECT_FALSE(IssueResponder(issue).ok());
}

TEST_F(Responder, AnAuthorityThatTheBundleDoesNotKnowIsRefused) {
  const auto other = MakeAuthority("others", kNow, kNow + kDay);
  Write("pki/responders-ca.key", other->key.ToPem().Reveal());
  Write("pki/responders-ca.crt", other->certificate_pem);
  EXPECT_THAT(IssueResponder(Issue("alice")).status().message(), HasSubstr("not in trust.bundle"));
}

TEST_F(Responder, WhatIsNoPassIsRefused) {
  const auto pass = IssueResponder(Issue("alice"));
  ASSERT_TRUE(pass.ok()) << pass.status();
  EXPECT_FALSE(ParsePass("").ok());
  EXPECT_FALSE(ParsePass(pass->certificate_pem).ok());
  EXPECT_FALSE(ParsePass(FormatPass({"", pass->signed_bundle})).ok());
  EXPECT_FALSE(ParsePass(key_.ToPem().Reveal() + FormatPass({"", pass->signed_bundle})).ok());
  EXPECT_FALSE(ParsePass(std::string(1 << 20, '-')).ok());
}

TEST_F(Responder, TheCommandWritesOneFileAndTellsThePin) {
  const std::string request = Write("alice.csr", RequestCertificate(key_, "alice"));
  const std::string word = Write("word", std::string(kPassphrase) + "\n");
  const std::string out = directory_ + "/alice.pass";
  ASSERT_EQ(Command({"issue", request, "--name", "alice", "--dir", pki(), "--days", "7", "--passphrase-file",
                     word, "--out", out}),
            0)
      << err_;
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("--pin " + pin_));
  const auto pass = ParsePass(*RealDisk().Read(out, 1 << 20));
  ASSERT_TRUE(pass.ok()) << pass.status();
  EXPECT_EQ(DatesOf(pass->certificate_pem)->not_after, kNow + 7 * kDay);
}

TEST_F(Responder, TheCommandSaysWhatIsWrong) {
  const std::string request = Write("alice.csr", RequestCertificate(key_, "alice"));
  EXPECT_EQ(Command({}), 2);
  EXPECT_THAT(err_, HasSubstr("usage: "));
  EXPECT_EQ(Command({"issue", request, "--name", "alice"}), 2);
  EXPECT_EQ(Command({"issue", request, "--name", "alice", "--dir"}), 2);
  EXPECT_EQ(Command({"issue", request, "--name", "alice", "--dir", pki(), "--days", "31"}), 2);
  EXPECT_THAT(err_, HasSubstr("from 1 to 30"));
  EXPECT_EQ(Command({"issue", directory_ + "/none", "--name", "alice", "--dir", pki()}), 1);
  EXPECT_EQ(Command({"issue", request, "--name", "alice", "--dir", pki()}), 2);  // the key is encrypted
  EXPECT_THAT(err_, HasSubstr("responders-ca.key"));
  EXPECT_EQ(Command({"issue", request, "--name", "Alice!", "--dir", pki()}), 2);
}

}  // namespace
}  // namespace quell::security
