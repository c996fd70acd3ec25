// release.rollback on disk: which release is chosen, what makes one untrusted, how the link is changed. No
// app.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "agent/actions/release_choice.h"
#include "agent/actions/release_place.h"
#include "agent/actions/release_rollback.h"
#include "agent/actions/release_tree.h"
#include "common/base/ids.h"
#include "tests/agent/actions/release_scene.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

v1::ReleasePlace Recorded(const std::vector<std::string>& names, bool by_person = false) {
  v1::ReleasePlace place;
  place.set_path("/opt/portal");
  place.set_by_person(by_person);
  int64_t at = 1'000'000'000;
  for (const std::string& name : names) {
    v1::Release& release = *place.add_recorded();
    release.set_name(name);
    release.set_recorded_us(at += 60 * kSecond);
  }
  return place;
}

TEST(ChooseRelease, GoesBackOneRecordedReleaseWithoutAPerson) {
  const v1::ReleasePlace place = Recorded({"1.8.0", "1.8.1", "1.8.2"});
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "").to.name(), "1.8.1");
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "previous").to.name(), "1.8.1");
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "1.8.1").to.name(), "1.8.1");
  EXPECT_EQ(ChooseRelease(place, "1.8.3", "previous").to.name(), "1.8.2");  // current is not recorded yet
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "1.8.0").reason, HasSubstr("needs a person"));
  EXPECT_THAT(ChooseRelease(place, "1.8.1", "1.8.2").reason, HasSubstr("needs a person"));
  EXPECT_THAT(ChooseRelease(place, "1.8.0", "previous").reason, HasSubstr("no release before 1.8.0"));
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "1.7.0").reason, HasSubstr("no release called 1.7.0"));
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "1.8.2").reason, HasSubstr("current release already"));
  EXPECT_THAT(ChooseRelease(Recorded({}), "1.8.2", "").reason, HasSubstr("no release before"));
}

TEST(ChooseRelease, NoNewerOneIsBeforeAReleaseThatIsCurrentAgain) {
  v1::ReleasePlace place = Recorded({"1.8.1", "1.8.2"});
  place.mutable_recorded()->SwapElements(0, 1);  // 1.8.1 is current again
  EXPECT_EQ(ChooseRelease(place, "1.8.3", "").to.name(), "1.8.1");
  EXPECT_THAT(ChooseRelease(place, "1.8.1", "previous").reason, HasSubstr("no release before 1.8.1"));
}

TEST(ChooseRelease, APersonNamesAnyRecordedOneOrATimeButNeverWhatIsListedUnderNever) {
  v1::ReleasePlace place = Recorded({"1.8.0", "1.8.1", "1.8.2"}, true);
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "1.8.0").to.name(), "1.8.0");
  EXPECT_EQ(ChooseRelease(place, "1.8.0", "1.8.2").to.name(), "1.8.2");
  // Recorded at 00:17:40, 00:18:40 and 00:19:40.
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "1970-01-01T00:19:00Z").to.name(), "1.8.1");
  EXPECT_EQ(ChooseRelease(place, "1.8.2", "1970-01-01T01:18:00+01:00").to.name(), "1.8.0");
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "1970-01-01T00:00:00Z").reason,
              HasSubstr("no release had been recorded"));
  place.add_never("1.8.1");
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "1.8.1").reason, HasSubstr("listed under `never`"));
  EXPECT_THAT(ChooseRelease(place, "1.8.2", "previous").reason, HasSubstr("listed under `never`"));
}

