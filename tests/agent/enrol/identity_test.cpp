// The agent's certificate and trust over time, in memory and on a real directory.
#include "agent/enrol/identity.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "common/base/ids.h"
#include "common/security/issue.h"
#include "tests/common/security/test_pki.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;
using testing_support::TestPki;

class IdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    pki_.WriteAgent(dir_.path(), id_);
    state_ = dir_.MakeDirectory("state", 0700);
  }
  IdentityPlaces Places() const {
    return {dir_.Path("agent.key"), dir_.Path("agent.crt"), dir_.Path("trust.bundle"),
            dir_.Path("root.pin"),  dir_.Path("host-id"),   state_};
  }
  std::unique_ptr<AgentIdentity> Load() {
    auto loaded = AgentIdentity::Load(Places(), RealDisk(), clock_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? *std::move(loaded) : nullptr;
  }
  // What a controller would make of this host's key now.
  std::string Renewed(const AgentIdentity& identity, const std::string& id, Micros life = kDay) {
    security::CertificateSpec spec = pki_.AgentSpec(id);
    spec.not_before = clock_.Wall() - 5 * kMinute;
    spec.not_after = clock_.Wall() + life;
    const auto pem = security::IssueCertificate(spec, identity.Key()->PublicDer(), pki_.agents());
    return *security::PemToDer(*pem);
  }

  FakeClock clock_{RealClock().Wall()};
  TestPki pki_{RealClock().Wall()};
  test::TempDir dir_;
  std::string state_;
  const std::string id_ = RandomUuid();
};

TEST_F(IdentityTest, AsksForARenewalAtHalfItsLifeAndNotAgainAtOnce) {
  auto identity = Load();
  ASSERT_NE(identity, nullptr);
  EXPECT_EQ(identity->KeyToRenew(clock_.Wall()), "");
  EXPECT_EQ(identity->KeyToRenew(clock_.Wall() + 11 * kHour), "");
  const Micros late = clock_.Wall() + 15 * kHour;
  EXPECT_EQ(identity->KeyToRenew(late), identity->Key()->PublicDer());
  EXPECT_EQ(identity->KeyToRenew(late + kMinute), "");
  EXPECT_NE(identity->KeyToRenew(late + 10 * kMinute), "") << "a lost answer is asked for again";
}

TEST_F(IdentityTest, AFleetDoesNotRenewAllAtOnce) {
  const security::CertificateDates dates{-security::kClockLeeway, 100 * kHour};
  EXPECT_EQ(RenewAt(dates, 0), 50 * kHour);
  EXPECT_EQ(RenewAt(dates, 1), 60 * kHour);
}

TEST_F(IdentityTest, F21_AShortLivedCertificateIsNotDueTheMomentItIsIssued) {
  const security::CertificateDates dates{kHour - security::kClockLeeway, kHour + kMinute};
  EXPECT_EQ(RenewAt(dates, 0), kHour + 30 * kSecond);
  EXPECT_EQ(RenewAt(dates, 1), kHour + 36 * kSecond);
}

TEST_F(IdentityTest, ARenewedCertificateIsKeptAndUsed) {
  auto identity = Load();
  clock_.Advance(15 * kHour);
  identity->Renewed(Renewed(*identity, id_), clock_.Wall());
  const std::string pem = test::ReadFile(state_ + "/agent.crt");
  EXPECT_FALSE(pem.empty());
  EXPECT_EQ(identity->Tls().certificate_pem, pem);
  EXPECT_EQ(identity->KeyToRenew(clock_.Wall()), "");
  EXPECT_EQ(Load()->Tls().certificate_pem, pem) << "after a restart, too";
}

TEST_F(IdentityTest, X05_ACertificateThatIsNotThisHostsIsNotTaken) {
  auto identity = Load();
  const std::string before = identity->Tls().certificate_pem;
  identity->Renewed(Renewed(*identity, RandomUuid()), clock_.Wall());
  identity->Renewed("garbage", clock_.Wall());
  identity->Renewed(*security::PemToDer(pki_.Agent(id_).certificate_pem), clock_.Wall());  // of another key
  const TestPki other(clock_.Wall());
  identity->Renewed(*security::PemToDer(other.Agent(id_).certificate_pem), clock_.Wall());
  EXPECT_EQ(identity->Tls().certificate_pem, before);
  EXPECT_EQ(test::ReadFile(state_ + "/agent.crt"), "");
}

TEST_F(IdentityTest, OneThatHasExpiredIsNoErrorButCannotBeUsed) {
  clock_.Advance(2 * kDay);
  auto identity = Load();
  ASSERT_NE(identity, nullptr);
  EXPECT_EQ(identity->host_id(), id_);
  EXPECT_THAT(std::string(identity->Usable(clock_.Wall()).message()), HasSubstr("expired"));
  const auto der = security::DerToPem(Renewed(*identity, id_));
  ASSERT_TRUE(identity->Adopt(*der, clock_.Wall()).ok());
  EXPECT_TRUE(identity->Usable(clock_.Wall()).ok());
}

TEST_F(IdentityTest, AHigherBundleIsTakenKeptAndOfferedALowerOneIsNot) {
  auto identity = Load();
  const std::string first = pki_.signed_bundle();
  identity->TakeTrust(first, clock_.Wall());
  EXPECT_EQ(identity->trust_serial(), 1u);
  EXPECT_EQ(test::ReadFile(state_ + "/trust.bundle"), "");
  pki_.bundle().set_serial(2);
  const std::string second = pki_.signed_bundle();
  identity->TakeTrust(second, clock_.Wall());
  EXPECT_EQ(identity->trust_serial(), 2u);
  EXPECT_EQ(identity->TrustNewerThan(1), second);
  EXPECT_EQ(identity->TrustNewerThan(2), "");
  identity->TakeTrust(first, clock_.Wall());
  EXPECT_EQ(identity->trust_serial(), 2u);
  EXPECT_EQ(Load()->trust_serial(), 2u) << "after a restart, too";
}

TEST_F(IdentityTest, X03_ABundleOfAnotherRootIsNotTaken) {
  auto identity = Load();
  TestPki other(clock_.Wall());
  other.bundle().set_serial(9);
  other.bundle().set_installation(pki_.installation());
  identity->TakeTrust(other.signed_bundle(), clock_.Wall());
  EXPECT_EQ(identity->trust_serial(), 1u);
  // Nor where somebody put it into the state directory.
  ASSERT_TRUE(RealDisk().WriteWhole(state_ + "/trust.bundle", other.signed_bundle()).ok());
  EXPECT_EQ(Load()->trust_serial(), 1u);
}

TEST_F(IdentityTest, WhatAFormerEnrolmentKeptIsLeftAlone) {
  const TestPki former(clock_.Wall());
  ASSERT_TRUE(RealDisk().WriteWhole(state_ + "/agent.crt", former.Agent(id_).certificate_pem).ok());
  ASSERT_TRUE(RealDisk().WriteWhole(state_ + "/trust.bundle", "garbage").ok());
  auto identity = Load();
  ASSERT_NE(identity, nullptr);
  EXPECT_EQ(identity->Tls().certificate_pem, test::ReadFile(dir_.Path("agent.crt")));
}

TEST_F(IdentityTest, X14_AKeyThatOthersCanReadEndsTheStart) {
  ASSERT_EQ(chmod(dir_.Path("agent.key").c_str(), 0644), 0);
  const auto loaded = AgentIdentity::Load(Places(), RealDisk(), clock_);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kPermissionDenied) << loaded.status();
}

}  // namespace
}  // namespace quell::agent
