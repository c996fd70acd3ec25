#include "common/security/issue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "common/security/challenge.h"
#include "common/security/join_token.h"
#include "common/security/trust.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing::HasSubstr;
constexpr Micros kNow = 1'795'000'000 * kSecond;

TEST(Issue, ACertificateForAKeyOfAnothersMakingIsAnAgentsAndNothingElse) {
  const testing_support::TestPki pki(kNow);
  const TlsKey key = TlsKey::Generate();
  const std::string id = RandomUuid();
  const auto pem =
      IssueCertificate(PeerSpec(pki.installation(), "agent", id, kDay, kNow), key.PublicDer(), pki.agents());
  ASSERT_TRUE(pem.ok()) << pem.status();
  EXPECT_TRUE(CheckPair(key.ToPem().Reveal(), *pem).ok());
  const auto peer = PeerFromCertificate(*pem, pki.bundle(), kNow);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->role, "agent");
  EXPECT_EQ(peer->id, id);
  const auto dates = DatesOf(*pem);
  EXPECT_EQ(dates->not_before, kNow - 5 * kMinute);
  EXPECT_EQ(dates->not_after, kNow + kDay);
  EXPECT_EQ(*PublicKeyOf(*pem), key.PublicDer());
}

TEST(Issue, OnlyAPublicKeyOfP256InItsOneEncodingIsCertified) {
  const std::string good = TlsKey::Generate().PublicDer();
  EXPECT_TRUE(CheckPublicKey(good).ok());
  EXPECT_FALSE(CheckPublicKey("").ok());
  EXPECT_FALSE(CheckPublicKey("key").ok());
  EXPECT_FALSE(CheckPublicKey(good + "x").ok()) << "nothing rides along";
  EXPECT_FALSE(CheckPublicKey(good.substr(1)).ok());
  for (size_t i = 0; i < good.size(); ++i) {  // a point off the curve, another algorithm, another length
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(CheckPublicKey(bad).ok()) << i;
  }
  const testing_support::TestPki pki(kNow);
  EXPECT_FALSE(CheckPublicKey(pki.agents().certificate_pem).ok());
}

TEST(Issue, ASignatureIsOfItsKeyContextAndBody) {
  const TlsKey key = TlsKey::Generate();
  const std::string signature = key.Sign(kRecoverContext, "body");
  EXPECT_TRUE(VerifyTlsSignature(key.PublicDer(), kRecoverContext, "body", signature));
  EXPECT_FALSE(VerifyTlsSignature(key.PublicDer(), kRecoverContext, "bodies", signature));
  EXPECT_FALSE(VerifyTlsSignature(key.PublicDer(), "quell other v1", "body", signature));
  EXPECT_FALSE(VerifyTlsSignature(TlsKey::Generate().PublicDer(), kRecoverContext, "body", signature));
  EXPECT_FALSE(VerifyTlsSignature(key.PublicDer(), kRecoverContext, "body", ""));
}

TEST(JoinToken, IsReadAsItIsWritten) {
  const JoinToken token{Secret(RandomBytes(32)), HexEncode(RandomBytes(32))};
  const auto read = ParseJoinToken(" " + FormatJoinToken(token).Reveal() + "\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->secret == token.secret);
  EXPECT_EQ(read->pin, token.pin);
}

TEST(JoinToken, AnythingElseIsRefusedWithoutBeingTold) {
  const std::string good = FormatJoinToken({Secret(RandomBytes(32)), HexEncode(RandomBytes(32))}).Reveal();
  std::string upper = good;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& bad : {std::string(), std::string("."), good.substr(1), good.substr(0, 50),
                                 good + "0", "x" + good, good.substr(0, 43) + "=" + good.substr(43), upper}) {
    const auto read = ParseJoinToken(bad);
    EXPECT_FALSE(read.ok()) << bad;
    const std::string told(read.status().message());
    EXPECT_TRUE(bad.size() < 8 || told.find(bad) == std::string::npos) << told;
  }
}

TEST(Challenge, IsGoodForAMinuteWhereItWasMade) {
  const Challenges here, there;
  const std::string challenge = here.Make(kHour);
  EXPECT_TRUE(here.Check(challenge, kHour));
  EXPECT_TRUE(here.Check(challenge, kHour + kMinute));
  EXPECT_FALSE(here.Check(challenge, kHour + kMinute + 1));
  EXPECT_FALSE(here.Check(challenge, kHour - 1));
  EXPECT_FALSE(there.Check(challenge, kHour));
  EXPECT_NE(challenge, here.Make(kHour));
  for (size_t i = 0; i < challenge.size(); ++i) {
    std::string bad = challenge;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(here.Check(bad, kHour)) << i;
  }
  EXPECT_FALSE(here.Check("", kHour));
}

}  // namespace
}  // namespace quell::security
