#include "common/config/secret.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <type_traits>

#include "common/base/disk.h"
#include "common/security/secret.h"

namespace quell::config {
namespace {

class SecretTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/quell-secret-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern + "/token";
  }
  void TearDown() override { std::filesystem::remove_all(std::filesystem::path(path_).parent_path()); }
  absl::Status Read(std::string_view content) {
    EXPECT_TRUE(RealDisk().WriteWhole(path_, content).ok());
    return ReadSecretFile(path_).status();
  }
  std::string path_;
};

static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
static_assert(std::is_same_v<Secret, security::Secret>, "one class, so that every secret is wiped");

TEST_F(SecretTest, IsOneLine) {
  ASSERT_TRUE(Read("hunter2\n").ok());
  EXPECT_EQ(ReadSecretFile(path_)->Reveal(), "hunter2");
  EXPECT_TRUE(Read("hunter2").ok());
  EXPECT_FALSE(Read("").ok());
  EXPECT_FALSE(Read("\n").ok());
  EXPECT_FALSE(Read("a\nb\n").ok());
  EXPECT_FALSE(Read(std::string_view("a\0b", 3)).ok());
  EXPECT_FALSE(Read(std::string(70'000, 'a')).ok());
}

TEST_F(SecretTest, X14_IsRefusedWhenOthersCanReadIt) {
  ASSERT_TRUE(Read("hunter2\n").ok());
  for (const mode_t mode : {0644, 0640, 0604, 0660}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status status = ReadSecretFile(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << std::oct << mode;
    EXPECT_EQ(status.ToString().find("hunter2"), std::string::npos);
  }
}

}  // namespace
}  // namespace quell::config
