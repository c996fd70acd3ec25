// Migrations: what a release brings along, and what a real database says was applied, to quell_monitor alone.
#include "agent/actions/migrations.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "tests/support/quell_database.h"

namespace quell::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(ReleaseMigrations, AreTheDirectoriesThatPrismaWrites) {
  test::TempDir dir;
  UniqueFd release(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY));
  EXPECT_FALSE(ReleaseMigrations(release.get()).ok());
  dir.MakeDirectory("migrations/0001_first");
  EXPECT_THAT(*ReleaseMigrations(release.get()), ElementsAre("0001_first"));
  test::WriteTree(dir.path(), {{"prisma/migrations/2_b/migration.sql", ""},
                               {"prisma/migrations/1_a/migration.sql", ""},
                               {"prisma/migrations/migration_lock.toml", ""}});
  ASSERT_EQ(symlink("1_a", dir.Path("prisma/migrations/3_link").c_str()), 0);
  EXPECT_THAT(*ReleaseMigrations(release.get()), ElementsAre("1_a", "2_b"));
}

TEST(ReleaseMigrations, NamesThatAreNoLinesAreRefused) {
  v1::WorkerResult result;
  EXPECT_TRUE(AddMigrations({"a", "b"}, result).ok());
  EXPECT_EQ(result.evidence(0).content(), "a\nb");
  EXPECT_FALSE(AddMigrations({"a\nb"}, result).ok());
  EXPECT_FALSE(AddMigrations({"\xff"}, result).ok());
  EXPECT_FALSE(AddMigrations({""}, result).ok());
  EXPECT_FALSE(AddMigrations(std::vector<std::string>(5001, "a"), result).ok());
  EXPECT_FALSE(AddMigrations({std::string(200'000, 'a')}, result).ok());
  EXPECT_EQ(result.evidence_size(), 1);
}

TEST(AppliedMigrations, AreReadAsQuellMonitorWhichReadsNoOtherTable) {
  test::QuellDatabase database;
  v1::WorkerRequest request;
  request.mutable_action()->mutable_release_rollback();
  *request.mutable_postgres() = database.Place();
  request.set_budget_ms(10'000);
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(),
              HasSubstr("applied migrations can't be read"));
  ASSERT_TRUE(
      database.cluster()
          .Psql("CREATE TABLE public._prisma_migrations (migration_name text, finished_at timestamptz,"
                " rolled_back_at timestamptz);"
                "INSERT INTO public._prisma_migrations VALUES ('1_a', now(), NULL), ('2_b', NULL, NULL),"
                " ('3_c', now(), now()), ('4_d', now(), NULL);"
                "CREATE TABLE public.secrets (text text)",
                "shop")
          .ok());
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(), HasSubstr("permission denied"));
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(database.cluster().RunFile(QUELL_SOURCE_DIR "/deploy/postgres/migrations.sql", "shop").ok());
  }
  const v1::WorkerResult result = AppliedMigrations(request, RealClock());
  ASSERT_TRUE(result.ok()) << result.reason();
  EXPECT_EQ(result.evidence(0).name(), kMigrationsItem);
  EXPECT_EQ(result.evidence(0).content(), "1_a\n4_d");
  request.mutable_release()->set_migrations_query("SELECT text FROM public.secrets");
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(), HasSubstr("permission denied"));
  request.mutable_release()->set_migrations_query(
      "DELETE FROM public._prisma_migrations RETURNING migration_name");
  EXPECT_FALSE(AppliedMigrations(request, RealClock()).ok());
  request.mutable_release()->set_migrations_query("SELECT 1, 2");
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(), HasSubstr("has not one column"));
  EXPECT_EQ(database.One("SELECT count(*) FROM public._prisma_migrations"), "4");
  request.mutable_release()->set_migrations_query("SELECT * FROM public.nowhere");
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(), HasSubstr("there is no such table"));
  // A database that is gone.
  request.mutable_postgres()->set_port(1);
  EXPECT_THAT(AppliedMigrations(request, RealClock()).reason(),
              HasSubstr("applied migrations can't be read"));
}

// The application owns its database: what it puts in the table's place would run with quell_monitor's rights.
TEST(AppliedMigrations, X16_ATableThatRunsFunctionsIsNotRead) {
  test::QuellDatabase database;
  v1::WorkerRequest request;
  request.mutable_action()->mutable_release_rollback();
  *request.mutable_postgres() = database.Place();
  request.set_budget_ms(10'000);
  const auto prepare = [&](const std::string& sql) {
    const auto done = database.cluster().Psql(sql, "shop");
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(database.cluster().RunFile(QUELL_SOURCE_DIR "/deploy/postgres/migrations.sql", "shop").ok());
  };
  prepare(
      "CREATE TABLE public._prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at"
      " timestamptz);"
      "INSERT INTO public._prisma_migrations VALUES ('1_a', now(), NULL);"
      "CREATE FUNCTION public.evil() RETURNS boolean LANGUAGE plpgsql AS"
      " $$BEGIN RAISE EXCEPTION 'canary-%', current_user; END$$;"
      "GRANT EXECUTE ON FUNCTION public.evil() TO PUBLIC;"
      "CREATE POLICY p ON public._prisma_migrations USING (public.evil());"
      "ALTER TABLE public._prisma_migrations ENABLE ROW LEVEL SECURITY");
  std::string reason = AppliedMigrations(request, RealClock()).reason();
  EXPECT_THAT(reason, HasSubstr("no ordinary table, or has row security"));
  request.mutable_release()->set_migrations_query("SELECT migration_name FROM public._prisma_migrations");
  reason = AppliedMigrations(request, RealClock()).reason();
  EXPECT_THAT(reason, HasSubstr("permission denied"));
  EXPECT_THAT(reason, Not(HasSubstr("canary")));
  request.mutable_release()->clear_migrations_query();
  prepare(
      "ALTER TABLE public._prisma_migrations RENAME TO real;"
      "CREATE VIEW public._prisma_migrations AS SELECT migration_name, finished_at, rolled_back_at"
      " FROM public.real WHERE public.evil()");
  reason = AppliedMigrations(request, RealClock()).reason();
  EXPECT_THAT(reason, HasSubstr("no ordinary table"));
}

}  // namespace
}  // namespace quell::agent
