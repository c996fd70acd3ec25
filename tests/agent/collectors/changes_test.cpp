// The collector of changes: on a recorded host that is copied and then changed, as deployments, people and
// apt change one; and what hostile names and sizes can't do.
#include "agent/collectors/changes/changes.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agent/collectors/changes/names.h"
#include "common/base/ids.h"
#include "common/base/utf8.h"
#include "common/metrics/metrics.h"
#include "common/wire/validate.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

using test::ReadFile;
using test::RecordingSink;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kOld[] = "1111111111111111111111111111111111111111";
constexpr char kNew[] = "2222222222222222222222222222222222222222";
constexpr char kEnv[] = "opt/boutique-client/app/.env.production";
const std::string kRecorded = std::string(QUELL_SOURCE_DIR) + "/tests/fixtures/changes-small";

std::string LabelOf(const v1::Event& event, std::string_view name) {
  for (const v1::Label& label : event.labels())
    if (label.name() == name) return label.value();
  return "";
}

// A recorded host in a directory of its own, and the agent that watches it.
class ChangesTest : public testing::Test {
 protected:
  ChangesTest() {
    std::filesystem::copy(
        kRecorded, root_.path(),
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    config_.releases = {{"/opt/boutique-client", "deploy", "boutique-client-portal", ""}};
    config_.git = {{"/srv/app", "", "", ""}};
    config_.files = {{"/opt/boutique-client/app/.env*", "", "", "portal"}};
    config_.packages = true;
    Commit("1970-01-01", kOld, "Nobody", "initial");
    Restart();
  }

  // The agent ends and comes back, with what it remembers on disk.
  void Restart() {
    collector_ = MakeChangesCollector(root_.path(), config_, RealDisk(), state_.Path("changes"));
  }
  absl::Status Look() { return collector_->Collect(clock_, sink_); }
  // What a look tells of, each event checked as the controller does.
  std::vector<v1::Event> Told() {
    const size_t before = sink_.Events().size();
    EXPECT_TRUE(Look().ok());
    std::vector<v1::Event> all = sink_.Events();
    std::vector<v1::Event> news(all.begin() + static_cast<ptrdiff_t>(before), all.end());
    for (v1::Event event : news) {
      event.set_seq(1);
      EXPECT_TRUE(wire::Validate(event).ok()) << wire::Validate(event) << event.DebugString();
      EXPECT_NE(FindMetric(event.kind()), nullptr) << event.kind();
      EXPECT_TRUE(event.ParseFromString(event.SerializeAsString())) << "its strings are UTF-8";
    }
    return news;
  }
  void Link(const std::string& release) {
    const std::string link = root_.Path("opt/boutique-client/current"), fresh = link + ".new";
    ASSERT_EQ(symlink(release.c_str(), fresh.c_str()), 0);
    ASSERT_EQ(rename(fresh.c_str(), link.c_str()), 0);
  }
  void Commit(const std::string& seconds, const std::string& commit, const std::string& who,
              const std::string& what) {
    root_.Write("srv/app/.git/HEAD", "ref: refs/heads/main\n");
    root_.Write("srv/app/.git/refs/heads/main", commit + "\n");
    const std::string log = ReadFile(root_.Path("srv/app/.git/logs/HEAD"));
    root_.Write("srv/app/.git/logs/HEAD", absl::StrCat(log, kOld, " ", commit, " ", who, " <x@example.com> ",
                                                       seconds, " +0000\t", what, "\n"));
  }
  void Log(const std::string& lines) {
    const std::string path = root_.Path("var/log/dpkg.log");
    root_.Write("var/log/dpkg.log", ReadFile(path) + lines);
  }
  std::string At(Micros wall, const std::string& what) {
    return absl::StrCat(
        absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(wall), absl::LocalTimeZone()), " ", what,
        "\n");
  }

