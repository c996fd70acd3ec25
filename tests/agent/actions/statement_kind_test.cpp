// What is said of a statement's text.
#include "agent/actions/statement_kind.h"

#include <gtest/gtest.h>

namespace quell::agent {
namespace {

TEST(StatementKind, IsThatOfAnyStatementInTheText) {
  EXPECT_EQ(StatementKind("ALTER TABLE a ADD b int"), "ddl");
  EXPECT_EQ(StatementKind("  -- why\n /* x /* nested */ ; */ create index on a(b)"), "ddl");
  EXPECT_EQ(StatementKind("BEGIN; SELECT 1; DROP TABLE a"), "ddl");
  EXPECT_EQ(StatementKind("vacuum full"), "maintenance");
  EXPECT_EQ(StatementKind("COPY public.a (b) TO stdout"), "copy");
  EXPECT_EQ(StatementKind("(SELECT 1); copy a from stdin"), "copy");
  EXPECT_EQ(StatementKind("UPDATE a SET b = 1"), "");
  EXPECT_EQ(StatementKind(""), "");
}

TEST(StatementKind, IsNotFoundInQuotedText) {
  EXPECT_EQ(StatementKind("SELECT '; DROP TABLE a'"), "");
  EXPECT_EQ(StatementKind("SELECT 'it''s; DROP', \"; drop\" FROM a"), "");
  EXPECT_EQ(StatementKind("SELECT E'\\'; DROP TABLE a'"), "");
  EXPECT_EQ(StatementKind("SELECT 'a\\'; DROP TABLE a"), "ddl");  // a backslash is a letter there
  EXPECT_EQ(StatementKind("DO $x$ BEGIN; DROP TABLE a; $y$ $x$"), "");
  EXPECT_EQ(StatementKind("SELECT $1; DROP TABLE a"), "ddl");
  EXPECT_EQ(StatementKind("SELECT 'cut in the mid; DROP"), "");
}

TEST(StatementTag, IsAKeywordAndNothingElse) {
  EXPECT_EQ(StatementTag("update a set b = 'canary'"), "UPDATE");
  EXPECT_EQ(StatementTag("/* c */ SELECT 1"), "SELECT");
  EXPECT_EQ(StatementTag("hunter2"), "other");
  EXPECT_EQ(StatementTag("'hunter2'"), "other");
  EXPECT_EQ(StatementTag(" ; "), "");
}

}  // namespace
}  // namespace quell::agent
