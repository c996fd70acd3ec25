// PostgresClient: one connection of a worker to a PostgreSQL server, as one of quell's roles, by peer
// authentication over the server's Unix socket. Blocks; one thread. Every wait is bounded: connecting,
// statements (by the server), locks (100 ms).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

using PostgresRow = std::vector<std::string>;  // an SQL NULL is ""

class PostgresClient {
 public:
  // `within`: of each statement; connecting has that many whole seconds, at least two (libpq counts no less).
  // FailedPrecondition: the place is none that a worker may go to. Unavailable: the server doesn't take it,
  // and its reason.
  static absl::StatusOr<std::unique_ptr<PostgresClient>> Connect(const v1::PostgresPlace& place,
                                                                 const std::string& role, Micros within);
  PostgresClient(const PostgresClient&) = delete;
  ~PostgresClient();

  // One statement, its parameters ($1, $2, …) apart from its text. Unavailable: the connection broke, and
  // whether the statement was executed is not known; any other error: the server refused it.
  absl::StatusOr<std::vector<PostgresRow>> Query(const std::string& text,
                                                 const std::vector<std::string>& parameters);
  // Of the server's last refusal; "" while there is none.
  const std::string& sqlstate() const { return sqlstate_; }
  // As PostgreSQL numbers itself: 150004.
  int server_version() const;

 private:
  struct Connection;
  explicit PostgresClient(std::unique_ptr<Connection> connection);
  const std::unique_ptr<Connection> connection_;
  std::string sqlstate_;
};

}  // namespace quell::agent
