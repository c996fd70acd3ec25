#include "common/base/ids.h"

#include <gtest/gtest.h>

namespace quell {
namespace {

TEST(IdsTest, UuidsAreVersion4AndDiffer) {
  const std::string a = RandomUuid();
  EXPECT_TRUE(IsUuid(a)) << a;
  EXPECT_EQ(a[14], '4');
  EXPECT_NE(std::string("89ab").find(a[19]), std::string::npos);
  EXPECT_NE(a, RandomUuid());
}

TEST(IdsTest, NamesAreMatchedInFull) {
  EXPECT_TRUE(IsHostName("web-1.example"));
  EXPECT_TRUE(IsPersonName("alice-2"));
  for (const std::string_view bad : {"", "-a", ".a", "Web", "a b", "a/b", "a\n", "a_b"}) {
    EXPECT_FALSE(IsHostName(bad)) << bad;
  }
  EXPECT_TRUE(IsHostName(std::string(63, 'a')));
  EXPECT_FALSE(IsHostName(std::string(64, 'a')));
  EXPECT_FALSE(IsPersonName("alice\n"));
  EXPECT_FALSE(IsPersonName("a.b"));
  EXPECT_FALSE(IsUuid("123e4567-e89b-42d3-a456-42661417400"));
  EXPECT_FALSE(IsUuid("123E4567-e89b-42d3-a456-426614174000"));
  EXPECT_TRUE(IsUuid("123e4567-e89b-42d3-a456-426614174000"));
}

TEST(IdsTest, HexReadsBack) {
  const std::string bytes("\x00\x7f\xff", 3);
  EXPECT_EQ(HexEncode(bytes), "007fff");
  EXPECT_EQ(*HexDecode("007FfF"), bytes);
  EXPECT_FALSE(HexDecode("0").ok());
  EXPECT_FALSE(HexDecode("0g").ok());
}

TEST(IdsTest, DigestsMatchTheirStandards) {
  // FIPS 180-2 B.1; RFC 3720 B.4 (32 bytes of zeros and of ones, ascending) and the usual check value.
  EXPECT_EQ(HexEncode(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

}  // namespace
}  // namespace quell
