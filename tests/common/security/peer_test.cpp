// The certificate matrix: what proves a peer, and one sentence for each thing that does not.
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "common/security/trust.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing_support::TestLeaf;
using testing_support::TestPki;

constexpr Micros kNow = 1'795'000'000 * kSecond;

class PeerMatrix : public ::testing::Test {
 protected:
  absl::StatusOr<Peer> Of(const CertificateSpec& spec, const Authority& issuer) {
    return PeerFromCertificate(pki_.Issue(spec, issuer).certificate_pem, pki_.bundle(), kNow);
  }
  void Refused(const CertificateSpec& spec, const Authority& issuer, std::string_view says) {
    const auto peer = Of(spec, issuer);
    ASSERT_FALSE(peer.ok());
    EXPECT_EQ(peer.status().code(), absl::StatusCode::kPermissionDenied) << peer.status();
    EXPECT_NE(peer.status().message().find(std::string(says)), absl::string_view::npos) << peer.status();
  }
  TestPki pki_{kNow};
  std::string id_ = RandomUuid();
};

TEST_F(PeerMatrix, RightOnesAreWhoTheySay) {
  const auto agent = Of(pki_.AgentSpec(id_), pki_.agents());
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_EQ(agent->role, "agent");
  EXPECT_EQ(agent->id, id_);
  EXPECT_EQ(agent->not_after, kNow + kDay);
  EXPECT_EQ(agent->serial.size(), 32u);
  const auto controller = Of(pki_.ControllerSpec(id_), pki_.controllers());
  ASSERT_TRUE(controller.ok()) << controller.status();
  EXPECT_EQ(controller->role, "controller");
  const auto responder = Of(pki_.ResponderSpec("alice"), pki_.responders());
  ASSERT_TRUE(responder.ok()) << responder.status();
  EXPECT_EQ(responder->id, "alice");
}

TEST_F(PeerMatrix, X03_AnotherAuthority) {
  const TestPki other(kNow);
  Refused(pki_.AgentSpec(id_), other.agents(), "no authority of this installation");
  Refused(pki_.ControllerSpec(id_), other.controllers(), "no authority of this installation");
}

// Same subject name as our authority, another key.
TEST_F(PeerMatrix, X03_RightNameFromTheWrongAuthority) {
  const auto impostor = MakeAuthority("test controllers", kNow - kDay, kNow + kDay);
  ASSERT_TRUE(impostor.ok());
  Refused(pki_.ControllerSpec(pki_.controller_id()), *impostor, "no authority of this installation");
  // Issued by the right house but another role's authority.
  Refused(pki_.ControllerSpec(pki_.controller_id()), pki_.agents(), "a further name");
  CertificateSpec bare = pki_.ControllerSpec(pki_.controller_id());
  bare.dns.clear();
  bare.addresses.clear();
  Refused(bare, pki_.agents(), "says controller but was issued by the agents' authority");
}

TEST_F(PeerMatrix, X03_AnAgentPosingAsAController) {
  Refused(pki_.AgentSpec(id_), pki_.controllers(), "says agent but was issued by the controllers' authority");
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.server_auth = true;
  Refused(spec, pki_.agents(), "wrong purpose");
  const auto honest = Of(pki_.AgentSpec(id_), pki_.agents());
  ASSERT_TRUE(honest.ok());
  EXPECT_FALSE(IsAllowed(*honest, "controller", pki_.bundle(), kNow).ok());
}

TEST_F(PeerMatrix, X03_ExpiredAndNotYetValid) {
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.not_after = kNow;
  Refused(spec, pki_.agents(), "expired at");
  spec = pki_.AgentSpec(id_);
  spec.not_before = kNow + kMinute;
  Refused(spec, pki_.agents(), "not valid before");
}

TEST_F(PeerMatrix, X03_AnExpiredAuthority) {
  const auto old = MakeAuthority("old", kNow - 2 * kDay, kNow - kDay);
  ASSERT_TRUE(old.ok());
  pki_.bundle().add_agents_ca(*PemToDer(old->certificate_pem));
  Refused(pki_.AgentSpec(id_), *old, "authority of the agents expired");
}

TEST_F(PeerMatrix, X03_WrongPurpose) {
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.client_auth = false;
  Refused(spec, pki_.agents(), "wrong purpose");  // none written down
  spec.server_auth = true;
  Refused(spec, pki_.agents(), "wrong purpose");
  spec = pki_.ControllerSpec(id_);
  spec.server_auth = false;
  Refused(spec, pki_.controllers(), "wrong purpose");
}

