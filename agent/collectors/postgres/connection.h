// PgConnection: one connection to one PostgreSQL server, for reading its statistics. Nothing it does waits
// without end: a deadline of ours stands beside the server's own timeouts, so that a server that is stopped
// or unreachable costs one collection and not the thread (a name is resolved by the system's resolver, with
// its own limits). Over libpq itself rather than libpqxx, whose calls know no such deadline.
//
// The session is read-only, with statement_timeout 2 s, lock_timeout 100 ms and pg_catalog as its search
// path, says application_name quell-agent, and reads no password file of the user's. Owned by one collector;
// one thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/config/postgres_dsn.h"
#include "common/config/secret.h"

struct pg_conn;
struct pg_result;

namespace quell::agent {

// The rows of one answer. Text is UTF-8, whatever the server sent.
class PgRows {
 public:
  explicit PgRows(pg_result* result) : result_(result) {}
  PgRows(PgRows&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}
  PgRows& operator=(PgRows&& other) noexcept;
  ~PgRows();

  int size() const;
  int columns() const;
  bool IsNull(int row, int column) const;
  std::string Text(int row, int column) const;  // "" for NULL
  double Number(int row, int column) const;     // 0 for NULL and for what is no number
  int64_t Integer(int row, int column) const;   // likewise
  bool Bool(int row, int column) const { return Raw(row, column) == "t"; }
  std::vector<int64_t> Integers(int row, int column) const;  // of an integer array without NULLs

 private:
  std::string_view Raw(int row, int column) const;
  pg_result* result_;
};

class PgConnection {
 public:
  // Unavailable: nobody answers there, or the server takes nobody now (it starts, stops, or is full).
  // PermissionDenied: it answers, and refuses this user or database. `password` may be empty.
  static absl::StatusOr<std::unique_ptr<PgConnection>> Open(const config::PostgresDsn& dsn,
                                                            const config::Secret& password);
  PgConnection(const PgConnection&) = delete;
  ~PgConnection();

  int version() const;  // server_version_num, as 150004
  int pid() const;      // of the server's process for us
  bool broken() const { return broken_; }

  // One statement of ours, prepared at its first use. `sql` is constant text; `parameters` are values.
  // ResourceExhausted: it waited too long for a lock or took too long; the connection goes on. Unavailable:
  // the connection is lost. FailedPrecondition: the server refused the statement.
  absl::StatusOr<PgRows> Query(const char* sql, const std::vector<std::string>& parameters = {});

 private:
  explicit PgConnection(pg_conn* conn) : conn_(conn) {}
  absl::Status Connect(Micros deadline);
  absl::Status Wait(bool for_reading, bool for_writing, Micros deadline);
  absl::StatusOr<pg_result*> Result(Micros deadline);
  absl::StatusOr<PgRows> Take(Micros deadline);
  absl::Status Lost(std::string what);

  pg_conn* const conn_;
  bool broken_ = false;
  std::vector<const char*> prepared_;  // by address: statements are constants; the index names them
};

// The array literal for a parameter like $1::oid[].
std::string PgArray(const std::vector<int64_t>& values);

}  // namespace quell::agent
