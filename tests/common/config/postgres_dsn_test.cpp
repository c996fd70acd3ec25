#include "common/config/postgres_dsn.h"

#include <gmock/gmock.h>

namespace quell::config {
namespace {

using testing::HasSubstr;

TEST(PostgresDsn, AllOfIt) {
  // A quote inside quotes ends them, as in libpq: what follows is no pair.
  EXPECT_FALSE(ParsePostgresDsn("host=/run dbname='it''s'").ok());
  const std::string name = "it's a \"$(db)\"; id";
  const auto dsn = ParsePostgresDsn(
      "  host = db.example port=5433 user=watcher dbname='it\\'s a \"$(db)\"; id' sslmode=verify-full "
      "sslrootcert=/etc/quell/db.pem connect_timeout=5 ");
  ASSERT_TRUE(dsn.ok()) << dsn.status();
  EXPECT_EQ(dsn->host, "db.example");
  EXPECT_EQ(dsn->port, 5433);
  EXPECT_EQ(dsn->user, "watcher");
  EXPECT_EQ(dsn->dbname, name);
  EXPECT_EQ(dsn->sslmode, "verify-full");
  EXPECT_EQ(dsn->sslrootcert, "/etc/quell/db.pem");
  EXPECT_EQ(dsn->connect_timeout, 5);
  EXPECT_FALSE(dsn->is_socket());
}

TEST(PostgresDsn, Defaults) {
  const auto dsn = ParsePostgresDsn("host=/var/run/postgresql dbname=boutique");
  ASSERT_TRUE(dsn.ok()) << dsn.status();
  EXPECT_EQ(dsn->user, "quell_monitor");
  EXPECT_EQ(dsn->port, 5432);
  EXPECT_EQ(dsn->connect_timeout, 3);
  EXPECT_TRUE(dsn->is_socket());
  EXPECT_TRUE(ParsePostgresDsn("host=127.0.0.1 dbname=x").ok());
}

TEST(PostgresDsn, OneSentenceForEachMistake) {
  const std::string good = "host=/run dbname=x ";
  const std::pair<std::string, const char*> cases[] = {
      {"", "dbname is missing"},
      {"dbname=x", "host is missing"},
      {"host=/run dbname", "keyword=value"},
      {good + "password=hunter2", "password_file"},
      {good + "options='-c statement_timeout=0'", "only host"},
      {good + "service=other", "only host"},
      {good + "hostaddr=1.2.3.4", "only host"},
      {good + "passfile=/x", "only host"},
      {good + "host=/tmp", "host is there twice"},
      {good + "user=", "user is empty"},
      {good + "user='x", "quote that does not end"},
      {good + "user=x\\", "backslash"},
      {good + "user='a\nb'", "control character"},
      {good + std::string("user=a\0b", 8), "control character"},
      {good + "user=" + std::string(64, 'u'), "longer than 63"},
      {good + "port=0", "port must be"},
      {good + "port=99999999999999999999", "port must be"},
      {good + "connect_timeout=0", "connect_timeout must be"},
      {good + "sslmode=allow", "sslmode must be"},
      {good + "sslrootcert=relative", "absolute path"},
      {"host=a,b dbname=x", "one host name"},
      {"host=db.example dbname=x", "sslmode must be given"},
      {"host=/" + std::string(200, 'd') + " dbname=x", "too long"},
      {"host=/run dbname=" + std::string(2000, 'd'), "longer than"},
      {std::string(70000, 'x'), "longer than 4096"},
  };
  for (const auto& [text, sentence] : cases) {
    const auto dsn = ParsePostgresDsn(text);
    ASSERT_FALSE(dsn.ok()) << text;
    EXPECT_THAT(dsn.status().message(), HasSubstr(sentence));
    EXPECT_THAT(std::string(dsn.status().message()), testing::Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace quell::config