  test::TempDir root_, state_;
  // The machine's own time: a link's ctime can't be set.
  FakeClock clock_{RealClock().Wall() + kSecond};
  ChangesConfig config_;
  RecordingSink sink_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(ChangesTest, WhatIsThereAtTheFirstLookIsNoChange) {
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, AReleaseIsToldWithWhatItLeadTo) {
  Told();
  Link("releases/1.8.2");
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind(), "change.release");
  EXPECT_EQ(LabelOf(told[0], "user"), "deploy");
  EXPECT_EQ(LabelOf(told[0], "app"), "boutique-client-portal");
  EXPECT_EQ(LabelOf(told[0], "from"), "1.8.1");
  EXPECT_EQ(LabelOf(told[0], "to"), "1.8.2");
  EXPECT_EQ(LabelOf(told[0], "author"), getuid() == 0 ? "root" : absl::StrCat("uid ", getuid()));
  EXPECT_EQ(told[0].text(), "boutique-client-portal 1.8.1 -> 1.8.2");
  struct stat st {};
  ASSERT_EQ(lstat(root_.Path("opt/boutique-client/current").c_str(), &st), 0);
  EXPECT_EQ(told[0].wall_us(), st.st_ctim.tv_sec * kSecond + st.st_ctim.tv_nsec / 1000);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, ALinkThatIsMadeAnewOrGoneForAMomentIsNoRelease) {
  Told();
  ASSERT_EQ(unlink(root_.Path("opt/boutique-client/current").c_str()), 0);
  EXPECT_THAT(Told(), IsEmpty());
  Link("releases/1.8.1");
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, AChangeWhileTheAgentWasAwayIsToldWhenItIsBack) {
  Told();
  collector_.reset();
  Link("releases/1.8.2");
  root_.Write(kEnv, "PORT=3001\n");
  Commit("1795000000", kNew, "Alice", "commit: faster");
  Restart();
  std::vector<std::string> kinds;
  for (const auto& event : Told()) kinds.push_back(event.kind());
  EXPECT_THAT(kinds, ElementsAre("change.release", "change.git", "change.config"));
  Restart();
  EXPECT_THAT(Told(), IsEmpty()) << "told once";
}

TEST_F(ChangesTest, ADamagedMemoryIsAFirstLook) {
  Told();
  collector_.reset();
  state_.Write("changes", "release\\q\tx\n\x01\xff\n\t\t\t\nfile a");
  Link("releases/1.8.2");
  Restart();
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, ACommitIsToldWithAuthorAndSummaryAndWithoutTheAddress) {
  Told();
  Commit("1795000000", kNew, "Alice Ex", "commit: Log in faster");
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind(), "change.git");
  EXPECT_EQ(LabelOf(told[0], "branch"), "main");
  EXPECT_EQ(LabelOf(told[0], "from"), "111111111111");
  EXPECT_EQ(LabelOf(told[0], "to"), "222222222222");
  EXPECT_EQ(LabelOf(told[0], "author"), "Alice Ex");
  EXPECT_THAT(told[0].text(), HasSubstr("commit: Log in faster"));
  EXPECT_THAT(told[0].DebugString(), testing::Not(HasSubstr("example.com")));
}

TEST_F(ChangesTest, ADetachedHeadAndPackedRefsAreRead) {
  Told();
  root_.Write("srv/app/.git/HEAD", std::string(kNew) + "\n");
  ASSERT_EQ(Told().size(), 1u);
  root_.Write("srv/app/.git/HEAD", "ref: refs/heads/packed\n");
  root_.Write("srv/app/.git/packed-refs",
              absl::StrCat("# pack-refs with: peeled fully-peeled sorted \n", kNew, " refs/heads/other\n",
                           kOld, " refs/heads/packed\n^", kNew, "\n"));
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(LabelOf(told[0], "to"), "111111111111");
  EXPECT_EQ(LabelOf(told[0], "branch"), "packed");
}

TEST_F(ChangesTest, X15_ARefThatLeadsElsewhereIsReadNowhere) {
  Told();
  root_.Write("secret", std::string(kNew) + "\n");
  for (const char* head : {"ref: ../../../secret\n", "ref: refs/../../../../secret\n", "ref: /etc/passwd\n",
                           "ref: refs/heads/\n", "ref: \n", "$(reboot)\n", "", "\xff\n"}) {
    root_.Write("srv/app/.git/HEAD", head);
    EXPECT_FALSE(Look().ok()) << head;
  }
  EXPECT_THAT(sink_.Events(), IsEmpty());
  root_.Write("srv/app/.git/HEAD", "ref: refs/heads/main\n");
  ASSERT_EQ(unlink(root_.Path("srv/app/.git/refs/heads/main").c_str()), 0);
  ASSERT_EQ(mkfifo(root_.Path("srv/app/.git/refs/heads/main").c_str(), 0600), 0);
  EXPECT_FALSE(Look().ok()) << "and it does not wait for a writer";
}

