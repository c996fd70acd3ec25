#include "common/security/signing.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <type_traits>

#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/security/secret.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing_support::MakeTestDirectory;

std::string Hex(std::string_view hex) { return *HexDecode(hex); }

TEST(Signing, AgreesWithRfc8032) {
  // RFC 8032 7.1, test 2: one byte 72. The context is empty here, so that the plain vectors apply.
  const std::string key = Hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const std::string signature =
      Hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(VerifySignature(key, "", "\x72", signature));
  EXPECT_FALSE(VerifySignature(key, "", "\x73", signature));
}

TEST(Signing, RoundTripAndEveryFlippedBitIsRefused) {
  const SigningKey key = SigningKey::Generate();
  const std::string body = "restart one app";
  const std::string signature = key.Sign(kCommandContext, body);
  ASSERT_EQ(signature.size(), 64u);
  EXPECT_TRUE(VerifySignature(key.PublicRaw(), kCommandContext, body, signature));
  for (size_t i = 0; i < signature.size(); ++i) {
    std::string bad = signature;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(VerifySignature(key.PublicRaw(), kCommandContext, body, bad)) << i;
  }
  EXPECT_FALSE(VerifySignature(key.PublicRaw(), kCommandContext, body, signature.substr(0, 63)));
  EXPECT_FALSE(VerifySignature(key.PublicRaw().substr(1), kCommandContext, body, signature));
}

TEST(Signing, ASignatureForOnePurposeServesNoOther) {
  const SigningKey key = SigningKey::Generate();
  const std::string signature = key.Sign(kCommandContext, "body");
  EXPECT_FALSE(VerifySignature(key.PublicRaw(), kTrustContext, "body", signature));
  EXPECT_FALSE(VerifySignature(key.PublicRaw(), kLogContext, "body", signature));
  EXPECT_EQ(kCommandContext.back(), '\0');  // no context is the beginning of another
}

TEST(Signing, PemKeepsTheKeyAndAPassphraseSealsIt) {
  const SigningKey key = SigningKey::Generate();
  const auto plain = SigningKey::FromPem(key.ToPem());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->PublicRaw(), key.PublicRaw());
  EXPECT_EQ(plain->Id(), KeyId(key.PublicRaw()));
  EXPECT_EQ(plain->Id().size(), 16u);

  const std::string sealed = key.ToPem("correct horse");
  EXPECT_NE(sealed.find("ENCRYPTED"), std::string::npos);
  EXPECT_TRUE(SigningKey::FromPem(sealed, "correct horse").ok());
  const auto wrong = SigningKey::FromPem(sealed, "wrong horse");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.status().message().find("wrong passphrase"), absl::string_view::npos) << wrong.status();
  const auto none = SigningKey::FromPem(sealed);
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.status().message().find("no passphrase was given"), absl::string_view::npos)
      << none.status();
}

TEST(Signing, RefusesAnotherKindOfKey) {
  const std::string ecdsa = TlsKey::Generate().ToPem().Reveal();
  EXPECT_FALSE(SigningKey::FromPem(ecdsa).ok());
  EXPECT_FALSE(SigningKey::FromPem("garbage").ok());
  EXPECT_FALSE(TlsKey::FromPem(SigningKey::Generate().ToPem()).ok());
}

class KeyFile : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = MakeTestDirectory();
    path_ = directory_ + "/key";
    ASSERT_TRUE(RealDisk().WriteWhole(path_, SigningKey::Generate().ToPem()).ok());
  }
  std::string directory_, path_;
};

TEST_F(KeyFile, LoadsWhenPrivate) { EXPECT_TRUE(SigningKey::Load(path_).ok()); }

TEST_F(KeyFile, RefusedWhenOthersCanOpenIt) {
  for (const mode_t mode : {0640, 0604, 0660, 0601, 0644}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const auto key = SigningKey::Load(path_);
    ASSERT_FALSE(key.ok()) << mode;
    EXPECT_EQ(key.status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_NE(key.status().message().find(path_), absl::string_view::npos);
  }
}

// An access list for the process's user shows as a right of the group.
TEST_F(KeyFile, ACredentialOfTheServiceManagerMayBearAnAccessList) {
  ASSERT_EQ(chmod(path_.c_str(), 0440), 0);
  setenv("CREDENTIALS_DIRECTORY", directory_.c_str(), 1);
  EXPECT_TRUE(SigningKey::Load(path_).ok());
  setenv("CREDENTIALS_DIRECTORY", (directory_ + "/elsewhere").c_str(), 1);
  EXPECT_FALSE(SigningKey::Load(path_).ok());
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_FALSE(SigningKey::Load(path_).ok());
}

TEST_F(KeyFile, RefusedThroughALinkOrWhenNoFile) {
  const std::string link = directory_ + "/link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_FALSE(SigningKey::Load(link).ok());
  EXPECT_FALSE(SigningKey::Load(directory_).ok());
  EXPECT_EQ(SigningKey::Load(directory_ + "/absent").status().code(), absl::StatusCode::kNotFound);
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(SigningKey::Load(fifo).ok());
}

TEST_F(KeyFile, RefusedWhenTooLarge) {
  ASSERT_TRUE(RealDisk().WriteWhole(path_, std::string((64 << 10) + 1, 'x')).ok());
  EXPECT_EQ(ReadSecretFile(path_).status().code(), absl::StatusCode::kResourceExhausted);
}

template <typename T, typename = void>
struct Prints : std::false_type {};
template <typename T>
struct Prints<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};

TEST(SecretType, CannotBePrinted) {
  static_assert(Prints<std::string>::value);
  static_assert(!Prints<Secret>::value);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  Secret a(std::string("token"));
  Secret b = a;
  EXPECT_TRUE(a == b);
  Secret c = std::move(a);
  EXPECT_TRUE(c == b);
  EXPECT_TRUE(a.empty());  // NOLINT: moved from, and wiped
}

}  // namespace
}  // namespace quell::security
