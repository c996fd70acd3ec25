#include "controller/store/reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/store/cursor.h"
#include "controller/store/schema.h"

namespace quell::store {
namespace {

engine::ProjectionRow ReadRow(const Query& query) {
  engine::ProjectionRow row;
  row.kind = query.BytesAt(0);
  row.id = query.BytesAt(1);
  row.time = query.IntAt(2);
  row.open = query.IntAt(3) != 0;
  row.parent = query.BytesAt(4);
  row.message = query.BytesAt(5);
  return row;
}

// The least string that is above every string with this prefix; nullopt when there is none.
std::optional<std::string> AbovePrefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::nullopt;
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

#define QUELL_ROW_COLUMNS "kind, id, time, open, parent, message"
#define QUELL_LIST                                                      \
  "SELECT " QUELL_ROW_COLUMNS                                           \
  " FROM rows WHERE kind = ?1 AND time >= ?2 AND (time, id) < (?3, ?4)" \
  " AND id >= ?5 AND (?6 = 0 OR id < ?7)"
#define QUELL_ORDER " ORDER BY time DESC, id DESC LIMIT ?8"

// One text per index that serves it.
const char* ListSql(const ListFilter& filter) {
  if (!filter.parent.empty()) {
    return filter.all ? QUELL_LIST " AND parent = ?9" QUELL_ORDER
                      : QUELL_LIST " AND parent = ?9 AND open = 1" QUELL_ORDER;
  }
  return filter.all ? QUELL_LIST QUELL_ORDER : QUELL_LIST " AND open = 1" QUELL_ORDER;
}

}  // namespace

// A connection on loan, with the time its query may take.
class StoreReader::Lease {
 public:
  Lease(StoreReader& reader, std::unique_ptr<Database> db, Micros until)
      : reader_(reader), db_(std::move(db)) {
    db_->SetDeadline(reader.clock_, until);
  }
  ~Lease() {
    absl::MutexLock lock(&reader_.mutex_);
    reader_.idle_.push_back(std::move(db_));
  }
  Database& db() { return *db_; }

 private:
  StoreReader& reader_;
  std::unique_ptr<Database> db_;
};

absl::StatusOr<std::unique_ptr<StoreReader>> StoreReader::Open(const ReaderOptions& options) {
  std::unique_ptr<StoreReader> reader(
      new StoreReader(options, options.clock != nullptr ? *options.clock : RealClock()));
  for (size_t i = 0; i < kConnections; ++i) {
    QUELL_ASSIGN_OR_RETURN(Database opened, Database::Open(options.path, SQLITE_OPEN_READONLY, ""));
    auto db = std::make_unique<Database>(std::move(opened));
    QUELL_RETURN_IF_ERROR(db->Exec("PRAGMA query_only = ON"));
    QUELL_RETURN_IF_ERROR(
        Annotate(CheckReadable(*db, Migrations()), absl::StrCat("reading the log ", options.path)));
    absl::MutexLock lock(&reader->mutex_);
    reader->idle_.push_back(std::move(db));
  }
  return reader;
}

absl::StatusOr<std::unique_ptr<StoreReader::Lease>> StoreReader::Take() {
  const Micros until = clock_.Monotonic() + options_.time_limit;
  absl::MutexLock lock(&mutex_);
  auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !idle_.empty(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&free), absl::Microseconds(options_.time_limit))) {
    return absl::ResourceExhaustedError("reading the log: both readers were busy for too long");
  }
  std::unique_ptr<Database> db = std::move(idle_.back());
  idle_.pop_back();
  return std::make_unique<Lease>(*this, std::move(db), until);
}

absl::StatusOr<ListPage> StoreReader::List(std::string_view kind, const ListFilter& filter, size_t limit,
                                           std::string_view cursor) {
  limit = limit == 0 ? options_.row_limit : std::min(limit, options_.row_limit);
  // Above every row: no id sorts after 0xff bytes at the last of all times.
  Place from{std::numeric_limits<Micros>::max(), "\xff"};
  if (!cursor.empty()) {
    QUELL_ASSIGN_OR_RETURN(from, DecodeCursor(cursor));
  }
  const auto above = AbovePrefix(filter.name);
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), ListSql(filter));
  query.Text(kind).Int(filter.since).Int(from.time).Text(from.id).Text(filter.name);
  query.Int(above.has_value() ? 1 : 0).Text(above.value_or("")).Int(static_cast<int64_t>(limit) + 1);
  if (!filter.parent.empty()) query.Text(filter.parent);
  ListPage page;
  size_t bytes = 0;
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return page;
    bytes += static_cast<size_t>(query.SizeAt(5));
    if (page.rows.size() == limit || (bytes > options_.byte_limit && !page.rows.empty())) {
      page.next_cursor = EncodeCursor({page.rows.back().time, page.rows.back().id});
      return page;
    }
    page.rows.push_back(ReadRow(query));
  }
}

