#include "common/base/disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "common/base/file.h"

namespace quell {
namespace {

class RealDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/quell-disk-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  static mode_t Mode(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? s.st_mode & 07777 : 0;
  }

  std::string directory_;
};

TEST_F(RealDiskTest, AppendsAndReadsBack) {
  {
    auto file = RealDisk().OpenAppend(Path("journal"));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append("one").ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  auto again = RealDisk().OpenAppend(Path("journal"));
  ASSERT_TRUE(again.ok());
  ASSERT_TRUE((*again)->Append("two").ok());
  EXPECT_EQ(*(*again)->Size(), 6u);
  EXPECT_EQ(*RealDisk().Read(Path("journal"), 6), "onetwo");
  EXPECT_EQ(Mode(Path("journal")), 0600u);
}

TEST_F(RealDiskTest, ReadSaysWhatIsWrong) {
  EXPECT_EQ(RealDisk().Read(Path("none"), 10).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(RealDisk().WriteWhole(Path("big"), "12345").ok());
  EXPECT_EQ(RealDisk().Read(Path("big"), 4).status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(RealDisk().Read(Path("pipe"), 4).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(RealDisk().Read(directory_, 4).ok());
}

TEST_F(RealDiskTest, WriteWholeReplacesAndLeavesNothingBehind) {
  ASSERT_TRUE(RealDisk().WriteWhole(Path("a"), "old").ok());
  ASSERT_TRUE(RealDisk().WriteWhole(Path("a"), "new").ok());
  EXPECT_EQ(*RealDisk().Read(Path("a"), 10), "new");
  EXPECT_EQ(Mode(Path("a")), 0600u);
  EXPECT_EQ(*RealDisk().List(directory_), std::vector<std::string>{"a"});
  EXPECT_FALSE(RealDisk().WriteWhole(Path("no/such/directory"), "x").ok());
}

TEST_F(RealDiskTest, TruncatesRenamesRemoves) {
  ASSERT_TRUE(RealDisk().WriteWhole(Path("a"), "12345").ok());
  ASSERT_TRUE(RealDisk().Truncate(Path("a"), 2).ok());
  ASSERT_TRUE(RealDisk().Rename(Path("a"), Path("b")).ok());
  EXPECT_FALSE(RealDisk().Exists(Path("a")));
  EXPECT_EQ(*RealDisk().Read(Path("b"), 10), "12");
  EXPECT_TRUE(RealDisk().Remove(Path("b")).ok());
  EXPECT_TRUE(RealDisk().Remove(Path("b")).ok());
  EXPECT_FALSE(RealDisk().Exists(Path("b")));
}

// What another user of the host could put in a file's place.
TEST_F(RealDiskTest, X14_ALinkInTheJournalsPlaceIsRefused) {
  ASSERT_TRUE(RealDisk().WriteWhole(Path("target"), "keep").ok());
  ASSERT_EQ(symlink(Path("target").c_str(), Path("journal").c_str()), 0);
  EXPECT_FALSE(RealDisk().OpenAppend(Path("journal")).ok());
  EXPECT_FALSE(RealDisk().Truncate(Path("journal"), 0).ok());
  ASSERT_TRUE(RealDisk().WriteWhole(Path("journal"), "mine").ok());
  EXPECT_EQ(*RealDisk().Read(Path("target"), 10), "keep");
}

TEST_F(RealDiskTest, X14_ATrustedFileIsCheckedOnWhatIsRead) {
  ASSERT_TRUE(RealDisk().WriteWhole(Path("key"), "secret").ok());
  const FileTrust mine{.owner = geteuid(), .others_may_read = false};
  EXPECT_EQ(*ReadTrustedFile(Path("key"), mine), "secret");

  ASSERT_EQ(chmod(Path("key").c_str(), 0640), 0);
  EXPECT_EQ(ReadTrustedFile(Path("key"), mine).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(ReadTrustedFile(Path("key"), {.owner = geteuid()}).ok());
  ASSERT_EQ(chmod(Path("key").c_str(), 0620), 0);
  EXPECT_EQ(ReadTrustedFile(Path("key"), {.owner = geteuid()}).status().code(),
            absl::StatusCode::kPermissionDenied);

  ASSERT_EQ(chmod(Path("key").c_str(), 0600), 0);
  ASSERT_EQ(symlink(Path("key").c_str(), Path("link").c_str()), 0);
  EXPECT_EQ(ReadTrustedFile(Path("link"), mine).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReadTrustedFile(directory_, mine).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReadTrustedFile(Path("none"), mine).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadTrustedFile(Path("key"), {.owner = geteuid(), .limit = 5}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(MemoryDiskTest, ACrashDropsWhatWasNotSynced) {
  MemoryDisk disk;
  auto file = disk.OpenAppend("/j");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("synced").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  ASSERT_TRUE((*file)->Append("lost").ok());
  EXPECT_EQ(*disk.Read("/j", 100), "syncedlost");
  disk.Crash();
  EXPECT_EQ(*disk.Read("/j", 100), "synced");
  EXPECT_FALSE((*file)->Append("from the grave").ok());
}

TEST(MemoryDiskTest, ACrashCanLeaveATornTail) {
  MemoryDisk disk;
  auto file = disk.OpenAppend("/j");
  ASSERT_TRUE((*file)->Append("abc").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  ASSERT_TRUE((*file)->Append("defgh").ok());
  disk.Crash(2);
  EXPECT_EQ(*disk.Read("/j", 100), "abcde");
}

TEST(MemoryDiskTest, WholeFilesAndRenamesSurvive) {
  MemoryDisk disk;
  ASSERT_TRUE(disk.WriteWhole("/d/a", "whole").ok());
  ASSERT_TRUE(disk.Rename("/d/a", "/d/b").ok());
  disk.Crash();
  EXPECT_EQ(*disk.Read("/d/b", 100), "whole");
  EXPECT_FALSE(disk.Exists("/d/a"));
  EXPECT_EQ(*disk.List("/d"), std::vector<std::string>{"b"});
}

TEST(MemoryDiskTest, AHandleFollowsItsFileNotItsName) {
  MemoryDisk disk;
  auto file = disk.OpenAppend("/j");
  ASSERT_TRUE((*file)->Append("old").ok());
  ASSERT_TRUE(disk.WriteWhole("/new", "new").ok());
  ASSERT_TRUE(disk.Rename("/new", "/j").ok());
  ASSERT_TRUE((*file)->Append("more").ok());
  EXPECT_EQ(*disk.Read("/j", 100), "new");
}

TEST(MemoryDiskTest, FaultsAreTheAnswerOfTheirOperation) {
  MemoryDisk disk;
  disk.set_fault([](uint64_t n, std::string_view, std::string_view) {
    return n == 3 ? absl::DataLossError("planted") : absl::OkStatus();
  });
  auto file = disk.OpenAppend("/j");
  ASSERT_TRUE((*file)->Append("a").ok());
  EXPECT_EQ((*file)->Sync().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(disk.operations(), 4u);
}

}  // namespace
}  // namespace quell
