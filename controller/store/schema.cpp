#include "controller/store/schema.h"

#include "common/base/status.h"

namespace quell::store {
namespace {

constexpr int64_t kApplicationId = 0x51454c4c;  // "QELL"

constexpr char kFirst[] = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, number INTEGER NOT NULL DEFAULT 0, bytes BLOB NOT NULL DEFAULT x'') WITHOUT ROWID;
CREATE TABLE log(seq INTEGER PRIMARY KEY, header BLOB NOT NULL, payload BLOB NOT NULL);
CREATE TABLE groups(last INTEGER PRIMARY KEY, first INTEGER NOT NULL, epoch INTEGER NOT NULL, head BLOB NOT NULL,
                    key_id TEXT NOT NULL, signature BLOB NOT NULL);
CREATE TABLE snapshots(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, head BLOB NOT NULL, digest BLOB NOT NULL,
                       snapshot BLOB NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL);
CREATE TABLE rule_state(rule TEXT NOT NULL, key TEXT NOT NULL, message BLOB NOT NULL, PRIMARY KEY(rule, key));
CREATE TABLE blobs(owner TEXT NOT NULL, name TEXT NOT NULL, sha256 BLOB NOT NULL, expires INTEGER NOT NULL,
                   content BLOB NOT NULL, PRIMARY KEY(owner, name, sha256));
CREATE INDEX blobs_by_hash ON blobs(sha256);
CREATE INDEX blobs_by_expiry ON blobs(expires);
)sql";

constexpr char kProjection[] = R"sql(
DROP TABLE IF EXISTS rows;
CREATE TABLE rows(kind TEXT NOT NULL, id TEXT NOT NULL, time INTEGER NOT NULL, open INTEGER NOT NULL,
                  parent TEXT NOT NULL, number INTEGER NOT NULL, message BLOB NOT NULL, PRIMARY KEY(kind, id));
CREATE INDEX rows_newest ON rows(kind, time, id);
CREATE INDEX rows_open ON rows(kind, time, id) WHERE open = 1;
CREATE INDEX rows_of_parent ON rows(kind, parent, time, id);
CREATE INDEX rows_by_number ON rows(kind, parent, number) WHERE number > 0;
)sql";

absl::StatusOr<int64_t> Pragma(Database& db, const char* sql) {
  Query query(db, sql);
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  return row ? query.IntAt(0) : 0;
}

absl::StatusOr<bool> IsEmpty(Database& db) {
  Query query(db, "SELECT 1 FROM sqlite_master LIMIT 1");
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  return !row;
}

absl::Status Run(Database& db, const std::vector<Migration>& migrations, int64_t from) {
  for (const Migration& step : migrations) {
    if (step.number <= from) continue;
    QUELL_RETURN_IF_ERROR(
        Annotate(db.Exec(step.sql), absl::StrCat("migrating the log to schema ", step.number)));
    QUELL_RETURN_IF_ERROR(SetMetaInt(db, "schema", step.number));
    QUELL_RETURN_IF_ERROR(SetMetaInt(db, "min_reader", step.min_reader));
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<Migration>& Migrations() {
  static const auto& table = *new std::vector<Migration>{{1, 1, kFirst}};
  return table;
}

absl::Status ResetProjection(Database& db) { return db.Exec(kProjection); }

absl::StatusOr<bool> HasProjection(Database& db) {
  Query table(db, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rows'");
  QUELL_ASSIGN_OR_RETURN(const bool there, table.Step());
  if (!there) return false;
  const auto version = MetaInt(db, "projection_version");
  if (!version.ok() && !absl::IsNotFound(version.status())) return version.status();
  return version.ok() && *version == kProjectionVersion;
}

absl::Status CheckReadable(Database& db, const std::vector<Migration>& migrations) {
  QUELL_ASSIGN_OR_RETURN(const int64_t application, Pragma(db, "PRAGMA application_id"));
  if (application != kApplicationId) {
    return absl::FailedPreconditionError("the database is not a quell log (its application id is another)");
  }
  QUELL_ASSIGN_OR_RETURN(const int64_t min_reader, MetaInt(db, "min_reader"));
  const int known = migrations.back().number;
  if (min_reader > known) {
    return absl::FailedPreconditionError(absl::StrCat("the log needs a program that knows schema ",
                                                      min_reader, " or later; this one knows ", known,
                                                      ": start the newer program again"));
  }
  return absl::OkStatus();
}

absl::Status Migrate(Database& db, const std::vector<Migration>& migrations) {
  QUELL_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(db, Transaction::Kind::kWrite));
  QUELL_ASSIGN_OR_RETURN(const bool empty, IsEmpty(db));
  int64_t from = 0;
  if (empty) {
    QUELL_RETURN_IF_ERROR(db.Exec("PRAGMA application_id = 1363496012"));
  } else {
    QUELL_RETURN_IF_ERROR(CheckReadable(db, migrations));
    QUELL_ASSIGN_OR_RETURN(from, MetaInt(db, "schema"));
  }
  QUELL_RETURN_IF_ERROR(Run(db, migrations, from));
  return transaction->Commit();
}

absl::StatusOr<int64_t> MetaInt(Database& db, std::string_view key) {
  Query query(db, "SELECT number FROM meta WHERE key = ?1");
  query.Text(key);
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (row) return query.IntAt(0);
  return absl::NotFoundError(
      absl::StrCat("the log's database has no entry ", absl::string_view(key.data(), key.size())));
}

absl::Status SetMetaInt(Database& db, std::string_view key, int64_t value) {
  Query query(db, "INSERT INTO meta(key, number) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET number = ?2");
  return query.Text(key).Int(value).Run();
}

absl::StatusOr<std::string> MetaBytes(Database& db, std::string_view key) {
  Query query(db, "SELECT bytes FROM meta WHERE key = ?1");
  query.Text(key);
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  return row ? query.BytesAt(0) : std::string();
}

absl::Status SetMetaBytes(Database& db, std::string_view key, std::string_view value) {
  Query query(db, "INSERT INTO meta(key, bytes) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET bytes = ?2");
  return query.Text(key).Blob(value).Run();
}

}  // namespace quell::store