// A host's owner names its releases: what is opaque is carried as it is, what would deceive a reader is no
// name.
TEST(ReleaseNames, X15_AreOpaqueOrRefused) {
  for (const std::string& name :
       {std::string("; id"), std::string("$(touch x)"), std::string("-rf"), std::string("工作-é"),
        std::string("\"}],\"x\":[{"), std::string(255, 'n')}) {
    EXPECT_TRUE(IsReleaseName(name)) << name;
    ReleaseScene scene;
    scene.Add(name);
    scene.Add("new");
    scene.Record(name);
    scene.Record("new");
    const v1::WorkerResult run = MakeReleaseRollback()->Run(scene.Request("previous"), RealClock());
    EXPECT_TRUE(run.ok()) << run.reason();
    EXPECT_EQ(scene.Current(), "releases/" + name);
  }
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string(".hidden"),
                                  std::string("a/b"), std::string("a\nb"), std::string("\x1b[2J"),
                                  std::string("1\u202e2"), std::string("\xff"), std::string(256, 'n')}) {
    EXPECT_FALSE(IsReleaseName(name)) << name;
  }
  ReleaseScene scene;
  scene.Add("a\nb");
  scene.Point("releases/a\nb");
  v1::WorkerRequest request = scene.Request("");
  request.mutable_to()->set_name("a\nb");
  const v1::WorkerResult result = RecordRelease(request, RealClock());
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(result.reason(), HasSubstr("no release right below"));
}

class OnDisk : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* release : {"1.8.0", "1.8.1", "1.8.2"}) {
      scene_.Add(release);
      scene_.Record(release);
    }
  }
  v1::WorkerResult Check(const std::string& to = "previous") {
    return action_->Check(scene_.Request(to), RealClock());
  }
  // Refused by check and effect alike, and nothing changed.
  void ExpectRefused(const std::string& why) {
    const std::string before = scene_.Current();
    const v1::WorkerResult check = Check();
    EXPECT_EQ(check.refusal(), v1::REFUSAL_CHECK);
    EXPECT_THAT(check.reason(), HasSubstr(why));
    const v1::WorkerResult run = action_->Run(scene_.Request("previous"), RealClock());
    EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
    EXPECT_THAT(run.reason(), HasSubstr(why));
    EXPECT_EQ(scene_.Current(), before);
  }
  std::string Of(const std::string& file) { return scene_.PathOf("1.8.1") + "/" + file; }

  ReleaseScene scene_;
  std::unique_ptr<Action> action_ = MakeReleaseRollback();
};

TEST_F(OnDisk, LetsCurrentLeadToThePreviousReleaseAndBack) {
  const v1::WorkerResult check = Check();
  ASSERT_TRUE(check.ok()) << check.reason();
  EXPECT_EQ(check.reason(), "current would lead from 1.8.2 to 1.8.1");
  EXPECT_EQ(check.release().from().tree_sha256(), scene_.place().recorded(2).tree_sha256());
  EXPECT_EQ(check.release().to().tree_sha256(), scene_.place().recorded(1).tree_sha256());
  const v1::WorkerResult run = action_->Run(scene_.Request("previous"), RealClock());
  ASSERT_TRUE(run.ok()) << run.reason();
  EXPECT_THAT(run.reason(), StartsWith("1.8.2 -> 1.8.1 (hash "));
  EXPECT_EQ(scene_.Current(), "releases/1.8.1");
  ASSERT_TRUE(action_->Run(scene_.Request("1.8.2", true), RealClock()).ok());
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
}

TEST_F(OnDisk, SpellsTheLinkAsItWasSpelt) {
  scene_.Point(scene_.PathOf("1.8.2") + "/");
  ASSERT_TRUE(action_->Run(scene_.Request("previous"), RealClock()).ok());
  EXPECT_EQ(scene_.Current(), scene_.PathOf("1.8.1"));
}

TEST_F(OnDisk, HashesAReleaseThatIsLeftBeforeItWasRecorded) {
  scene_.Add("1.8.3");
  scene_.PointTo("1.8.3");
  const v1::WorkerResult check = Check();
  ASSERT_TRUE(check.ok()) << check.reason();
  EXPECT_EQ(check.release().from().name(), "1.8.3");
  EXPECT_EQ(check.release().from().tree_sha256().size(), 32u);
  EXPECT_EQ(check.release().to().name(), "1.8.2");
}

