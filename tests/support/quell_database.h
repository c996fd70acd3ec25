// QuellDatabase: a PostgresCluster with deploy/postgres/quell.sql in the database `shop`, whose ident map
// says that the user who runs this test is both of quell's roles; a table that sessions can block each other
// on, and users who do. One thread.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "quell/v1/local.pb.h"
#include "tests/support/files.h"
#include "tests/support/postgres_cluster.h"

namespace quell::test {

class QuellDatabase {
 public:
  // `ident`: lines for pg_ident.conf's map `quell`; empty: this test's own user.
  explicit QuellDatabase(const std::string& ident = "");

  PostgresCluster& cluster() { return *cluster_; }
  v1::PostgresPlace Place() const;
  // A session of a user; `application` may be hostile.
  std::unique_ptr<PostgresSession> Open(const std::string& user, const std::string& application = "web",
                                        const std::string& database = "shop");
  // One field of a query, as superuser in shop.
  std::string One(const std::string& query);
  // As pg_stat_activity has it; pid 0 when there is none.
  v1::PostgresSession Look(int pid);
  bool AwaitWaiting(int sessions);  // so many wait for a lock
  bool Lives(const PostgresSession& session);
  // Literals that sessions' statements carry, which must not get out.
  static constexpr char kCanary[] = "canary-2b9d";

 private:
  TempDir directory_;
  std::unique_ptr<PostgresCluster> cluster_;
};

// A session in an open transaction that holds a row, and others that wait for it.
struct Blocked {
  Blocked(QuellDatabase& database, int victims, const std::string& application = "web");
  std::unique_ptr<PostgresSession> root;
  std::vector<std::unique_ptr<PostgresSession>> victims;
};

}  // namespace quell::test