TEST_F(ChangesTest, AConfigurationFileIsToldByItsHashes) {
  Told();
  const std::string before = HexEncode(Sha256(ReadFile(root_.Path(kEnv))));
  root_.Write(kEnv, "DATABASE_URL=postgres://u:new-canary-5521@db/x\n");
  root_.Write("opt/boutique-client/app/.env.local", "A=1\n");
  root_.Write("opt/boutique-client/app/env", "not matched\n");
  const auto told = Told();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(LabelOf(told[0], "path"), "/opt/boutique-client/app/.env.local");
  EXPECT_EQ(LabelOf(told[0], "before"), "");
  EXPECT_EQ(LabelOf(told[1], "before"), before);
  EXPECT_EQ(LabelOf(told[1], "after"), HexEncode(Sha256(ReadFile(root_.Path(kEnv)))));
  EXPECT_EQ(LabelOf(told[1], "service"), "portal");
  ASSERT_EQ(unlink(root_.Path(kEnv).c_str()), 0);
  const auto gone = Told();
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_THAT(gone[0].text(), HasSubstr("gone"));
}

TEST_F(ChangesTest, X17_ContentIsNeitherToldNorRemembered) {
  Told();
  root_.Write(kEnv, "DATABASE_URL=postgres://u:new-canary-5521@db/x\n");
  std::string all = ReadFile(state_.Path("changes"));
  for (const auto& event : Told()) all += event.SerializeAsString();
  all += ReadFile(state_.Path("changes"));
  EXPECT_EQ(all.find("canary"), std::string::npos);
  EXPECT_THAT(all, HasSubstr(".env.production"));
}

TEST_F(ChangesTest, AFileThatIsWrittenWithTheSameContentIsNoChange) {
  Told();
  const std::string same = ReadFile(root_.Path(kEnv));
  root_.Write(kEnv, same);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, ALargeFileIsComparedByItsSizeAndTime) {
  root_.Write(kEnv, std::string((1 << 20) + 1, 'a'));
  Told();
  root_.Write(kEnv, std::string((1 << 20) + 2, 'a'));
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(LabelOf(told[0], "after"), "");
}