TEST_F(OnDisk, X18_ATamperedReleaseIsRefused) {
  test::WriteTree(scene_.PathOf("1.8.1"), {{"server.js", "require('child_process')"}});
  ExpectRefused("release 1.8.1 is not what ran on this host: 3 files of ");
  ExpectRefused("changed since, the first: ");
}

TEST_F(OnDisk, X18_AFileAddedOrTakenAwayIsRefused) {
  test::WriteTree(scene_.PathOf("1.8.1"), {{"lib/more.js", ""}});
  ExpectRefused("are there; 2 changed since, the first: lib");
  ASSERT_EQ(unlink(Of("lib/more.js").c_str()), 0);
  EXPECT_TRUE(Check().ok());
  ASSERT_EQ(unlink(Of("lib/util.js").c_str()), 0);
  ExpectRefused("3 files of");
}

TEST_F(OnDisk, X18_AHalfCopiedReleaseIsRefused) {
  ASSERT_EQ(truncate(Of("server.js").c_str(), 10), 0);
  ExpectRefused("is not what ran on this host");
  ASSERT_EQ(rename(Of("lib").c_str(), (scene_.path() + "/lib").c_str()), 0);
  ExpectRefused("is not what ran on this host");
  ASSERT_EQ(rename(scene_.PathOf("1.8.1").c_str(), (scene_.path() + "/gone").c_str()), 0);
  ExpectRefused("No such file");
}

TEST_F(OnDisk, X18_ModesAndOwnersAreLookedAt) {
  ASSERT_EQ(chmod(Of("server.js").c_str(), 0755), 0);
  ExpectRefused("is not what ran on this host");
  ASSERT_EQ(chmod(Of("server.js").c_str(), 0666), 0);
  ExpectRefused("server.js may be written by everybody");
  ASSERT_EQ(chmod(Of("server.js").c_str(), 0644), 0);
  EXPECT_TRUE(Check().ok());
  ASSERT_EQ(chmod(scene_.PathOf("1.8.1").c_str(), 0777), 0);
  ExpectRefused("can be written by others");
  ASSERT_EQ(chmod(scene_.PathOf("1.8.1").c_str(), 0755), 0);
  if (geteuid() != 0) return;
  ASSERT_EQ(lchown(Of("server.js").c_str(), 65534, 65534), 0);
  ExpectRefused("server.js belongs to uid 65534");
  ASSERT_EQ(lchown(Of("server.js").c_str(), 0, 0), 0);
  ASSERT_EQ(lchown(scene_.path().c_str(), 65534, 65534), 0);
  ExpectRefused("belongs to uid 65534");
}

TEST_F(OnDisk, X18_LinksOutOfTheTreeAreNeverFollowed) {
  const std::string outside = scene_.directory().Write("outside.js", "elsewhere");
  ASSERT_EQ(unlink(Of("server.js").c_str()), 0);
  ASSERT_EQ(symlink(outside.c_str(), Of("server.js").c_str()), 0);
  ExpectRefused("is not what ran on this host");
  // One that was recorded as a link is the same link as long as its target's name is.
  scene_.Add("2.0.0");
  ASSERT_EQ(symlink("../../../outside.js", (scene_.PathOf("2.0.0") + "/shared").c_str()), 0);
  scene_.Record("2.0.0");
  scene_.Add("2.0.1");
  scene_.PointTo("2.0.1");
  EXPECT_TRUE(Check().ok());
  scene_.directory().Write("outside.js", "another content");
  EXPECT_TRUE(Check().ok());
  ASSERT_EQ(unlink((scene_.PathOf("2.0.0") + "/shared").c_str()), 0);
  ASSERT_EQ(symlink("../../../../outside.js", (scene_.PathOf("2.0.0") + "/shared").c_str()), 0);
  ExpectRefused("release 2.0.0 is not what ran");
}

