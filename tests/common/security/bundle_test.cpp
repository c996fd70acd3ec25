#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "common/security/trust.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing_support::TestPki;

constexpr Micros kNow = 1'795'000'000 * kSecond;

bool Says(const absl::Status& status, std::string_view text) {
  return status.message().find(std::string(text)) != absl::string_view::npos;
}

TEST(TrustBundle, OpensAndNamesItsKeys) {
  const TestPki pki(kNow);
  const auto bundle = OpenTrustBundle(pki.signed_bundle(), pki.pin(), kNow);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(*CommandKey(*bundle, pki.command_key().Id()), pki.command_key().PublicRaw());
  EXPECT_EQ(*LogKey(*bundle, pki.log_key().Id()), pki.log_key().PublicRaw());
  EXPECT_EQ(CommandKey(*bundle, pki.log_key().Id()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Says(LogKey(*bundle, "0123456789abcdef").status(), "0123456789abcdef"));
}

TEST(TrustBundle, X03_EveryFlippedByteIsRefused) {
  const TestPki pki(kNow);
  const std::string good = pki.signed_bundle();
  for (size_t i = 0; i < good.size(); ++i) {
    for (const unsigned char mask : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(static_cast<unsigned char>(bad[i]) ^ mask);
      EXPECT_FALSE(OpenTrustBundle(bad, pki.pin(), kNow).ok()) << "byte " << i << " mask " << int(mask);
    }
  }
  for (size_t size = 0; size < good.size(); size += 7)
    EXPECT_FALSE(OpenTrustBundle(good.substr(0, size), pki.pin(), kNow).ok()) << size;
  EXPECT_FALSE(OpenTrustBundle(good + std::string("\x20\x01", 2), pki.pin(), kNow).ok())
      << "a field rides along";
  EXPECT_FALSE(OpenTrustBundle(good + good, pki.pin(), kNow).ok());
}

TEST(TrustBundle, X03_AnotherRootIsRefusedByThePin) {
  const TestPki pki(kNow);
  const SigningKey other = SigningKey::Generate();
  const auto opened = OpenTrustBundle(SignTrustBundle(pki.bundle(), other), pki.pin(), kNow);
  ASSERT_FALSE(opened.ok());
  EXPECT_TRUE(Says(opened.status(), "not the pinned one"));
  EXPECT_FALSE(OpenTrustBundle(pki.signed_bundle(), "", kNow).ok());
  EXPECT_FALSE(OpenTrustBundle(pki.signed_bundle(), std::string(64, '0'), kNow).ok());
}

// The right root key beside a body that another key signed.
TEST(TrustBundle, X03_TheRootKeyAloneProvesNothing) {
  const TestPki pki(kNow);
  const SigningKey other = SigningKey::Generate();
  v1::SignedTrustBundle outer;
  ASSERT_TRUE(outer.ParseFromString(SignTrustBundle(pki.bundle(), other)));
  outer.set_root_key(pki.root().PublicRaw());
  const auto opened = OpenTrustBundle(outer.SerializeAsString(), pki.pin(), kNow);
  ASSERT_FALSE(opened.ok());
  EXPECT_TRUE(Says(opened.status(), "signature does not hold"));
  // A signature of the root's for another purpose.
  outer.set_signature(pki.root().Sign(kCommandContext, outer.body()));
  EXPECT_FALSE(OpenTrustBundle(outer.SerializeAsString(), pki.pin(), kNow).ok());
}

struct Broken {
  const char* name;
  void (*breaks)(v1::TrustBundle&);
  const char* says;
};

class TrustBundleForm : public ::testing::TestWithParam<Broken> {};

TEST_P(TrustBundleForm, IsRefusedThoughSigned) {
  TestPki pki(kNow);
  GetParam().breaks(pki.bundle());
  const auto opened = OpenTrustBundle(pki.signed_bundle(), pki.pin(), kNow);
  ASSERT_FALSE(opened.ok());
  EXPECT_TRUE(Says(opened.status(), GetParam().says)) << opened.status();
}

INSTANTIATE_TEST_SUITE_P(
    All, TrustBundleForm,
    ::testing::Values(
        Broken{"serial", [](v1::TrustBundle& b) { b.set_serial(0); }, "serial is 0"},
        Broken{"installation", [](v1::TrustBundle& b) { b.set_installation("x"); }, "no uuid"},
        Broken{"expired", [](v1::TrustBundle& b) { b.set_not_after_us(kNow); }, "expired"},
        Broken{"short_key", [](v1::TrustBundle& b) { b.mutable_command_keys(0)->set_raw("short"); },
               "32 bytes"},
        Broken{"key_id", [](v1::TrustBundle& b) { b.mutable_log_keys(0)->set_id("0000000000000000"); },
               "id is not"},
        Broken{"owner", [](v1::TrustBundle& b) { b.mutable_log_keys(0)->set_owner("me"); }, "owner"},
        Broken{"shared_key", [](v1::TrustBundle& b) { *b.add_log_keys() = b.command_keys(0); }, "twice"},
        Broken{"shared_ca", [](v1::TrustBundle& b) { b.add_agents_ca(b.controllers_ca(0)); }, "twice"},
        Broken{"no_ca", [](v1::TrustBundle& b) { b.clear_agents_ca(); }, "no authority"},
        Broken{"bad_ca", [](v1::TrustBundle& b) { b.set_agents_ca(0, "der"); }, "no certificate"},
        Broken{"trailing", [](v1::TrustBundle& b) { b.mutable_agents_ca(0)->push_back('x'); },
               "no certificate"},
        Broken{"revoked", [](v1::TrustBundle& b) { b.add_revoked("Not A Name"); }, "revoked"}),
    [](const auto& info) { return info.param.name; });

TEST(TrustBundle, ALeafIsNoAuthority) {
  TestPki pki(kNow);
  pki.bundle().set_agents_ca(0, *PemToDer(pki.Agent(RandomUuid()).certificate_pem));
  EXPECT_TRUE(Says(OpenTrustBundle(pki.signed_bundle(), pki.pin(), kNow).status(), "self-signed authority"));
}

TEST(TrustBundle, OnlyAHigherSerialReplaces) {
  TestPki pki(kNow);
  pki.bundle().set_serial(7);
  pki.bundle().set_least_epoch(3);
  v1::TrustBundle next = pki.bundle();
  EXPECT_TRUE(Says(MayReplace(pki.bundle(), next), "not higher"));
  next.set_serial(6);
  EXPECT_FALSE(MayReplace(pki.bundle(), next).ok());
  next.set_serial(8);
  EXPECT_TRUE(MayReplace(pki.bundle(), next).ok());
  next.set_least_epoch(2);
  EXPECT_TRUE(Says(MayReplace(pki.bundle(), next), "least epoch"));
  next.set_least_epoch(3);
  next.set_installation(RandomUuid());
  EXPECT_TRUE(Says(MayReplace(pki.bundle(), next), "another installation"));
}

}  // namespace
}  // namespace quell::security
