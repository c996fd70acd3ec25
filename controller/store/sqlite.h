// A thin layer over SQLite: one connection, its prepared statements, and errors as absl::Status. Every value
// is bound; SQL text is always a literal of ours. A Database belongs to one thread at a time.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace quell::store {

// The library's own identification: 3.40 has a known bug with several writers, so people ask for it.
std::string SqliteSourceId();

class Database {
 public:
  // `flags` as for sqlite3_open_v2; `vfs` "" is the system's. Turns off triggers, views and loading of
  // anything that a database file could bring with it.
  static absl::StatusOr<Database> Open(const std::string& path, int flags, const std::string& vfs);

  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // One statement without values (BEGIN, PRAGMA …).
  absl::Status Exec(const char* sql);
  // From now on a statement that still runs at this monotonic time ends with DeadlineExceeded; 0: none.
  void SetDeadline(Clock& clock, Micros monotonic);
  // What the library says about a result code, as a status: "doing: reason".
  absl::Status Error(int code, std::string_view doing) const;

  sqlite3* raw() const { return db_.get(); }
  // Prepared once per SQL text and kept; at most a few dozen texts exist.
  absl::StatusOr<sqlite3_stmt*> Prepared(const char* sql);

 private:
  struct Closer {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  struct Finalizer {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  struct Limit {
    Clock* clock = nullptr;
    Micros until = 0;
  };
  Database() = default;
  static int Progress(void* limit);

  std::string path_;
  std::unique_ptr<Limit> limit_;
  std::unique_ptr<sqlite3, Closer> db_;
  std::unordered_map<std::string, std::unique_ptr<sqlite3_stmt, Finalizer>> statements_;  // before db_ dies
};

// One run of a prepared statement: bind in order, step, read columns. Resets the statement when it goes.
// Two Queries over the same SQL text must not be alive at once.
class Query {
 public:
  Query(Database& db, const char* sql);
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

  Query& Int(int64_t value);
  Query& Text(std::string_view value);
  Query& Blob(std::string_view value);

  absl::StatusOr<bool> Step();  // true: a row is there
  absl::Status Run();           // to the end, rows ignored

  int64_t IntAt(int column) const;
  std::string BytesAt(int column) const;  // text or blob, whole, NULs and all
  int64_t SizeAt(int column) const;

 private:
  void Bound(int code);

  Database& db_;
  const char* sql_;
  sqlite3_stmt* statement_ = nullptr;
  int next_ = 1;
  absl::Status status_;
};

// BEGIN … COMMIT; rolls back when it goes without Commit().
class Transaction {
 public:
  enum class Kind { kRead, kWrite };
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Database& db, Kind kind);
  absl::Status Commit();
  ~Transaction();

 private:
  explicit Transaction(Database& db) : db_(db) {}
  Database& db_;
  bool open_ = true;
};

}  // namespace quell::store