absl::StatusOr<engine::ProjectionRow> StoreReader::Find(std::string_view kind, std::string_view id) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), "SELECT " QUELL_ROW_COLUMNS " FROM rows WHERE kind = ?1 AND id = ?2");
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Text(kind).Text(id).Step());
  if (row) return ReadRow(query);
  return absl::NotFoundError(absl::StrCat("there is no ", absl::string_view(kind.data(), kind.size()), " ",
                                          absl::string_view(id.data(), id.size())));
}

absl::StatusOr<engine::ProjectionRow> StoreReader::FindNumber(std::string_view kind, std::string_view parent,
                                                              uint64_t number) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), "SELECT " QUELL_ROW_COLUMNS
                           " FROM rows WHERE kind = ?1 AND parent = ?2 AND number = ?3 AND number > 0");
  query.Text(kind).Text(parent).Int(static_cast<int64_t>(number));
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (row) return ReadRow(query);
  return absl::NotFoundError(
      absl::StrCat("there is no ", absl::string_view(kind.data(), kind.size()), " number ", number));
}

absl::StatusOr<std::vector<std::string>> StoreReader::IdsWithPrefix(std::string_view kind,
                                                                    std::string_view prefix, size_t most) {
  const auto above = AbovePrefix(std::string(prefix));
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(
      lease->db(),
      "SELECT id FROM rows WHERE kind = ?1 AND id >= ?2 AND (?3 = 0 OR id < ?4) ORDER BY id LIMIT ?5");
  query.Text(kind).Text(prefix).Int(above.has_value() ? 1 : 0).Text(above.value_or(""));
  query.Int(static_cast<int64_t>(std::min(most, options_.row_limit)));
  std::vector<std::string> ids;
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return ids;
    ids.push_back(query.BytesAt(0));
  }
}

absl::StatusOr<std::vector<BlobInfo>> StoreReader::Blobs(std::string_view owner) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(
      lease->db(),
      "SELECT sha256, name, owner, expires, length(content) FROM blobs WHERE owner = ?1 ORDER BY name "
      "LIMIT ?2");
  query.Text(owner).Int(static_cast<int64_t>(options_.row_limit));
  std::vector<BlobInfo> blobs;
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return blobs;
    blobs.push_back({query.BytesAt(0), query.BytesAt(1), query.BytesAt(2), query.IntAt(3),
                     static_cast<uint64_t>(query.IntAt(4))});
  }
}

absl::StatusOr<std::string> StoreReader::BlobContent(std::string_view sha256) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), "SELECT content FROM blobs WHERE sha256 = ?1 LIMIT 1");
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Blob(sha256).Step());
  if (!row) {
    return absl::NotFoundError(
        absl::StrCat("there is no evidence ", HexEncode(sha256), ": it has expired or never was"));
  }
  std::string content = query.BytesAt(0);
  if (Sha256(content) == sha256) return content;
  return absl::DataLossError(absl::StrCat("evidence ", HexEncode(sha256), " does not match its hash"));
}

absl::StatusOr<std::vector<StoredRecord>> StoreReader::Records(uint64_t first, size_t most) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), "SELECT header, payload, seq FROM log WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
  query.Int(static_cast<int64_t>(first)).Int(static_cast<int64_t>(std::min(most, options_.row_limit)));
  std::vector<StoredRecord> records;
  size_t bytes = 0;
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return records;
    bytes += static_cast<size_t>(query.SizeAt(1));
    if (bytes > options_.byte_limit && !records.empty()) return records;
    StoredRecord record;
    if (!record.header.ParseFromString(query.BytesAt(0)) ||
        !record.payload.ParseFromString(query.BytesAt(1))) {
      return absl::DataLossError(absl::StrCat("record ", query.IntAt(2), " of the log cannot be read"));
    }
    records.push_back(std::move(record));
  }
}

absl::StatusOr<std::string> StoreReader::ChainAt(uint64_t seq) {
  QUELL_ASSIGN_OR_RETURN(auto lease, Take());
  Query query(lease->db(), "SELECT head FROM groups WHERE last = ?1");
  query.Int(static_cast<int64_t>(seq));
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return absl::NotFoundError(absl::StrCat("the log has no commit group that ends at record ", seq));
  return std::string(query.BytesAt(0));
}

}  // namespace quell::store