TEST_F(ChangesTest, X15_HostileNamesPassAsDataAndSizesAreBounded) {
  Told();
  const std::string hostile = "$(reboot)\n\xe2\x80\xae\xff; id\t`id`";
  Link("releases/" + hostile);
  Commit("99999999999999999999", kNew, hostile.substr(0, 9) + std::string(30'000, 'x'),
         std::string(20'000, '\xff'));
  root_.Write("opt/boutique-client/app/.env" + hostile, "x");
  const auto told = Told();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(LabelOf(told[0], "to"), MakeUtf8(hostile));
  EXPECT_LE(LabelOf(told[1], "author").size(), 500u);
  EXPECT_THAT(LabelOf(told[2], "path"), StartsWith("/opt/boutique-client/app/.env$(reboot)\n"));
  Restart();
  EXPECT_THAT(Told(), IsEmpty()) << "and is remembered as it is";
}

TEST_F(ChangesTest, X15_ManyFilesAndManyChangesAreBounded) {
  for (int i = 0; i < 40; ++i) root_.Write(absl::StrCat("opt/boutique-client/app/.env", i), "a");
  Told();
  for (int i = 0; i < 40; ++i) root_.Write(absl::StrCat("opt/boutique-client/app/.env", i), "bb");
  EXPECT_EQ(Told().size(), 30u);
  EXPECT_EQ(sink_.Values("changes")["quell_changes_dropped_total"], 10);
  clock_.Advance(kMinute);
  root_.Write(kEnv, "new minute");
  EXPECT_EQ(Told().size(), 1u);
  for (int i = 0; i < 300; ++i) root_.Write(absl::StrCat("opt/boutique-client/app/.env.many", i), "a");
  EXPECT_THAT(std::string(Look().message()), HasSubstr("too many files"));
  EXPECT_FALSE(FindNames(root_.path(), "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q").ok());
}

TEST_F(ChangesTest, PatternsMatchWithinOneComponent) {
  root_.Write("etc/app/a/x.conf", "");
  root_.Write("etc/app/b/y.conf", "");
  root_.Write("etc/app/b/.hidden.conf", "");
  root_.MakeDirectory("etc/app/c/z.conf");
  EXPECT_THAT(*FindNames(root_.path(), "/etc/app/*/*.conf"),
              ElementsAre("/etc/app/a/x.conf", "/etc/app/b/y.conf"));
  EXPECT_THAT(*FindNames(root_.path(), "/etc/*.conf"), IsEmpty());
  EXPECT_THAT(*FindNames(root_.path(), "/etc/app/[b-z]/y.conf"), ElementsAre("/etc/app/b/y.conf"));
}

TEST_F(ChangesTest, PackagesWithinAMinuteAreOneEvent) {
  Told();
  const Micros run = clock_.Wall() / kSecond * kSecond;
  std::string lines = At(run, "startup archives unpack");
  for (int i = 0; i < 7; ++i)
    lines += At(run + i * kSecond, absl::StrCat("upgrade lib", i, ":amd64 1.0 1.1")) +
             At(run + i * kSecond, absl::StrCat("status installed lib", i, ":amd64 1.1"));
  lines += At(run + 9 * kSecond, "install new:all <none> 2.0") +
           At(run + 9 * kSecond, "remove old:all 1.0 <none>");
  Log(lines);
  EXPECT_THAT(Told(), IsEmpty()) << "more may follow within the minute";
  clock_.Advance(kMinute);
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(LabelOf(told[0], "upgraded"), "7");
  EXPECT_EQ(LabelOf(told[0], "installed"), "1");
  EXPECT_EQ(LabelOf(told[0], "removed"), "1");
  EXPECT_THAT(LabelOf(told[0], "packages"), StartsWith("lib0:amd64 1.1, lib1"));
  EXPECT_THAT(told[0].text(), HasSubstr("and 4 more"));
  EXPECT_EQ(told[0].wall_us(), run);
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ChangesTest, TheLogOfPackagesIsFollowedOverRotationAndTruncation) {
  Told();
  Log(At(clock_.Wall(), "install before:all <none> 1"));
  const std::string log = root_.Path("var/log/dpkg.log");
  ASSERT_EQ(rename(log.c_str(), (log + ".1").c_str()), 0);
  EXPECT_THAT(Told(), IsEmpty()) << "there is none for a moment";
  root_.Write("var/log/dpkg.log", At(clock_.Wall(), "install after:all <none> 1"));
  clock_.Advance(2 * kMinute);
  auto told = Told();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_THAT(told[0].text(), HasSubstr("before:all"));
  EXPECT_THAT(told[1].text(), HasSubstr("after:all"));
  // Cut, and written again beyond where reading had come to.
  std::string again;
  for (int i = 0; i < 9; ++i) again += At(clock_.Wall(), absl::StrCat("install again", i, ":all <none> 1"));
  root_.Write("var/log/dpkg.log", again);
  clock_.Advance(2 * kMinute);
  told = Told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(LabelOf(told[0], "installed"), "9");
}

TEST_F(ChangesTest, X15_ALogOfPackagesThatIsNoneDoesNoHarm) {
  Told();
  Log(std::string(3 << 20, 'x'));
  for (int i = 0; i < 4; ++i) EXPECT_THAT(Told(), IsEmpty());
  Log("\n9999-99-99 99:99:99 install a b c\n" + At(clock_.Wall() + kDay, "install ahead:all <none> 1"));
  EXPECT_EQ(Told().size(), 1u) << "a time that is yet to come is not waited for";
}

TEST_F(ChangesTest, OnePlaceThatCantBeLookedAtHidesNoOther) {
  config_.releases.push_back({"/opt/nowhere/file", "deploy", "other", ""});
  root_.Write("opt/nowhere/file/current", "not a link");
  Restart();
  EXPECT_FALSE(Look().ok());
  root_.Write(kEnv, "changed");
  EXPECT_THAT(std::string(Look().message()), HasSubstr("is not a link"));
  ASSERT_EQ(sink_.Events().size(), 1u);
}

}  // namespace
}  // namespace quell::agent