TEST_F(OnDisk, X18_AReleaseThatIsALinkOrNoDirectoryIsRefused) {
  ASSERT_EQ(rename(scene_.PathOf("1.8.1").c_str(), (scene_.path() + "/aside").c_str()), 0);
  ASSERT_EQ(symlink("../aside", scene_.PathOf("1.8.1").c_str()), 0);
  ExpectRefused("1.8.1 is a link or no directory");
  ASSERT_EQ(unlink(scene_.PathOf("1.8.1").c_str()), 0);
  ASSERT_EQ(symlink("1.8.1", scene_.PathOf("1.8.1").c_str()), 0);  // a loop
  ExpectRefused("is a link or no directory");
  ASSERT_EQ(unlink(scene_.PathOf("1.8.1").c_str()), 0);
  ASSERT_EQ(mkfifo(scene_.PathOf("1.8.1").c_str(), 0600), 0);
  ExpectRefused("is a link or no directory");
}

TEST_F(OnDisk, X18_CurrentMustLeadRightBelowReleases) {
  for (const char* link : {"/etc", "releases/../../etc", "releases/1.8.2/lib", "current", "..", "releases/",
                           "releases/..", "other/releases/1.8.2", "releases//1.8.2"}) {
    scene_.Point(link);
    ExpectRefused("which is no release right below");
  }
  ASSERT_EQ(unlink((scene_.path() + "/current").c_str()), 0);
  ExpectRefused("current: No such file");
  scene_.directory().MakeDirectory("portal/current");
  const v1::WorkerResult check = Check();
  EXPECT_EQ(check.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(check.reason(), HasSubstr("current is no link"));
}

TEST_F(OnDisk, X18_ALinkSwappedBetweenCheckAndEffectIsRefused) {
  const v1::WorkerResult check = Check();
  ASSERT_TRUE(check.ok());
  v1::WorkerRequest request = scene_.Request("previous");
  request.mutable_action()->mutable_release_rollback()->set_expect_current(check.release().from().name());
  *request.mutable_to() = check.release().to();
  scene_.PointTo("1.8.1");
  const v1::WorkerResult run = action_->Run(request, RealClock());
  EXPECT_EQ(run.refusal(), v1::REFUSAL_CHECK);
  EXPECT_THAT(run.reason(), HasSubstr("another release than the evidence: current is 1.8.1, was 1.8.2"));
  EXPECT_EQ(scene_.Current(), "releases/1.8.1");
  // And one swapped at the last moment: the rename finds it out.
  auto place = ReleaseDirectory::Open(scene_.path(), geteuid());
  ASSERT_TRUE(place.ok());
  const auto was = place->Current();
  ASSERT_TRUE(was.ok());
  scene_.PointTo("1.8.2");
  EXPECT_TRUE(absl::IsAborted(place->PointCurrentTo(*was, "1.8.0")));
  EXPECT_EQ(scene_.Current(), "releases/1.8.2");
}

TEST_F(OnDisk, X18_NoPartOfThePathMayBeALinkOrAnothersToWrite) {
  const std::string alias = scene_.directory().Path("alias");
  ASSERT_EQ(symlink("portal", alias.c_str()), 0);
  scene_.place().set_path(alias);
  ExpectRefused("is a link or no directory");
  scene_.place().set_path("relative");
  ExpectRefused("is no absolute path");
  scene_.place().set_path(scene_.path() + "/../portal");
  ExpectRefused("holds ..");
  scene_.place().set_path(scene_.path());
  ASSERT_EQ(chmod(scene_.path().c_str(), 0777), 0);
  ExpectRefused("can be written by others");
}

TEST_F(OnDisk, AReleaseRecordedAtAnotherPathIsRefused) {
  scene_.place().mutable_recorded(1)->set_path("/opt/elsewhere/releases/1.8.1");
  ExpectRefused("was recorded at another path");
}

TEST_F(OnDisk, ALinkThatAnEarlierTryLeftIsNoObstacle) {
  ASSERT_EQ(symlink("releases/0", (scene_.path() + "/.current.quell").c_str()), 0);
  EXPECT_TRUE(action_->Run(scene_.Request("previous"), RealClock()).ok());
  EXPECT_EQ(scene_.Current(), "releases/1.8.1");
  EXPECT_NE(access((scene_.path() + "/.current.quell").c_str(), F_OK), 0);
}

TEST(HashTree, KeepsToItsBounds) {
  test::TempDir dir;
  test::WriteTree(dir.path(), {{"a", "12345"}, {"b/c/d", "1"}, {"b/e", ""}});
  UniqueFd fd(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY));
  TreeBounds bounds;
  bounds.deadline = RealClock().Monotonic() + 10 * kSecond;
  const auto tree = HashTree(fd.get(), geteuid(), bounds, RealClock().Wall(), RealClock());
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->files, 3u);
  EXPECT_EQ(tree->bytes, 6);
  EXPECT_EQ(tree->changed, 0u);
  const auto refused = [&](TreeBounds narrow) {
    return std::string(HashTree(fd.get(), geteuid(), narrow, 0, RealClock()).status().message());
  };
  TreeBounds narrow = bounds;
  narrow.entries = 4;
  EXPECT_THAT(refused(narrow), HasSubstr("more than 4 entries"));
  narrow = bounds;
  narrow.bytes = 5;
  EXPECT_THAT(refused(narrow), HasSubstr("more than 5 bytes"));
  narrow = bounds;
  narrow.depth = 2;
  EXPECT_THAT(refused(narrow), HasSubstr("lies deeper than 2 directories"));
  narrow = bounds;
  narrow.deadline = 0;
  EXPECT_THAT(refused(narrow), HasSubstr("took too long"));
  ASSERT_EQ(mkfifo(dir.Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(refused(bounds), HasSubstr("pipe is neither file, directory nor link"));
}

// The order of the walk and the format are what recorded hashes rest on.
TEST(HashTree, IsTheHashThatItsHeaderDescribes) {
  test::TempDir dir;
  test::WriteTree(dir.path(), {{"b", "x"}, {"a.d/c", ""}});
  ASSERT_EQ(symlink("b", dir.Path("a").c_str()), 0);
  const std::string zero8(8, '\0');
  const auto number = [](uint64_t n, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(n >> (8 * i) & 0xff));
    return text;
  };
  const std::string all = "l" + number(1, 4) + "a" + number(1, 8) + "b" +      //
                          "d" + number(3, 4) + "a.d" + zero8 +                 //
                          "f" + number(5, 4) + "a.d/c" + zero8 + Sha256("") +  //
                          "f" + number(1, 4) + "b" + number(1, 8) + Sha256("x");
  UniqueFd fd(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY));
  TreeBounds bounds;
  bounds.deadline = RealClock().Monotonic() + 10 * kSecond;
  EXPECT_EQ(HashTree(fd.get(), geteuid(), bounds, 0, RealClock())->sha256, Sha256(all));
}

TEST(InRelease, ReplacesTheReleaseInAPath) {
  ReleaseScene scene;
  scene.Add("1");
  scene.PointTo("1");
  const auto place = ReleaseDirectory::Open(scene.path(), geteuid());
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(InRelease(scene.PathOf("9") + "/dist/a.js", *place, "1"), scene.PathOf("1") + "/dist/a.js");
  EXPECT_EQ(InRelease(scene.path() + "/current", *place, "1"), scene.PathOf("1"));
  EXPECT_EQ(InRelease(scene.path() + "/current/a", *place, "1"), scene.PathOf("1") + "/a");
  for (const std::string& path :
       {scene.path(), scene.path() + "/currently/a", scene.path() + "/releases/",
        scene.path() + "/releases//a", std::string("/usr/bin/npm"), std::string()}) {
    EXPECT_EQ(InRelease(path, *place, "1"), "") << path;
  }
}

}  // namespace
}  // namespace quell::agent