TEST_F(PeerMatrix, X03_NamesThatAreNone) {
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.uris = {};
  Refused(spec, pki_.agents(), "no URI name");
  spec.uris = {pki_.Uri("agent", id_), pki_.Uri("agent", RandomUuid())};
  Refused(spec, pki_.agents(), "more than one URI name");
  spec.uris = {pki_.Uri("agent", id_), pki_.Uri("agent", id_)};
  Refused(spec, pki_.agents(), "more than one URI name");
  spec = pki_.AgentSpec(id_);
  spec.dns = {"localhost"};
  Refused(spec, pki_.agents(), "further name");
}

TEST_F(PeerMatrix, X03_NamesWithBytesThatMislead) {
  const std::string nul("\0", 1);
  for (const std::string& uri :
       {pki_.Uri("agent", id_) + nul + "x", pki_.Uri("agent", id_) + ",URI:" + pki_.Uri("controller", id_),
        pki_.Uri("agent", id_) + "\n", pki_.Uri("agent", id_) + "%00"}) {
    CertificateSpec spec = pki_.AgentSpec(id_);
    spec.uris = {uri};
    Refused(spec, pki_.agents(), "a character it may not have");
  }
  for (const std::string& uri : {pki_.Uri("agent", "not-a-uuid"), pki_.Uri("agent", id_) + "/",
                                 pki_.Uri("agent", id_) + "/x", pki_.Uri("agent", "")}) {
    CertificateSpec spec = pki_.AgentSpec(id_);
    spec.uris = {uri};
    Refused(spec, pki_.agents(), "no valid id");
  }
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.uris = {"https://" + pki_.installation() + "/agent/" + id_};
  Refused(spec, pki_.agents(), "no spiffe");
  spec.uris = {"spiffe://" + RandomUuid() + "/agent/" + id_};
  Refused(spec, pki_.agents(), "another installation");
  spec.uris = {"spiffe://" + pki_.installation()};
  Refused(spec, pki_.agents(), "installation/role/id");
}

TEST_F(PeerMatrix, X03_AnAuthorityIsNoPeer) {
  CertificateSpec spec = pki_.AgentSpec(id_);
  spec.authority = true;
  Refused(spec, pki_.agents(), "an authority's");
  EXPECT_FALSE(PeerFromCertificate(pki_.agents().certificate_pem, pki_.bundle(), kNow).ok());
}

// A leaf that issues: its child chains to no authority directly, and intermediates are never taken.
TEST_F(PeerMatrix, X03_ALeafIssuesNothing) {
  const TlsKey key = TlsKey::Generate();
  const auto leaf = IssueCertificate(pki_.AgentSpec(id_), key, pki_.agents());
  ASSERT_TRUE(leaf.ok());
  const Authority issuer{std::move(*TlsKey::FromPem(key.ToPem().Reveal())), *leaf};
  Refused(pki_.AgentSpec(RandomUuid()), issuer, "no authority of this installation");
}

TEST_F(PeerMatrix, GarbageIsRefused) {
  EXPECT_FALSE(PeerFromCertificate("", pki_.bundle(), kNow).ok());
  EXPECT_FALSE(PeerFromCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                   pki_.bundle(), kNow)
                   .ok());
}

TEST_F(PeerMatrix, TheOneQuestion) {
  const Peer peer = *Of(pki_.AgentSpec(id_), pki_.agents());
  EXPECT_TRUE(IsAllowed(peer, "agent", pki_.bundle(), kNow).ok());
  EXPECT_FALSE(IsAllowed(peer, "responder", pki_.bundle(), kNow).ok());
  EXPECT_FALSE(IsAllowed(peer, "agent", pki_.bundle(), kNow + kDay).ok());
  pki_.bundle().add_revoked(id_);
  const absl::Status revoked = IsAllowed(peer, "agent", pki_.bundle(), kNow);
  EXPECT_NE(revoked.message().find("revoked"), absl::string_view::npos) << revoked;
}

TEST_F(PeerMatrix, TheDialledNameMustStandInIt) {
  const TestLeaf leaf = pki_.Controller();
  EXPECT_TRUE(CheckDialledName(leaf.certificate_pem, "localhost").ok());
  EXPECT_TRUE(CheckDialledName(leaf.certificate_pem, "127.0.0.1").ok());
  EXPECT_TRUE(CheckDialledName(leaf.certificate_pem, "::1").ok());
  EXPECT_FALSE(CheckDialledName(leaf.certificate_pem, "127.0.0.2").ok());
  EXPECT_FALSE(CheckDialledName(leaf.certificate_pem, "example.org").ok());
  EXPECT_FALSE(CheckDialledName(leaf.certificate_pem, "").ok());
}

}  // namespace
}  // namespace quell::security
