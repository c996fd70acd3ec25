#include "controller/store/sqlite_log_store.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/store/projection.h"
#include "controller/store/verify.h"

namespace quell::store {
namespace {

constexpr int kSnapshotsKept = 3;
constexpr uint64_t kBlobsDroppedAtOnce = 16;

// Map fields in one order, so that the same state gives the same bytes.
std::string Deterministic(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::Status Configure(Database& db) {
  QUELL_RETURN_IF_ERROR(db.Exec("PRAGMA journal_mode = WAL"));
  QUELL_RETURN_IF_ERROR(db.Exec("PRAGMA synchronous = FULL"));
  QUELL_RETURN_IF_ERROR(db.Exec("PRAGMA cell_size_check = ON"));
  QUELL_RETURN_IF_ERROR(db.Exec("PRAGMA wal_autocheckpoint = 1000"));  // pages: 4 MiB of WAL
  return db.Exec("PRAGMA journal_size_limit = 16777216");
}

// A string that is not UTF-8 can be written but not read again: it must not come to lie in the log, where
// every later start would stumble over it.
absl::Status CheckReadableBack(const engine::Record& record, const std::string& payload) {
  v1::Payload read;
  v1::RecordHeader header;
  if (read.ParseFromString(payload) && header.ParseFromString(record.header.SerializeAsString())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("committing record ", record.header.seq(), ": it holds text that is not UTF-8"));
}

absl::StatusOr<uint64_t> EpochOf(const engine::CommitGroup& group, uint64_t current) {
  if (group.records.empty()) return current;
  const uint64_t epoch = group.records.front().header.epoch();
  for (const engine::Record& record : group.records) {
    if (record.header.epoch() != epoch) {
      return absl::InvalidArgumentError(
          absl::StrCat("committing record ", record.header.seq(), ": its epoch is not its group's"));
    }
  }
  return epoch;
}

}  // namespace

SqliteLogStore::SqliteLogStore(std::unique_ptr<WriterLock> lock, Database db, const security::SigningKey& key,
                               KeyLookup keys)
    : lock_(std::move(lock)), db_(std::move(db)), key_(key), keys_(std::move(keys)) {
  head_.chain = Genesis();
}

SqliteLogStore::~SqliteLogStore() = default;

absl::StatusOr<std::unique_ptr<SqliteLogStore>> SqliteLogStore::Open(const StoreOptions& options,
                                                                     const security::SigningKey& key,
                                                                     KeyLookup keys) {
  QUELL_ASSIGN_OR_RETURN(auto lock, WriterLock::Take(options.path));
  QUELL_RETURN_IF_ERROR(PrepareFile(options.path));
  QUELL_ASSIGN_OR_RETURN(
      Database db, Database::Open(options.path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, options.vfs));
  std::unique_ptr<SqliteLogStore> store(
      new SqliteLogStore(std::move(lock), std::move(db), key, std::move(keys)));
  QUELL_RETURN_IF_ERROR(Annotate(store->Prepare(options), absl::StrCat("opening the log ", options.path)));
  return store;
}

absl::Status SqliteLogStore::Prepare(const StoreOptions& options) {
  QUELL_RETURN_IF_ERROR(Configure(db_));
  QUELL_RETURN_IF_ERROR(Migrate(db_, options.migrations != nullptr ? *options.migrations : Migrations()));
  QUELL_RETURN_IF_ERROR(PrepareProjection());
  const auto epoch = MetaInt(db_, "epoch");
  if (!epoch.ok() && !absl::IsNotFound(epoch.status())) return epoch.status();
  epoch_ = epoch.ok() ? static_cast<uint64_t>(*epoch) : 0;
  return SyncDirectoryOf(options.path);
}

absl::Status SqliteLogStore::PrepareProjection() {
  QUELL_ASSIGN_OR_RETURN(const bool there, HasProjection(db_));
  if (there) return absl::OkStatus();
  QUELL_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(db_, Transaction::Kind::kWrite));
  QUELL_RETURN_IF_ERROR(ResetProjection(db_));
  QUELL_ASSIGN_OR_RETURN(projections_stale_, HasRecords());
  // A log with records stays unmarked until its rows are there again.
  QUELL_RETURN_IF_ERROR(SetMetaInt(db_, "projection_version", projections_stale_ ? 0 : kProjectionVersion));
  return transaction->Commit();
}

absl::StatusOr<bool> SqliteLogStore::HasRecords() {
  Query any(db_, "SELECT 1 FROM log LIMIT 1");
  return any.Step();
}

absl::Status SqliteLogStore::RebuildProjections(const std::vector<engine::ProjectionRow>& rows) {
  QUELL_RETURN_IF_ERROR(Usable());
  QUELL_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(db_, Transaction::Kind::kWrite));
  QUELL_RETURN_IF_ERROR(ResetProjection(db_));
  QUELL_RETURN_IF_ERROR(WriteRows(db_, rows));
  QUELL_RETURN_IF_ERROR(SetMetaInt(db_, "projection_version", kProjectionVersion));
  QUELL_RETURN_IF_ERROR(transaction->Commit());
  projections_stale_ = false;
  return absl::OkStatus();
}

