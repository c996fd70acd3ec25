#include "controller/store/verify.h"

#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/store/schema.h"

namespace quell::store {
namespace {

constexpr uint64_t kGroupsPerRead = 256;

GroupRow ReadGroup(const Query& query) {
  GroupRow group;
  group.last = static_cast<uint64_t>(query.IntAt(0));
  group.first = static_cast<uint64_t>(query.IntAt(1));
  group.epoch = static_cast<uint64_t>(query.IntAt(2));
  group.head = query.BytesAt(3);
  group.key_id = query.BytesAt(4);
  group.signature = query.BytesAt(5);
  return group;
}

absl::StatusOr<std::vector<GroupRow>> GroupsAfter(Database& db, uint64_t seq, uint64_t most) {
  Query query(db,
              "SELECT last, first, epoch, head, key_id, signature FROM groups WHERE last > ?1 ORDER BY last "
              "LIMIT ?2");
  query.Int(static_cast<int64_t>(seq)).Int(static_cast<int64_t>(most));
  std::vector<GroupRow> groups;
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return groups;
    groups.push_back(ReadGroup(query));
  }
}

absl::Status Damaged(uint64_t seq, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("record ", seq, " of the log: ", absl::string_view(what.data(), what.size())));
}

SnapshotRow ReadSnapshot(const Query& query) {
  SnapshotRow snapshot;
  snapshot.seq = static_cast<uint64_t>(query.IntAt(0));
  snapshot.epoch = static_cast<uint64_t>(query.IntAt(1));
  snapshot.head = query.BytesAt(2);
  snapshot.digest = query.BytesAt(3);
  snapshot.bytes = query.BytesAt(4);
  snapshot.key_id = query.BytesAt(5);
  snapshot.signature = query.BytesAt(6);
  return snapshot;
}

// The newest snapshot below a sequence number, unverified.
absl::StatusOr<std::optional<SnapshotRow>> SnapshotBelow(Database& db, int64_t seq) {
  Query query(db,
              "SELECT seq, epoch, head, digest, snapshot, key_id, signature FROM snapshots WHERE seq < ?1 "
              "ORDER BY seq DESC LIMIT 1");
  query.Int(seq);
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return std::optional<SnapshotRow>();
  return std::optional<SnapshotRow>(ReadSnapshot(query));
}

}  // namespace

absl::StatusOr<bool> LogWalk::Next(uint64_t most, const RecordSink& sink) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<GroupRow> groups, GroupsAfter(db_, head_.seq, most));
  for (const GroupRow& group : groups) QUELL_RETURN_IF_ERROR(Group(group, sink));
  return !groups.empty();
}

absl::Status LogWalk::Group(const GroupRow& group, const RecordSink& sink) {
  const std::string name = absl::StrCat("the commit group of records ", group.first, " to ", group.last);
  if (group.first != head_.seq + 1 || group.last < group.first) {
    return absl::DataLossError(absl::StrCat(name, " does not follow record ", head_.seq));
  }
  if (group.epoch < epoch_) {
    return absl::DataLossError(absl::StrCat(name, " bears epoch ", group.epoch, " after epoch ", epoch_));
  }
  for (uint64_t seq = group.first; seq <= group.last; ++seq) {
    QUELL_RETURN_IF_ERROR(OneRecord(seq, group, sink));
  }
  if (head_.chain != group.head) {
    return absl::DataLossError(absl::StrCat(
        name, " ends in another chain head than its records: a header or the group was changed"));
  }
  QUELL_RETURN_IF_ERROR(VerifyGroupSignature(group, keys_));
  epoch_ = group.epoch;
  ++groups_;
  return absl::OkStatus();
}

