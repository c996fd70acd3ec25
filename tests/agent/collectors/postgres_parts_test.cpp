// The PostgreSQL collector's parts that need no server: chains of waiting sessions, units of settings, lines
// of its log.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "agent/collectors/postgres/blocking.h"
#include "agent/collectors/postgres/log_errors.h"
#include "agent/collectors/postgres/sections.h"
#include "tests/support/files.h"

namespace quell::agent {
namespace {

PgSession Session(int64_t pid, std::vector<int64_t> blockers = {}) {
  PgSession s;
  s.pid = pid;
  s.backend_start_us = 1000 + pid;
  s.backend_type = "client backend";
  s.waiting = !blockers.empty();
  s.blockers = std::move(blockers);
  return s;
}

std::map<int64_t, int> Victims(const std::vector<PgSession>& sessions) {
  std::map<int64_t, int> out;
  for (const NotableSession& root : FindBlockingRoots(sessions)) out[root.session.pid] = root.victims;
  return out;
}

using Expected = std::map<int64_t, int>;

TEST(PgBlocking, OnlyTheRootOfAChainCounts) {
  EXPECT_EQ(Victims({Session(1), Session(2, {1}), Session(3, {2}), Session(4, {3}), Session(5, {2})}),
            (Expected{{1, 4}}));
}

TEST(PgBlocking, ASessionThatWaitsForTwoRootsCountsForBoth) {
  EXPECT_EQ(Victims({Session(1), Session(2), Session(3, {1, 2}), Session(4, {3})}),
            (Expected{{1, 2}, {2, 2}}));
}

TEST(PgBlocking, ACycleHasNoRootAndEnds) {
  EXPECT_EQ(Victims({Session(1, {2}), Session(2, {1}), Session(3, {1})}), Expected{});
}

TEST(PgBlocking, AWaitingSessionThatWasNotAskedIsNoRoot) {
  PgSession not_asked = Session(2);
  not_asked.waiting = true;
  EXPECT_EQ(Victims({Session(1), not_asked, Session(3, {2})}), Expected{});
}

TEST(PgBlocking, APreparedTransactionIsARootWithoutAProcess) {
  const auto roots = FindBlockingRoots({Session(3, {0})});
  ASSERT_EQ(roots.size(), 1u);
  EXPECT_EQ(roots[0].session.pid, 0);
  EXPECT_EQ(WhySpared(roots[0].session, nullptr, "quell_monitor"), "prepared_transaction");
}

TEST(PgBlocking, WhomNoRemedyEnds) {
  const PgRole plain{"shop", false, false}, super{"postgres", true, false}, copier{"copier", false, true};
  const PgRole ours{"quell_remedy", false, false}, watcher{"watcher", false, false};
  PgSession s = Session(1);
  EXPECT_EQ(WhySpared(s, &plain, "quell_monitor"), "");
  EXPECT_EQ(WhySpared(s, &super, "quell_monitor"), "superuser");
  EXPECT_EQ(WhySpared(s, &copier, "quell_monitor"), "replication");
  EXPECT_EQ(WhySpared(s, &ours, "quell_monitor"), "quell");
  EXPECT_EQ(WhySpared(s, &watcher, "watcher"), "quell");
  EXPECT_EQ(WhySpared(s, nullptr, "quell_monitor"), "unknown_role");
  s.backend_type = "walsender";
  EXPECT_EQ(WhySpared(s, &plain, "quell_monitor"), "walsender");
  s.backend_type = "autovacuum worker";
  EXPECT_EQ(WhySpared(s, &plain, "quell_monitor"), "autovacuum");
  s.backend_type = "logical replication worker";
  EXPECT_EQ(WhySpared(s, &plain, "quell_monitor"), "background");
}

std::vector<NotableSession> Roots(int n, int victims) {
  std::vector<NotableSession> roots(n);
  for (int i = 0; i < n; ++i) {
    roots[i].session = Session(i + 1);
    roots[i].victims = victims;
  }
  return roots;
}

int Blocking(const SessionMemory& memory) {
  int n = 0;
  for (const auto& [key, told] : memory.told()) n += told.gone_since == 0;
  return n;
}

TEST(PgBlocking, AGoneRootIsToldForAMinuteWithNoVictims) {
  SessionMemory memory;
  memory.Update(Roots(1, 7), kHour);
  ASSERT_EQ(memory.told().size(), 1u);
  EXPECT_EQ(memory.told().begin()->second.notable.victims, 7);
  memory.Update({}, kHour + kSecond);
  ASSERT_EQ(memory.told().size(), 1u);
  EXPECT_EQ(memory.told().begin()->second.notable.victims, 0);
  memory.Update({}, kHour + kMinute);
  EXPECT_EQ(memory.told().size(), 1u);
  memory.Update({}, kHour + kMinute + 2 * kSecond);
  EXPECT_TRUE(memory.told().empty());
}

TEST(PgBlocking, WhatIsToldIsBoundedAndNeverAFalseZero) {
  SessionMemory memory;
  memory.Update(Roots(500, 3), kHour);
  EXPECT_EQ(Blocking(memory), 20);
  // Twenty others have more victims: the first twenty still block, and none of them is told as gone.
  std::vector<NotableSession> all = Roots(500, 3);
  std::rotate(all.begin(), all.begin() + 100, all.end());
  memory.Update(all, kHour + kSecond);
  EXPECT_EQ(Blocking(memory), 40);
  EXPECT_EQ(memory.told().size(), 40u);
  for (int i = 1; i <= 200; ++i) {
    std::rotate(all.begin(), all.begin() + 7, all.end());
    memory.Update(all, kHour + i * kSecond);
    ASSERT_LE(memory.told().size(), SessionMemory::kMostTold + SessionMemory::kMostNew);
    for (const auto& [key, told] : memory.told()) ASSERT_EQ(told.notable.victims, 3);
  }
  memory.Update({}, 2 * kHour);
  EXPECT_LE(memory.told().size(), SessionMemory::kMostGone);
}

TEST(PgSettings, InBaseUnitsUnderTheExportersNames) {
  using Series = std::pair<std::string, double>;
  EXPECT_EQ(SettingSeries("shared_buffers", "1024", "8kB", "integer"),
            Series("pg_settings_shared_buffers_bytes", 8388608));
  EXPECT_EQ(SettingSeries("statement_timeout", "1500", "ms", "integer"),
            Series("pg_settings_statement_timeout_seconds", 1.5));
  EXPECT_EQ(SettingSeries("max_connections", "100", "", "integer"),
            Series("pg_settings_max_connections", 100));
  EXPECT_EQ(SettingSeries("log_rotation_age", "-1", "min", "integer"),
            Series("pg_settings_log_rotation_age_seconds", -1));
  EXPECT_EQ(SettingSeries("fsync", "on", "", "bool"), Series("pg_settings_fsync", 1));
}

TEST(PgLog, SeverityOfALine) {
  const std::string prefix = "2026-11-25 03:12:07.123 UTC [4711] shop@boutique ";
  EXPECT_EQ(PgLogCounter::Severity(prefix + "ERROR:  division by zero"), "ERROR");
  EXPECT_EQ(PgLogCounter::Severity(prefix + "FATAL:  the database system is starting up"), "FATAL");
  EXPECT_EQ(PgLogCounter::Severity(prefix + "PANIC:  could not write"), "PANIC");
  EXPECT_EQ(PgLogCounter::Severity("WARNING:  no prefix"), "WARNING");
  EXPECT_EQ(PgLogCounter::Severity(prefix + "LOG:  statement: SELECT 'ERROR:  planted'"), "");
  EXPECT_EQ(PgLogCounter::Severity(prefix + "STATEMENT:  SELECT 'PANIC:  planted'"), "");
  EXPECT_EQ(PgLogCounter::Severity("\tPANIC:  the second line of a statement"), "");
  EXPECT_EQ(PgLogCounter::Severity(prefix + "NOERROR:  none of ours"), "");
  EXPECT_EQ(PgLogCounter::Severity(""), "");
}

class PgLogFile : public testing::Test {
 protected:
  void Append(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  uint64_t Errors() {
    EXPECT_TRUE(counter_.Follow(path_).ok());
    return counter_.counts().at("ERROR");
  }
  test::TempDir directory_;
  const std::string path_ = directory_.Path("log");
  PgLogCounter counter_;
};

TEST_F(PgLogFile, BeginsAtTheEndAndSurvivesRotationAndTruncation) {
  EXPECT_FALSE(counter_.Follow(path_).ok());
  Append("ERROR:  before\n");
  EXPECT_EQ(Errors(), 0u);
  Append("ERROR:  one\nERROR:  tw");
  EXPECT_EQ(Errors(), 1u);
  Append("o\n");
  EXPECT_EQ(Errors(), 2u);
  Append("ERROR:  last of the old\n");
  std::filesystem::rename(path_, path_ + ".1");
  Append("ERROR:  first of the new\n");
  EXPECT_EQ(Errors(), 4u);
  std::ofstream(path_, std::ios::trunc) << "ERROR:  x\n";
  EXPECT_EQ(Errors(), 5u);
}

TEST_F(PgLogFile, LongLinesAndFloodsAreBounded) {
  Append("");
  EXPECT_EQ(Errors(), 0u);
  Append(std::string(3 << 20, 'x'));
  EXPECT_EQ(Errors(), 0u);
  EXPECT_EQ(Errors(), 0u);
  EXPECT_EQ(Errors(), 0u);
  Append("\nERROR:  after it\n");
  EXPECT_EQ(Errors(), 1u);
  Append(std::string(20 << 20, 'y'));
  EXPECT_EQ(Errors(), 1u);
  EXPECT_EQ(counter_.skipped(), 20u << 20);
}

TEST_F(PgLogFile, ALinkIsNotFollowed) {
  const std::string other = directory_.Write("other", "ERROR:  x\n");
  std::filesystem::create_symlink(other, path_);
  EXPECT_FALSE(counter_.Follow(path_).ok());
}

}  // namespace
}  // namespace quell::agent