absl::Status SqliteLogStore::Usable() const {
  if (failed_)
    return absl::FailedPreconditionError("the log failed before: nothing is written to it any more");
  return absl::OkStatus();
}

absl::StatusOr<engine::Recovered> SqliteLogStore::Recover() {
  QUELL_RETURN_IF_ERROR(Usable());
  engine::Recovered recovered;
  QUELL_ASSIGN_OR_RETURN(auto read, Transaction::Begin(db_, Transaction::Kind::kRead));
  QUELL_ASSIGN_OR_RETURN(const auto snapshot, NewestSnapshot(db_, keys_));
  engine::LogHead from{0, Genesis()};
  uint64_t epoch = 0;
  if (snapshot.has_value()) {
    if (!recovered.snapshot.ParseFromString(snapshot->bytes) || recovered.snapshot.seq() != snapshot->seq) {
      return absl::DataLossError(absl::StrCat("the snapshot at record ", snapshot->seq, " cannot be read"));
    }
    recovered.digest = snapshot->digest;
    from = {snapshot->seq, snapshot->head};
    epoch = snapshot->epoch;
  }
  LogWalk walk(db_, keys_, from, epoch);
  const RecordSink keep = [&recovered](engine::Record record) {
    recovered.tail.push_back(std::move(record));
    return absl::OkStatus();
  };
  for (bool more = true; more;) {
    QUELL_ASSIGN_OR_RETURN(more, walk.Next(256, keep));
  }
  QUELL_RETURN_IF_ERROR(walk.CheckEnd());
  if (walk.epoch() > epoch_) {
    return absl::DataLossError(absl::StrCat("the log's records bear epoch ", walk.epoch(),
                                            ", but the epoch it remembers is ", epoch_));
  }
  QUELL_ASSIGN_OR_RETURN(recovered.rule_states, ReadRuleStates());
  QUELL_RETURN_IF_ERROR(read->Commit());
  recovered.head = head_ = walk.head();
  recovered.epoch = epoch_;
  recovered_ = true;
  return recovered;
}

absl::StatusOr<std::vector<v1::RuleState>> SqliteLogStore::ReadRuleStates() {
  std::vector<v1::RuleState> states;
  Query query(db_, "SELECT message, rule FROM rule_state ORDER BY rule, key");
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return states;
    v1::RuleState state;
    if (!state.ParseFromString(query.BytesAt(0))) {
      return absl::DataLossError(
          absl::StrCat("the kept state of rule ", query.BytesAt(1), " cannot be read"));
    }
    states.push_back(std::move(state));
  }
}

absl::StatusOr<engine::LogHead> SqliteLogStore::Commit(const engine::CommitGroup& group) {
  QUELL_RETURN_IF_ERROR(Usable());
  if (!recovered_) return absl::FailedPreconditionError("committing to a log that was not recovered first");
  auto head = [&]() -> absl::StatusOr<engine::LogHead> {
    QUELL_ASSIGN_OR_RETURN(const uint64_t epoch, EpochOf(group, epoch_));
    return WriteGroup(group, epoch);
  }();
  if (head.ok()) {
    head_ = *head;
  } else {
    failed_ = true;
  }
  return head;
}

absl::StatusOr<engine::LogHead> SqliteLogStore::WriteGroup(const engine::CommitGroup& group, uint64_t epoch) {
  QUELL_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(db_, Transaction::Kind::kWrite));
  QUELL_RETURN_IF_ERROR(CheckPlace(group, epoch));
  if (epoch > epoch_) QUELL_RETURN_IF_ERROR(TakeEpoch(group, epoch));
  QUELL_ASSIGN_OR_RETURN(engine::LogHead head, WriteRecords(group.records, epoch));
  QUELL_RETURN_IF_ERROR(WriteRuleStates(db_, group.rule_states));
  QUELL_RETURN_IF_ERROR(WriteBlobs(db_, group.blobs));
  if (!group.blobs.empty() && !group.records.empty()) {
    // New evidence makes the old that has expired go: no more than a few rows, so that no commit is long.
    QUELL_RETURN_IF_ERROR(
        DropExpiredBlobs(group.records.back().header.time_us(), kBlobsDroppedAtOnce + group.blobs.size())
            .status());
  }
  QUELL_RETURN_IF_ERROR(WriteRows(db_, group.rows));
  QUELL_RETURN_IF_ERROR(transaction->Commit());
  epoch_ = epoch;
  return head;
}

