// Evidence within its budget, and logs that somebody prepared.
#include "agent/actions/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

TEST(TailOfLog, GivesTheLastLines) {
  test::TempDir dir;
  std::string text;
  for (int i = 1; i <= 1000; ++i) absl::StrAppend(&text, "line ", i, "\n");
  const std::string path = dir.Write("out.log", text);
  EXPECT_EQ(*TailOfLog(path, 2, 1 << 20), "line 999\nline 1000\n");
  EXPECT_EQ(*TailOfLog(path, 5000, 1 << 20), text);
  EXPECT_EQ(*TailOfLog(path, 200, 12), "9\nline 1000\n");
  EXPECT_EQ(*TailOfLog(dir.Write("cut.log", "a\nb\nunfinished"), 2, 1 << 20), "b\nunfinished");
  EXPECT_EQ(*TailOfLog(dir.Write("empty.log", ""), 2, 1 << 20), "");
}

TEST(TailOfLog, X14_FollowsNoLinkAndWaitsForNoPipe) {
  test::TempDir dir;
  const std::string secret = dir.Write("secret", "password\n");
  ASSERT_EQ(symlink(secret.c_str(), dir.Path("link.log").c_str()), 0);
  EXPECT_FALSE(TailOfLog(dir.Path("link.log"), 200, 1 << 20).ok());
  ASSERT_EQ(mkfifo(dir.Path("pipe.log").c_str(), 0600), 0);
  EXPECT_THAT(std::string(TailOfLog(dir.Path("pipe.log"), 200, 1 << 20).status().message()),
              HasSubstr("no regular file"));
  EXPECT_FALSE(TailOfLog("/dev/null", 200, 1 << 20).ok());
  EXPECT_FALSE(TailOfLog("", 200, 1 << 20).ok());
}

TEST(EvidenceCollector, KeepsToItsBytesAndSaysWhatIsMissing) {
  FakeClock clock;
  v1::WorkerResult result;
  EvidenceCollector collector(clock, clock.Monotonic(), kSecond, 300, result);
  collector.Item("small", [] { return std::string("abc"); });
  collector.Item("large", [] { return std::string(1000, 'x') + "end"; });
  collector.Item("none", [] { return std::string("abc"); });
  collector.Item("failed", []() -> absl::StatusOr<std::string> { return absl::NotFoundError("not there"); });
  ASSERT_EQ(result.evidence_size(), 4);
  EXPECT_EQ(result.evidence(0).content(), "abc");
  EXPECT_TRUE(result.evidence(1).truncated());
  EXPECT_THAT(result.evidence(1).content(), testing::EndsWith("end"));
  EXPECT_EQ(result.evidence(2).missing(), "the budget of bytes was used up");
  EXPECT_EQ(result.evidence(3).missing(), "not there");
  EXPECT_LE(result.ByteSizeLong(), 500u);
}

TEST(EvidenceCollector, StopsWhenItsTimeIsUp) {
  FakeClock clock;
  v1::WorkerResult result;
  EvidenceCollector collector(clock, clock.Monotonic(), kSecond, 1 << 20, result);
  collector.Item("slow", [&] {
    clock.Advance(2 * kSecond);
    return std::string("late");
  });
  bool asked = false;
  collector.Item("next", [&] {
    asked = true;
    return std::string();
  });
  EXPECT_FALSE(asked);
  EXPECT_EQ(result.evidence(1).missing(), "the budget of time was used up");
}

TEST(CollectProcess, SaysWhyForAProcessThatIsGone) {
  FakeClock clock;
  v1::WorkerResult result;
  test::TempDir proc;
  EvidenceCollector collector(clock, clock.Monotonic(), kSecond, 1 << 20, result);
  CollectProcess(collector, proc.path(), 0, "");
  CollectProcess(collector, proc.path(), 4242, "/3");
  ASSERT_EQ(result.evidence_size(), 10);
  for (const v1::EvidenceItem& item : result.evidence()) EXPECT_NE(item.missing(), "") << item.name();
  EXPECT_EQ(result.evidence(9).name(), "kernel.stack/3");
}

}  // namespace
}  // namespace quell::agent