absl::Status LogWalk::OneRecord(uint64_t seq, const GroupRow& group, const RecordSink& sink) {
  Query query(db_, "SELECT header, payload FROM log WHERE seq = ?1");
  query.Int(static_cast<int64_t>(seq));
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return Damaged(seq, "it is missing");
  const std::string header = query.BytesAt(0);
  const std::string payload = query.BytesAt(1);
  engine::Record record;
  if (!record.header.ParseFromString(header)) return Damaged(seq, "its header cannot be read");
  if (record.header.seq() != seq) return Damaged(seq, "its header bears another sequence number");
  if (record.header.epoch() != group.epoch) return Damaged(seq, "its epoch is not its group's");
  if (Sha256(payload) != record.header.payload_sha256()) {
    return Damaged(seq, "its payload does not match the hash in its header");
  }
  if (!record.payload.ParseFromString(payload)) return Damaged(seq, "its payload cannot be read");
  head_ = {seq, NextChain(head_.chain, header)};
  ++records_;
  return sink(std::move(record));
}

absl::Status LogWalk::CheckEnd() {
  Query query(db_, "SELECT seq FROM log WHERE seq > ?1 OR seq < 1 ORDER BY seq LIMIT 1");
  query.Int(static_cast<int64_t>(head_.seq));
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("record ", query.IntAt(0), " of the log lies outside every signed commit group"));
}

absl::Status VerifySnapshot(Database& db, const SnapshotRow& snapshot, const KeyLookup& keys) {
  QUELL_RETURN_IF_ERROR(VerifySnapshotSignature(snapshot, keys));
  const std::string name = absl::StrCat("the snapshot at record ", snapshot.seq);
  Query query(db, "SELECT last, first, epoch, head, key_id, signature FROM groups WHERE last = ?1");
  query.Int(static_cast<int64_t>(snapshot.seq));
  QUELL_ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return absl::DataLossError(absl::StrCat(name, " does not lie at the end of a commit group"));
  const GroupRow group = ReadGroup(query);
  QUELL_RETURN_IF_ERROR(VerifyGroupSignature(group, keys));
  if (group.head != snapshot.head) {
    return absl::DataLossError(absl::StrCat(name, " belongs to another history than the log"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SnapshotRow>> NewestSnapshot(Database& db, const KeyLookup& keys) {
  QUELL_ASSIGN_OR_RETURN(auto snapshot, SnapshotBelow(db, INT64_MAX));
  if (snapshot.has_value()) QUELL_RETURN_IF_ERROR(VerifySnapshot(db, *snapshot, keys));
  return snapshot;
}

absl::StatusOr<VerifyReport> VerifyAll(const std::string& path, const KeyLookup& keys) {
  QUELL_ASSIGN_OR_RETURN(Database db, Database::Open(path, SQLITE_OPEN_READONLY, ""));
  QUELL_RETURN_IF_ERROR(CheckReadable(db, Migrations()));
  LogWalk walk(db, keys, {0, Genesis()}, 0);
  const RecordSink ignore = [](engine::Record) { return absl::OkStatus(); };
  for (bool more = true; more;) {
    QUELL_ASSIGN_OR_RETURN(auto read, Transaction::Begin(db, Transaction::Kind::kRead));
    QUELL_ASSIGN_OR_RETURN(more, walk.Next(kGroupsPerRead, ignore));
    // Within the same view of the file: the writer may be at the next group already.
    if (!more) QUELL_RETURN_IF_ERROR(walk.CheckEnd());
    QUELL_RETURN_IF_ERROR(read->Commit());
  }
  VerifyReport report;
  for (int64_t below = INT64_MAX;;) {
    QUELL_ASSIGN_OR_RETURN(const auto snapshot, SnapshotBelow(db, below));
    if (!snapshot.has_value()) break;
    QUELL_RETURN_IF_ERROR(VerifySnapshot(db, *snapshot, keys));
    below = static_cast<int64_t>(snapshot->seq);
    ++report.snapshots;
  }
  report.records = walk.records();
  report.groups = walk.groups();
  report.head = walk.head();
  report.epoch = walk.epoch();
  return report;
}

}  // namespace quell::store