absl::Status SqliteLogStore::CheckPlace(const engine::CommitGroup& group, uint64_t epoch) {
  const auto stored = MetaInt(db_, "epoch");
  if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
  const uint64_t now = stored.ok() ? static_cast<uint64_t>(*stored) : 0;
  if (now != epoch_) {
    return absl::AbortedError(absl::StrCat("committing in epoch ", epoch_, ": the log is in epoch ", now,
                                           " now, another controller has started on it"));
  }
  if (epoch < epoch_) {
    return absl::InvalidArgumentError(
        absl::StrCat("committing in epoch ", epoch, ", but the log is in epoch ", epoch_));
  }
  uint64_t expected = head_.seq;
  for (const engine::Record& record : group.records) {
    if (record.header.seq() != ++expected) {
      return absl::InvalidArgumentError(absl::StrCat("committing record ", record.header.seq(),
                                                     ": the log goes on with record ", expected));
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteLogStore::TakeEpoch(const engine::CommitGroup& group, uint64_t epoch) {
  const v1::Payload& first = group.records.front().payload;
  QUELL_RETURN_IF_ERROR(SetMetaInt(db_, "epoch", static_cast<int64_t>(epoch)));
  return SetMetaBytes(db_, "epoch_start",
                      first.has_controller_started() ? first.controller_started().epoch_start() : "");
}

absl::StatusOr<engine::LogHead> SqliteLogStore::WriteRecords(const std::vector<engine::Record>& records,
                                                             uint64_t epoch) {
  if (records.empty()) return head_;
  engine::LogHead head = head_;
  for (const engine::Record& record : records) {
    const std::string payload = record.payload.SerializeAsString();
    QUELL_RETURN_IF_ERROR(CheckReadableBack(record, payload));
    v1::RecordHeader header = record.header;
    header.set_payload_sha256(Sha256(payload));
    const std::string bytes = header.SerializeAsString();
    head = {header.seq(), NextChain(head.chain, bytes)};
    QUELL_RETURN_IF_ERROR(Query(db_, "INSERT INTO log(seq, header, payload) VALUES(?1, ?2, ?3)")
                              .Int(static_cast<int64_t>(header.seq()))
                              .Blob(bytes)
                              .Blob(payload)
                              .Run());
  }
  GroupRow group{epoch, head_.seq + 1, head.seq, head.chain, key_.Id(), ""};
  group.signature = key_.Sign(security::kLogContext, GroupBody(group));
  QUELL_RETURN_IF_ERROR(
      Query(db_,
            "INSERT INTO groups(last, first, epoch, head, key_id, signature) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")
          .Int(static_cast<int64_t>(group.last))
          .Int(static_cast<int64_t>(group.first))
          .Int(static_cast<int64_t>(group.epoch))
          .Blob(group.head)
          .Text(group.key_id)
          .Blob(group.signature)
          .Run());
  return head;
}

absl::Status SqliteLogStore::SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) {
  QUELL_RETURN_IF_ERROR(Usable());
  const absl::Status saved = WriteSnapshot(snapshot, digest);
  if (saved.ok()) return saved;
  const std::string doing = absl::StrCat("saving the snapshot at record ", snapshot.seq());
  // What was undone, for want of room or for its own content, leaves the log as it was.
  const bool undone = sqlite3_get_autocommit(db_.raw()) != 0;
  if (undone && !absl::IsDataLoss(saved) && !absl::IsInternal(saved)) return Annotate(saved, doing);
  failed_ = true;
  return absl::DataLossError(absl::StrCat(doing, ": ", saved.message()));
}

absl::Status SqliteLogStore::WriteSnapshot(const v1::Snapshot& snapshot, const std::string& digest) {
  QUELL_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(db_, Transaction::Kind::kWrite));
  QUELL_RETURN_IF_ERROR(CheckPlace({}, epoch_));
  SnapshotRow row{epoch_, snapshot.seq(), "", digest, Deterministic(snapshot), key_.Id(), ""};
  {
    Query group(db_, "SELECT head FROM groups WHERE last = ?1");
    group.Int(static_cast<int64_t>(row.seq));
    QUELL_ASSIGN_OR_RETURN(const bool found, group.Step());
    if (!found) return absl::InvalidArgumentError("no commit group ends there");
    row.head = group.BytesAt(0);
  }
  row.signature = key_.Sign(kSnapshotContext, SnapshotBody(row));
  QUELL_RETURN_IF_ERROR(Query(db_,
                              "INSERT OR REPLACE INTO snapshots(seq, epoch, head, digest, snapshot, key_id, "
                              "signature) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                            .Int(static_cast<int64_t>(row.seq))
                            .Int(static_cast<int64_t>(row.epoch))
                            .Blob(row.head)
                            .Blob(row.digest)
                            .Blob(row.bytes)
                            .Text(row.key_id)
                            .Blob(row.signature)
                            .Run());
  QUELL_RETURN_IF_ERROR(
      Query(db_,
            "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?1)")
          .Int(kSnapshotsKept)
          .Run());
  return transaction->Commit();
}

absl::StatusOr<uint64_t> SqliteLogStore::DropExpiredBlobs(Micros now, uint64_t most) {
  QUELL_RETURN_IF_ERROR(Usable());
  Query query(db_,
              "DELETE FROM blobs WHERE rowid IN (SELECT rowid FROM blobs WHERE expires <= ?1 AND expires > 0 "
              "ORDER BY expires LIMIT ?2)");
  QUELL_RETURN_IF_ERROR(query.Int(now).Int(static_cast<int64_t>(most)).Run());
  return static_cast<uint64_t>(sqlite3_changes64(db_.raw()));
}

}  // namespace quell::store
