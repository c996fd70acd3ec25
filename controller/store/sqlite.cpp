#include "controller/store/sqlite.h"

#include "common/base/status.h"

namespace quell::store {
namespace {

// The nearest canonical code of a result code (https://www.sqlite.org/rescode.html).
absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kDeadlineExceeded;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

// The first words of a statement, for messages: SQL texts here are literals, so nothing of value is in them.
std::string Summary(std::string_view sql) { return std::string(sql.substr(0, 40)); }

void Harden(sqlite3* db) {
  sqlite3_extended_result_codes(db, 1);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_busy_timeout(db, 1000);
}

}  // namespace

std::string SqliteSourceId() { return sqlite3_sourceid(); }

absl::StatusOr<Database> Database::Open(const std::string& path, int flags, const std::string& vfs) {
  Database database;
  database.path_ = path;
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, vfs.empty() ? nullptr : vfs.c_str());
  database.db_.reset(raw);
  if (code != SQLITE_OK) return database.Error(code, "opening it");
  Harden(raw);
  return database;
}

Database& Database::operator=(Database&& other) noexcept {
  statements_.clear();
  path_ = std::move(other.path_);
  db_ = std::move(other.db_);
  limit_ = std::move(other.limit_);
  statements_ = std::move(other.statements_);
  return *this;
}

Database::~Database() { statements_.clear(); }

absl::Status Database::Error(int code, std::string_view doing) const {
  const char* reason = db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(code);
  return absl::Status(CodeOf(code),
                      absl::StrCat("database ", path_, ": ", absl::string_view(doing.data(), doing.size()),
                                   ": ", reason, " (", sqlite3_errstr(code), ", ", code, ")"));
}

absl::Status Database::Exec(const char* sql) {
  const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, Summary(sql));
}

int Database::Progress(void* limit) {
  const auto* l = static_cast<const Limit*>(limit);
  return l->until != 0 && l->clock->Monotonic() >= l->until ? 1 : 0;
}

void Database::SetDeadline(Clock& clock, Micros monotonic) {
  if (!limit_) limit_ = std::make_unique<Limit>();
  *limit_ = {&clock, monotonic};
  // Every thousand steps of the virtual machine is some 10 µs.
  sqlite3_progress_handler(db_.get(), monotonic == 0 ? 0 : 1000, &Progress, limit_.get());
}

absl::StatusOr<sqlite3_stmt*> Database::Prepared(const char* sql) {
  auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second.get();
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Error(code, Summary(sql));
  statements_.emplace(sql, statement);
  return statement;
}

Query::Query(Database& db, const char* sql) : db_(db), sql_(sql) {
  auto statement = db.Prepared(sql);
  if (statement.ok()) {
    statement_ = *statement;
  } else {
    status_ = statement.status();
  }
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::Bound(int code) {
  if (code != SQLITE_OK && status_.ok()) status_ = db_.Error(code, Summary(sql_));
}

Query& Query::Int(int64_t value) {
  if (statement_ != nullptr) Bound(sqlite3_bind_int64(statement_, next_++, value));
  return *this;
}

Query& Query::Text(std::string_view value) {
  if (statement_ != nullptr) {
    Bound(sqlite3_bind_text64(statement_, next_++, value.empty() ? "" : value.data(), value.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  return *this;
}

Query& Query::Blob(std::string_view value) {
  if (statement_ != nullptr) {
    Bound(sqlite3_bind_blob64(statement_, next_++, value.empty() ? "" : value.data(), value.size(),
                              SQLITE_TRANSIENT));
  }
  return *this;
}

absl::StatusOr<bool> Query::Step() {
  if (!status_.ok()) return status_;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  status_ = db_.Error(code, Summary(sql_));
  return status_;
}

absl::Status Query::Run() {
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

int64_t Query::IntAt(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::BytesAt(int column) const {
  // The pointer first, then the size: the order in which the library converts once.
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return size > 0 ? std::string(static_cast<const char*>(data), static_cast<size_t>(size)) : std::string();
}

int64_t Query::SizeAt(int column) const { return sqlite3_column_bytes(statement_, column); }

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database& db, Kind kind) {
  QUELL_RETURN_IF_ERROR(db.Exec(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN"));
  return std::unique_ptr<Transaction>(new Transaction(db));
}

absl::Status Transaction::Commit() {
  QUELL_RETURN_IF_ERROR(db_.Exec("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

Transaction::~Transaction() {
  // A rollback that fails leaves the transaction to be undone when the file is next opened.
  if (open_) (void)db_.Exec("ROLLBACK");
}

}  // namespace quell::store
