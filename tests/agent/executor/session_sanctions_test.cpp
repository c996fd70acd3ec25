// What sanctions say about a PostgreSQL server's sessions.
#include "agent/executor/session_sanctions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/executor/postgres_place.h"
#include "tests/agent/executor/harness.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

constexpr Micros kNow = 1'795'000'000 * kSecond;

v1::PostgresSession Session(int64_t pid = 100) {
  v1::PostgresSession session;
  session.set_pid(pid);
  session.set_backend_start_us(kNow - kHour);
  session.set_xact_start_us(kNow - 2 * kMinute);
  session.set_query_start_us(kNow - kMinute);
  session.set_database("shop");
  session.set_role("web");
  session.set_application("portal");
  session.set_state("idle in transaction");
  session.set_backend_type("client backend");
  return session;
}

struct Asked {
  std::string yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, deny: {users: "
      "[backup]}}\n";
  bool by_person = false;
  bool by_pid = true;
  std::vector<v1::PostgresSession> found = {Session()};
  std::vector<v1::JournalIntent> before;
  std::string action = "postgres.terminate";
  Consent consent;

  SessionRuling Rule() const {
    FakeHost host;
    host.Sanctions(yaml);
    EXPECT_EQ(host.sanctions.error, "");
    SessionQuestion question;
    question.action = action;
    question.target.cancel = action == "postgres.cancel";
    question.target.connection = "main";
    question.target.pid = by_pid ? found.front().pid() : 0;
    question.by_person = by_person;
    question.now = kNow;
    question.consent = consent;
    return RuleSessions(host.sanctions, question, found, [&](const auto& counts) {
      return static_cast<uint64_t>(std::count_if(before.begin(), before.end(), counts));
    });
  }
  std::string Reason() const { return Rule().reason; }
};

TEST(SessionSanctions, WhatIsNotNamedIsRefused) {
  Asked asked;
  EXPECT_EQ(asked.Reason(), "");
  EXPECT_EQ(asked.Rule().targets.size(), 1u);
  asked.found[0].set_database("other");
  EXPECT_EQ(asked.Reason(), "pid 100 (user web, database other, application portal) is named by no sanction");
  EXPECT_TRUE(asked.Rule().targets.empty());
  asked = Asked();
  asked.action = "postgres.cancel";
  EXPECT_THAT(asked.Reason(), HasSubstr("is named by no sanction"));
  for (const char* yaml :
       {"[]", "- {action: postgres.terminate, connection: other, allow: {databases: [shop]}}\n",
        "- {action: postgres.terminate, connection: main, allow: {databases: [shop], users: [admin]}}\n",
        "- {action: postgres.terminate, connection: main, allow: {databases: [shop], applications: "
        "[cron]}}\n",
        "- {action: postgres.terminate, connection: main, deny: {users: [backup]}}\n"}) {
    asked = Asked();
    asked.by_person = true;
    asked.yaml = yaml;
    EXPECT_THAT(asked.Reason(), HasSubstr("is named by no sanction")) << yaml;
  }
  asked = Asked();
  asked.yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [\"s*\"], users: [\"w?b\"]}}\n";
  EXPECT_EQ(asked.Reason(), "");
}

TEST(SessionSanctions, AnEntryHasToNameConnectionAndDatabases) {
  FakeHost host;
  host.Sanctions(
      "- {action: postgres.terminate, connection: main, allow: {users: [web]}}\n"
      "- {action: postgres.cancel, allow: {databases: [shop]}}\n"
      "- {action: postgres.cancel, connection: main, allow: {databases: []}}\n"
      "- {action: postgres.cancel, connection: main, allow: {databases: [x]}, limits: {max_targets: -1}}\n"
      "- {action: postgres.cancel, connection: main, allow: {databases: [x]}, limits: {min_age: soon}}\n");
  for (int line = 1; line <= 5; ++line)
    EXPECT_THAT(host.sanctions.error, HasSubstr("sanctions.yaml:" + std::to_string(line) + ":"));
}

TEST(SessionSanctions, X16_SomeAreNeverTouchedWhoeverAsks) {
  Asked asked;
  asked.yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [\"*\"], users: [\"*\"]}}\n";
  asked.by_person = true;
  const auto refused = [&](const std::function<void(v1::PostgresSession&)>& change) {
    asked.found = {Session()};
    change(asked.found[0]);
    return asked.Reason();
  };
  EXPECT_THAT(refused([](auto& s) { s.set_superuser(true); }), HasSubstr("is a superuser's"));
  EXPECT_THAT(refused([](auto& s) { s.set_replication(true); }), HasSubstr("may replicate"));
  for (const char* type : {"walsender", "autovacuum worker", "background worker", "parallel worker", ""})
    EXPECT_THAT(refused([&](auto& s) { s.set_backend_type(type); }), HasSubstr("is no client's session"));
  for (const char* role : {"quell_monitor", "quell_remedy", "quell_owner"})
    EXPECT_THAT(refused([&](auto& s) { s.set_role(role); }), HasSubstr("is quell's own"));
  // By its user alone: a name that a session gives itself protects nothing.
  EXPECT_EQ(refused([](auto& s) { s.set_application("quell-agent"); }), "");
}

TEST(SessionSanctions, OneDenyIsEnoughAndOnlyUsersAndDatabasesAreSparedForGood) {
  Asked asked;
  asked.by_person = true;
  asked.found[0].set_role("backup");
  EXPECT_THAT(asked.Reason(), HasSubstr("is denied by sanctions.yaml:1"));
  asked = Asked();
  asked.yaml += "- {action: postgres.terminate, connection: main, deny: {databases: [\"sh*\"]}}\n";
  EXPECT_THAT(asked.Reason(), HasSubstr("is denied by sanctions.yaml:2"));
  asked = Asked();
  asked.yaml += "- {action: postgres.terminate, connection: main, deny: {applications: [\"port*\"]}}\n";
  EXPECT_THAT(asked.Reason(),
              HasSubstr("is an application that sanctions.yaml:2 denies: a person has to ask"));
  asked.by_person = true;
  EXPECT_EQ(asked.Reason(), "");
}

TEST(SessionSanctions, WhatASessionSaysOfItselfMakesAPolicysActAPersons) {
  const auto ask = [](const std::string& application, const std::string& kind) {
    Asked asked;
    asked.found[0].set_application(application);
    asked.found[0].set_kind(kind);
    const std::string reason = asked.Reason();
    asked.by_person = true;
    EXPECT_EQ(asked.Reason(), "") << application << kind;
    asked.by_pid = false;
    EXPECT_EQ(asked.Reason(), reason) << application << kind;  // not named by its pid
    return reason;
  };
  EXPECT_EQ(ask("portal", ""), "");
  EXPECT_EQ(ask("psql", ""),
            "pid 100 (user web, database shop, application psql) is an interactive client: a person has to "
            "ask for it "
            "by its pid");
  EXPECT_THAT(ask("pgAdmin 4 - CONN:1", ""), HasSubstr("an interactive client"));
  EXPECT_THAT(ask("pg_dump", "copy"), HasSubstr("is a dump"));
  EXPECT_THAT(ask("portal", "ddl"), HasSubstr("changing the schema"));
  EXPECT_THAT(ask("portal", "maintenance"), HasSubstr("a maintenance command"));
  EXPECT_THAT(ask("portal", "copy"), HasSubstr("a COPY"));
}

TEST(SessionSanctions, EveryLimitOfEveryMatchingEntryHolds) {
  Asked asked;
  asked.yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, limits: {min_age: 60s}}\n"
      "- {action: postgres.terminate, connection: main, allow: {databases: [\"*\"]}, limits: {min_age: "
      "300s}}\n"
      "- {action: postgres.terminate, connection: main, allow: {databases: [other]}, limits: {min_age: "
      "1h}}\n";
  EXPECT_THAT(asked.Reason(), HasSubstr("is younger than the 300 s of sanctions.yaml:2"));
  asked.found[0].set_xact_start_us(kNow - 300 * kSecond);
  EXPECT_EQ(asked.Reason(), "");
  asked.found[0].set_xact_start_us(0);  // no transaction: since its last statement
  EXPECT_THAT(asked.Reason(), HasSubstr("is younger"));
}

TEST(SessionSanctions, MinAgeOfACancelIsTheStatements) {
  Asked asked;
  asked.action = "postgres.cancel";
  asked.yaml =
      "- {action: postgres.cancel, connection: main, allow: {databases: [shop]}, limits: {min_age: 90s}}\n";
  EXPECT_THAT(asked.Reason(),
              HasSubstr("is younger"));  // its transaction is two minutes old, its statement one
}

TEST(SessionSanctions, MaxTargetsIsOfWhatAnEntryMatchesAndRefusesAll) {
  Asked asked;
  asked.by_person = true;
  asked.by_pid = false;
  asked.yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [\"*\"]}, limits: {max_targets: "
      "3}}\n"
      "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, limits: {max_targets: "
      "1}}\n";
  asked.found = {Session(1), Session(2)};
  EXPECT_EQ(asked.Reason(), "sanctions.yaml:2 allows 1 sessions in one command, and 2 match");
  EXPECT_TRUE(asked.Rule().targets.empty());
  asked.found[1].set_database("other");
  EXPECT_EQ(asked.Rule().targets.size(), 2u);
  asked.yaml = "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}}\n";
  asked.found.assign(kMostTargets + 1, Session());
  EXPECT_EQ(asked.Reason(), "65 sessions match, and one command touches 64 at most");
}

TEST(SessionSanctions, PerHourCountsCommandsOnWhatTheEntryMatches) {
  Asked asked;
  asked.yaml =
      "- {action: postgres.terminate, connection: main, allow: {databases: [shop]}, limits: {per_hour: 2}}\n";
  v1::JournalIntent intent;
  intent.set_action("postgres.terminate");
  intent.add_target("main");
  *intent.add_sessions() = Session(7);
  v1::JournalIntent elsewhere = intent, cancelled = intent, other = intent;
  elsewhere.set_target(0, "second");
  cancelled.set_action("postgres.cancel");
  other.mutable_sessions(0)->set_database("other");
  asked.before = {intent, elsewhere, cancelled, other};
  EXPECT_EQ(asked.Reason(), "");
  asked.before.push_back(intent);
  EXPECT_EQ(asked.Reason(), "sanctions.yaml:1 allows 2 an hour, and there were 2");
}

TEST(SessionSanctions, OfThoseAFilterFoundTheOthersAreLeftAlone) {
  Asked asked;
  asked.by_person = true;
  asked.by_pid = false;
  asked.found = {Session(1), Session(2), Session(3)};
  asked.found[0].set_application("pg_dump");
  asked.found[2].set_role("backup");
  const SessionRuling ruling = asked.Rule();
  ASSERT_EQ(ruling.targets.size(), 1u);
  EXPECT_EQ(ruling.targets[0].pid(), 2);
  EXPECT_THAT(ruling.spared,
              HasSubstr("left alone: pid 1 (user web, database shop, application pg_dump) is a dump"));
  EXPECT_THAT(ruling.spared, HasSubstr("pid 3 (user backup"));
}

TEST(SessionSanctions, AnEntrysApprovalHoldsForWhatItMatches) {
  Asked asked;
  asked.yaml +=
      "- {action: postgres.terminate, connection: main, allow: {databases: [pay]}, approval: two}\n";
  EXPECT_EQ(asked.Reason(), "");
  asked.found[0].set_database("pay");
  EXPECT_THAT(asked.Reason(), HasSubstr("sanctions.yaml:2 asks for approval: two"));
  EXPECT_TRUE(asked.Rule().for_approvals);
  asked.consent.persons = {"alice"};
  EXPECT_THAT(asked.Reason(), HasSubstr("only alice has signed"));
  asked.consent.persons = {"alice", "carol"};
  EXPECT_EQ(asked.Reason(), "");
}

TEST(SessionTargets, X09_OnlyAPersonAsksByFilterAndAPolicyNamesTimes) {
  SessionTarget target;
  target.connection = "main";
  EXPECT_FALSE(CheckSessionTarget(target, true).ok());
  target.min_age_s = 300;
  EXPECT_TRUE(CheckSessionTarget(target, true).ok());
  EXPECT_THAT(std::string(CheckSessionTarget(target, false).message()), HasSubstr("only a person"));
  target.pid = 5;
  EXPECT_FALSE(CheckSessionTarget(target, true).ok());  // pid and filter
  target.min_age_s = 0;
  EXPECT_TRUE(CheckSessionTarget(target, true).ok());
  EXPECT_FALSE(CheckSessionTarget(target, false).ok());
  target.backend_start_us = kNow;
  EXPECT_FALSE(CheckSessionTarget(target, false).ok());
  target.xact_start_us = kNow;
  EXPECT_TRUE(CheckSessionTarget(target, false).ok());
  target.cancel = true;
  EXPECT_FALSE(CheckSessionTarget(target, false).ok());
  target.query_start_us = kNow;
  EXPECT_TRUE(CheckSessionTarget(target, false).ok());
  for (const int64_t pid : {int64_t{-1}, int64_t{1} << 31, INT64_MIN}) {
    target.pid = pid;
    EXPECT_FALSE(CheckSessionTarget(target, true).ok()) << pid;
  }
  target.pid = 5;
  target.query_start_us = INT64_MAX;
  EXPECT_FALSE(CheckSessionTarget(target, true).ok());
  target.query_start_us = -1;
  EXPECT_FALSE(CheckSessionTarget(target, true).ok());
}

TEST(PostgresPlaces, TakeHostPortAndDatabaseAndNothingElse) {
  const auto place = ParsePostgresPlace("host='/run/my sockets' port=5433 user=postgres dbname=shop");
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_EQ(place->host(), "/run/my sockets");
  EXPECT_EQ(place->port(), 5433u);
  EXPECT_EQ(place->dbname(), "shop");
  EXPECT_EQ(ParsePostgresPlace("host=/run dbname=shop")->port(), 5432u);
  for (const char* dsn :
       {"", "host=/run", "dbname=x", "host=localhost dbname=x", "host=/run dbname=x options='-c role=a'",
        "host=/run hostaddr=127.0.0.1 dbname=x", "host=@x dbname=x"}) {
    EXPECT_FALSE(ParsePostgresPlace(dsn).ok()) << dsn;
  }
}

TEST(PostgresPlaces, AreReadFromTheHostsOwnFile) {
  const test::TempDir directory;
  const std::string path =
      directory.Write("agent.yaml",
                      "collectors:\n  postgres:\n  - {name: main, dsn: \"host=/run dbname=shop\"}\n"
                      "  - {name: far, dsn: \"host=localhost dbname=shop\"}\n"
                      "  - {name: twice, dsn: \"dbname=a\"}\n  - {name: twice, dsn: \"dbname=b\"}\n");
  EXPECT_EQ(ReadPostgresPlace(path, geteuid(), "main")->dbname(), "shop");
  EXPECT_TRUE(absl::IsNotFound(ReadPostgresPlace(path, geteuid(), "other").status()));
  EXPECT_THAT(std::string(ReadPostgresPlace(path, geteuid(), "far").status().message()),
              HasSubstr("agent.yaml:4:22: its dsn names no directory"));
  EXPECT_FALSE(ReadPostgresPlace(path, geteuid(), "twice").ok());
  chmod(path.c_str(), 0666);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadPostgresPlace(path, geteuid(), "main").status()));
}

}  // namespace
}  // namespace quell::agent
