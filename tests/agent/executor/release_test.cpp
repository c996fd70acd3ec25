// The book of releases, who keeps it, and what the executor lets a rollback do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "agent/executor/release_book.h"
#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const DeploymentKey kKey{"deploy", "portal", "/opt/portal"};

v1::Release Made(const std::string& name, char hash = 'h', const std::string& path = "/opt/portal") {
  v1::Release release;
  release.set_name(name);
  release.set_path(path + "/releases/" + name);
  release.set_tree_sha256(std::string(32, hash));
  release.set_recorded_us(1'795'000'000 * kSecond);
  release.set_files(3);
  return release;
}

std::vector<std::string> Names(const ReleaseBook& book) {
  std::vector<std::string> names;
  const v1::DeploymentReleases* entry = book.Find(kKey);
  if (entry == nullptr) return names;
  for (const v1::Release& release : entry->releases()) names.push_back(release.name());
  return names;
}

void Note(ReleaseBook& book, const std::string& name, char hash = 'h') {
  const v1::Release release = Made(name, hash);
  ASSERT_TRUE(book.NoteCurrent(kKey, name, &release).ok());
}

TEST(ReleaseBook, KeepsReleasesInTheOrderTheyBecameCurrentOverRestarts) {
  MemoryDisk disk;
  ReleaseBook book(disk, "/state/releases");
  ASSERT_TRUE(book.Open().ok());
  EXPECT_EQ(book.Find(kKey), nullptr);
  for (const char* name : {"1.8.0", "1.8.1", "1.8.2"}) Note(book, name);
  Note(book, "1.8.2");
  EXPECT_THAT(Names(book), ElementsAre("1.8.0", "1.8.1", "1.8.2"));
  // Back to 1.8.1: its place is kept. The next release follows the one that was current before it.
  ASSERT_TRUE(book.NoteCurrent(kKey, "1.8.1", nullptr).ok());
  EXPECT_THAT(Names(book), ElementsAre("1.8.0", "1.8.1", "1.8.2"));
  Note(book, "1.8.3");
  EXPECT_THAT(Names(book), ElementsAre("1.8.0", "1.8.2", "1.8.1", "1.8.3"));
  // Built anew under its old name: another release.
  Note(book, "1.8.0", 'x');
  EXPECT_THAT(Names(book), ElementsAre("1.8.2", "1.8.1", "1.8.3", "1.8.0"));
  disk.Crash();
  ReleaseBook again(disk, "/state/releases");
  ASSERT_TRUE(again.Open().ok());
  EXPECT_EQ(Names(again), Names(book));
  EXPECT_EQ(again.Find(kKey)->current(), "1.8.0");
  EXPECT_EQ(again.Find({"deploy", "portal", "/srv/portal"}), nullptr);
  EXPECT_EQ(again.Find({"other", "portal", "/opt/portal"}), nullptr);
}

TEST(ReleaseBook, KeepsTheLastTwentyAndForgetsWhatLayAtAnotherPath) {
  MemoryDisk disk;
  ReleaseBook book(disk, "/state/releases");
  ASSERT_TRUE(book.Open().ok());
  for (int i = 0; i < 30; ++i) Note(book, absl::StrCat("r", i));
  EXPECT_EQ(Names(book).size(), 20u);
  EXPECT_EQ(Names(book).front(), "r10");
  const v1::Release elsewhere = Made("1", 'h', "/srv/portal");
  ASSERT_TRUE(book.NoteCurrent({"deploy", "portal", "/srv/portal"}, "1", &elsewhere).ok());
  EXPECT_EQ(book.Find(kKey), nullptr);
  for (int i = 0; i < 63; ++i) ASSERT_TRUE(book.NoteCurrent({"u", absl::StrCat(i), "/p"}, "1", nullptr).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(book.NoteCurrent({"u", "one too many", "/p"}, "1", nullptr)));
}

TEST(ReleaseBook, DamageIsToldAndNeverOverwritten) {
  MemoryDisk disk;
  {
    ReleaseBook book(disk, "/state/releases");
    ASSERT_TRUE(book.Open().ok());
    Note(book, "1.8.1");
  }
  const std::string whole = *disk.Read("/state/releases", 1 << 20);
  for (const std::string& bad : {whole.substr(0, whole.size() - 1), std::string("nonsense"), std::string(),
                                 whole.substr(0, 20) + "X" + whole.substr(21)}) {
    ASSERT_TRUE(disk.WriteWhole("/state/releases", bad).ok());
    ReleaseBook book(disk, "/state/releases");
    EXPECT_FALSE(book.Open().ok());
    EXPECT_THAT(std::string(book.status().message()), HasSubstr("/state/releases can't be used"));
    EXPECT_FALSE(book.NoteCurrent(kKey, "1", nullptr).ok());
    EXPECT_EQ(*disk.Read("/state/releases", 1 << 20), bad);
  }
  ASSERT_TRUE(disk.WriteWhole("/state/releases", whole).ok());
  ReleaseBook book(disk, "/state/releases");
  EXPECT_TRUE(book.Open().ok());
}

TEST(ReleaseBook, AFailedWriteChangesNothing) {
  MemoryDisk disk;
  ReleaseBook book(disk, "/state/releases");
  ASSERT_TRUE(book.Open().ok());
  Note(book, "1.8.1");
  disk.set_fault([](uint64_t, std::string_view, std::string_view) { return absl::UnavailableError("full"); });
  EXPECT_FALSE(book.NoteCurrent(kKey, "1.8.2", nullptr).ok());
  EXPECT_EQ(book.Find(kKey)->current(), "1.8.1");
}

constexpr char kSanctions[] =
    "- {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal, layout: releases,"
    " app: portal, never: [\"1.6.*\"]}\n"
    "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}}\n";

// A host whose workers answer as this says.
class Rollbacks : public testing::Test {
 protected:
  void SetUp() override {
    world_.host.Sanctions(kSanctions);
    ASSERT_EQ(world_.host.sanctions.error, "");
    executor_ = world_.Start();
  }
  // Lets every look that is started now, and those that follow from it, find `current`; how many hashed it.
  int Look(const std::string& current, char hash = 'h') {
    int hashed = 0;
    executor_->Tick();
    while (!world_.workers.running.empty()) {
      const v1::WorkerRequest& request = world_.workers.running.rbegin()->second.request;
      EXPECT_EQ(request.task(), v1::WORKER_TASK_RECORD);
      EXPECT_EQ(request.release().path(), "/opt/portal");
      v1::WorkerResult result;
      result.set_ok(true);
      result.set_current(current);
      if (request.to().name() == current) *result.add_releases() = Made(current, hash), ++hashed;
      world_.End(*executor_, result);
      executor_->Tick();
    }
    return hashed;
  }
  // Until it has been current for long enough.
  int Settle(const std::string& current) {
    int hashed = 0;
    for (int i = 0; i < 5; ++i) hashed += Look(current), world_.clock.Advance(10 * kSecond);
    return hashed;
  }
  v1::CommandBody Body(const std::string& to = "previous", const std::string& by = "policy:p") {
    v1::CommandBody body = world_.Body(*executor_);
    v1::ReleaseRollback& rollback = *body.mutable_action()->mutable_release_rollback();
    rollback.set_user("deploy");
    rollback.set_deployment("portal");
    rollback.set_to(to);
    body.set_requested_by(by);
    return body;
  }
  v1::WorkerRequest Started() { return world_.workers.running.rbegin()->second.request; }
  v1::WorkerResult Found(const std::string& from, const v1::Release& to) {
    v1::WorkerResult result;
    result.set_ok(true);
    *result.mutable_release()->mutable_from() = Made(from);
    *result.mutable_release()->mutable_to() = to;
    return result;
  }
  // Submits, and lets check, evidence and effect end well.
  v1::CommandReport RollBack(const std::string& from, const std::string& to,
                             const std::string& by = "policy:p") {
    const v1::CommandBody body = Body(to, by);
    executor_->Submit(world_.Sign(body));
    for (int i = 0; i < 3 && !world_.workers.running.empty(); ++i) {
      v1::WorkerResult result = Found(from, Made(to));
      result.mutable_release()->set_running("/opt/portal/releases/" + to);
      world_.End(*executor_, result);
    }
    return LastReport(*executor_, body.id());
  }

  World world_;
  std::unique_ptr<Executor> executor_;
};

TEST_F(Rollbacks, WhatIsCurrentAtTheStartIsRecordedAndLaterOnesWhenTheyHaveSettled) {
  EXPECT_EQ(Look("1.8.0"), 1);
  world_.clock.Advance(10 * kSecond);
  EXPECT_EQ(Look("1.8.0"), 0);  // it is known
  world_.clock.Advance(10 * kSecond);
  EXPECT_EQ(Look("1.8.1"), 0);
  world_.clock.Advance(10 * kSecond);
  EXPECT_EQ(Look("1.8.1"), 0);
  world_.clock.Advance(10 * kSecond);
  EXPECT_EQ(Look("1.8.1"), 1);
  // Nothing is looked at more often than every 5 s, nor hashed again by another process.
  executor_->Tick();
  EXPECT_TRUE(world_.workers.running.empty());
  executor_ = world_.Start();
  EXPECT_EQ(Look("1.8.1"), 0);
  const v1::CommandBody body = Body();
  executor_->Submit(world_.Sign(body));
  ASSERT_EQ(Started().task(), v1::WORKER_TASK_CHECK);
  ASSERT_EQ(Started().release().recorded_size(), 2);
  EXPECT_EQ(Started().release().recorded(0).name(), "1.8.0");
  EXPECT_EQ(Started().release().recorded(1).name(), "1.8.1");
  EXPECT_EQ(Started().release().app(), "portal");
  EXPECT_FALSE(Started().release().by_person());
}

TEST_F(Rollbacks, TellsTheEffectWhatTheCheckFoundAndReportsWhereItWent) {
  Settle("1.8.1");
  Settle("1.8.2");
  const v1::CommandBody body = Body();
  executor_->Submit(world_.Sign(body));
  world_.End(*executor_, Found("1.8.2", Made("1.8.1")));
  ASSERT_EQ(Started().task(), v1::WORKER_TASK_EVIDENCE);
  EXPECT_EQ(Started().to().name(), "1.8.1");
  world_.End(*executor_, Fine());
  ASSERT_EQ(Started().task(), v1::WORKER_TASK_RUN);
  EXPECT_EQ(Started().action().release_rollback().expect_current(), "1.8.2");
  EXPECT_EQ(Started().to().tree_sha256(), std::string(32, 'h'));
  executor_->Tick();  // the link is not looked at while it is changed
  EXPECT_EQ(world_.workers.running.size(), 1u);
  v1::WorkerResult done = Found("1.8.2", Made("1.8.1"));
  done.mutable_release()->set_running("/opt/portal/releases/1.8.1");
  world_.End(*executor_, done);
  const v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(report.release().from().name(), "1.8.2");
  EXPECT_EQ(report.release().to().name(), "1.8.1");
  EXPECT_EQ(report.release().running(), "/opt/portal/releases/1.8.1");
  // And over a restart, from the journal.
  executor_ = world_.Start();
  EXPECT_EQ(LastReport(*executor_, body.id()).release().running(), "/opt/portal/releases/1.8.1");
}

TEST_F(Rollbacks, WithoutAPersonOnlyOneStepBack) {
  for (const char* release : {"1.8.0", "1.8.1", "1.8.2"}) Settle(release);
  EXPECT_EQ(RollBack("1.8.2", "1.8.1").outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(Settle("1.8.1"), 0);
  const v1::CommandReport second = RollBack("1.8.1", "1.8.0");
  EXPECT_EQ(second.refusal(), v1::REFUSAL_CHECK);
  EXPECT_EQ(second.reason(), "1.8.1 is where a rollback from 1.8.2 went: going on needs a person");
  EXPECT_EQ(RollBack("1.8.1", "1.8.0", "person:alice").outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(RollBack("1.8.0", "1.8.2", "person:alice").outcome(), v1::OUTCOME_SUCCEEDED);
  // A deployment since makes it a first step again.
  Settle("1.8.2");
  Settle("1.8.3");
  EXPECT_EQ(RollBack("1.8.3", "1.8.2").outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(Rollbacks, ARollbackThatWasPutBackIsNoStep) {
  for (const char* release : {"1.8.1", "1.8.2"}) Settle(release);
  RollBack("1.8.2", "1.8.1");
  Settle("1.8.2");  // the link leads there again
  EXPECT_EQ(RollBack("1.8.2", "1.8.1").outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(Rollbacks, TheWayBackToAReleaseThatWasNotRecordedYetIsKept) {
  Settle("1.8.1");
  EXPECT_EQ(RollBack("1.8.2", "1.8.1").outcome(), v1::OUTCOME_SUCCEEDED);
  executor_ = world_.Start();
  executor_->Submit(world_.Sign(Body("1.8.2", "person:alice")));
  ASSERT_FALSE(world_.workers.running.empty());
  EXPECT_TRUE(Started().release().by_person());
  EXPECT_EQ(Started().release().recorded(Started().release().recorded_size() - 1).name(), "1.8.2");
}

// The release before one that is not recorded yet is the noted one: not the one that a rollback left.
TEST_F(Rollbacks, X18_WhatARollbackLeftIsNoWayBackFromTheNextRelease) {
  for (const char* release : {"1.8.1", "1.8.2"}) Settle(release);
  EXPECT_EQ(RollBack("1.8.2", "1.8.1").outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(Settle("1.8.1"), 0);
  executor_->Submit(world_.Sign(Body()));
  ASSERT_FALSE(world_.workers.running.empty());
  std::vector<std::string> told;
  const v1::WorkerRequest started = Started();
  for (const v1::Release& release : started.release().recorded()) told.push_back(release.name());
  EXPECT_THAT(told, ElementsAre("1.8.2", "1.8.1"));
}

TEST_F(Rollbacks, X18_AWorkerCannotNameAReleaseThatWasNotRecorded) {
  Settle("1.8.1");
  Settle("1.8.2");
  for (v1::Release to : {Made("1.8.1", 'x'), Made("0"), Made("1.8.1", 'h', "/tmp")}) {
    const v1::CommandBody body = Body();
    executor_->Submit(world_.Sign(body));
    world_.End(*executor_, Found("1.8.2", to));
    EXPECT_EQ(LastReport(*executor_, body.id()).reason(), "the worker names a release that was not recorded");
    EXPECT_TRUE(world_.workers.running.empty());
  }
}

TEST_F(Rollbacks, NeverReachesTheWorkerAsNamesAndPatternsStay) {
  Settle("1.6.9");
  Settle("1.7.0");
  executor_->Submit(world_.Sign(Body()));
  EXPECT_THAT(Started().release().never(), ElementsAre("1.6.9"));
}

TEST_F(Rollbacks, ADamagedBookRefusesRollbacksAndNothingElse) {
  ASSERT_TRUE(world_.disk.WriteWhole("/state/releases", "nonsense").ok());
  executor_ = world_.Start();
  EXPECT_EQ(Look("1.8.1"), 0);
  const v1::CommandBody body = Body();
  executor_->Submit(world_.Sign(body));
  const v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_THAT(report.reason(), HasSubstr("the book of releases /state/releases can't be used"));
  const v1::CommandBody restart = world_.Body(*executor_);
  executor_->Submit(world_.Sign(restart));
  world_.EndAll(*executor_);
  EXPECT_EQ(LastReport(*executor_, restart.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(Rollbacks, ABookThatCannotBeWrittenRefusesTheEffect) {
  Settle("1.8.1");
  Settle("1.8.2");
  world_.disk.set_fault([](uint64_t, std::string_view, std::string_view path) {
    return path == "/state/releases" ? absl::UnavailableError("full") : absl::OkStatus();
  });
  const v1::CommandReport report = RollBack("1.8.2", "1.8.1");
  EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_EQ(report.refusal(), v1::REFUSAL_JOURNAL);
  EXPECT_EQ(world_.Effects(), 0);
}

TEST_F(Rollbacks, NothingElseTouchesTheAppMeanwhile) {
  Settle("1.8.1");
  Settle("1.8.2");
  executor_->Submit(world_.Sign(Body()));
  v1::CommandBody restart = world_.Body(*executor_, "portal");
  executor_->Submit(world_.Sign(restart));
  EXPECT_EQ(LastReport(*executor_, restart.id()).refusal(), v1::REFUSAL_BUSY);
  restart = world_.Body(*executor_, "other");
  executor_->Submit(world_.Sign(restart));
  EXPECT_EQ(executor_->running(), 2u);
}

TEST_F(Rollbacks, WhatIsNotNamedOrNamedTwiceIsRefused) {
  Settle("1.8.1");
  v1::CommandBody body = Body();
  body.mutable_action()->mutable_release_rollback()->set_deployment("other");
  executor_->Submit(world_.Sign(body));
  EXPECT_EQ(LastReport(*executor_, body.id()).refusal(), v1::REFUSAL_SANCTION);
  world_.host.Sanctions(absl::StrCat(kSanctions,
                                     "- {action: release.rollback, user: deploy, deployment: portal,"
                                     " path: /srv/portal, layout: releases}\n"));
  body = Body();
  executor_->Submit(world_.Sign(body));
  EXPECT_THAT(LastReport(*executor_, body.id()).reason(), HasSubstr("name this deployment differently"));
}

TEST_F(Rollbacks, ALookThatFailsIsTriedAgainLater) {
  for (int round = 0; round < 3; ++round) {
    executor_->Tick();
    ASSERT_EQ(world_.workers.running.size(), 1u) << round;
    v1::WorkerResult failed;
    failed.set_reason("current is no link");
    world_.End(*executor_, failed);
    world_.clock.Advance(10 * kSecond);
  }
  EXPECT_EQ(Settle("1.8.1"), 1);
}

// A host whose deployment has a database; the database's names come from a worker of their own.
class Migrations : public Rollbacks {
 protected:
  void SetUp() override {
    Rollbacks::SetUp();
    world_.host.Sanctions(
        "- {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal, layout: releases,"
        " migrations: {connection: main}}\n");
    world_.host.postgres.set_host("/run/postgresql");
    Settle("1.8.1");
    Settle("1.8.2");
  }
  static v1::WorkerResult Names(const std::string& lines) {
    v1::WorkerResult result;
    result.set_ok(true);
    result.add_evidence()->set_name("migrations");
    result.mutable_evidence(0)->set_content(lines);
    return result;
  }
  // Lets the check tell the target's names and the database's worker its own; the report, if that is the end.
  v1::CommandReport RollBackWith(const std::string& brought, const v1::WorkerResult& applied,
                                 const v1::CommandBody& body) {
    executor_->Submit(world_.Sign(body));
    EXPECT_TRUE(Started().release().has_migrations());
    EXPECT_FALSE(Started().has_postgres());
    v1::WorkerResult found = Found("1.8.2", Made("1.8.1"));
    found.MergeFrom(Names(brought));
    world_.End(*executor_, found);
    if (world_.workers.running.empty()) return LastReport(*executor_, body.id());
    if (Started().task() == v1::WORKER_TASK_CHECK) {
      const WorkerJob& job = world_.workers.running.rbegin()->second;
      EXPECT_EQ(job.user.name, "quell-agent");
      EXPECT_EQ(job.request.postgres().host(), "/run/postgresql");
      EXPECT_FALSE(job.request.has_release() && !job.request.release().path().empty());
      query_ = job.request.release().migrations_query();
      world_.End(*executor_, applied);
    }
    return LastReport(*executor_, body.id());
  }
  std::string query_;
};

TEST_F(Migrations, BehindAppliedOnesIsRefusedUnlessAPersonAcceptsThat) {
  v1::CommandBody body = Body();
  EXPECT_EQ(
      RollBackWith("1_a\n2_b", Names("2_b\n3_c\n4_d\n1_a"), body).reason(),
      "1.8.1 lacks 2 migrations that were applied to the database, the first: 3_c: a person may accept that "
      "(accept_migrations)");
  EXPECT_TRUE(world_.workers.running.empty());
  body = Body();
  body.mutable_action()->mutable_release_rollback()->set_accept_migrations(true);
  EXPECT_EQ(RollBackWith("1_a", Names("1_a"), body).reason(), "accept_migrations needs a person");
  body = Body("previous", "person:alice");
  body.mutable_action()->mutable_release_rollback()->set_accept_migrations(true);
  RollBackWith("1_a", Names("1_a\n2_b"), body);
  EXPECT_EQ(Started().task(), v1::WORKER_TASK_EVIDENCE);
}

TEST_F(Migrations, ThatTheReleaseBringsAlongLetItPass) {
  RollBackWith("1_a\n2_b\n3_c", Names("1_a\n2_b"), Body());
  EXPECT_EQ(Started().task(), v1::WORKER_TASK_EVIDENCE);
  EXPECT_EQ(query_, "");
}

TEST_F(Migrations, ThatCannotBeReadNeedAPerson) {
  v1::WorkerResult failed;
  failed.set_reason("applied migrations can't be read: no such server");
  EXPECT_EQ(RollBackWith("1_a", failed, Body()).reason(),
            "applied migrations can't be read: no such server: a person may accept that (accept_migrations)");
  v1::WorkerResult none;
  none.add_evidence()->set_name("migrations");
  none.mutable_evidence(0)->set_missing("1.8.1: opening the release's migrations: No such file or directory");
  const v1::CommandBody body = Body();
  executor_->Submit(world_.Sign(body));
  v1::WorkerResult found = Found("1.8.2", Made("1.8.1"));
  found.MergeFrom(none);
  world_.End(*executor_, found);
  EXPECT_THAT(LastReport(*executor_, body.id()).reason(), HasSubstr("opening the release's migrations"));
  world_.host.Sanctions(
      "- {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal, layout: releases,"
      " migrations: {connection: other}}\n");
  EXPECT_THAT(RollBackWith("1_a", Names("1_a"), Body()).reason(), HasSubstr("no such server"));
}

TEST_F(Migrations, AreAskedForWithTheHostsOwnQuery) {
  world_.host.Sanctions(
      "- {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal, layout: releases,"
      " migrations: {connection: main, query_file: /etc/quell/migrations.sql}}\n");
  EXPECT_THAT(RollBackWith("1_a", Names("1_a"), Body()).reason(),
              HasSubstr("/etc/quell/migrations.sql is not there"));
  world_.host.query = "SELECT name FROM app.migrations";
  RollBackWith("1_a", Names("1_a"), Body());
  EXPECT_EQ(query_, "SELECT name FROM app.migrations");
  EXPECT_EQ(Started().task(), v1::WORKER_TASK_EVIDENCE);
}

TEST_F(Migrations, ACancelledCommandStopsThere) {
  const v1::CommandBody body = Body();
  executor_->Submit(world_.Sign(body));
  v1::WorkerResult found = Found("1.8.2", Made("1.8.1"));
  found.MergeFrom(Names("1_a"));
  world_.End(*executor_, found);
  executor_->Cancel(body.id());
  EXPECT_EQ(LastReport(*executor_, body.id()).outcome(), v1::OUTCOME_CANCELLED);
}

TEST_F(Rollbacks, ADryRunSaysWhereItWouldGo) {
  Settle("1.8.1");
  Settle("1.8.2");
  v1::CommandBody body = Body();
  body.set_dry_run(true);
  executor_->Submit(world_.Sign(body));
  v1::WorkerResult found = Found("1.8.2", Made("1.8.1"));
  found.set_reason("current would lead from 1.8.2 to 1.8.1");
  world_.End(*executor_, found);
  const v1::CommandReport report = LastReport(*executor_, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_DRY_RUN);
  EXPECT_THAT(report.reason(), HasSubstr("current would lead from 1.8.2 to 1.8.1"));
  EXPECT_EQ(report.release().to().name(), "1.8.1");
  EXPECT_EQ(world_.Effects(), 0);
}

}  // namespace
}  // namespace quell::agent
