// SqliteLogStore: the log in one SQLite file. Owned by main, used by the store thread alone; its connection
// is the only one that writes and checkpoints (SQLite 3.40 can lose data with several). Readers use
// StoreReader (reader.h). Durable means: WAL with synchronous=FULL, one fsync per commit.
//
// Memory: one commit group at a time; recovery holds the records since the newest snapshot (10,000 by rule).
// After an error of Commit, or DataLoss from SaveSnapshot, every further call is refused: the caller ends the
// process.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/security/signing.h"
#include "controller/engine/log_store.h"
#include "controller/store/chain.h"
#include "controller/store/file.h"
#include "controller/store/schema.h"
#include "controller/store/sqlite.h"

namespace quell::store {

struct StoreOptions {
  std::string path;
  std::string vfs;                                     // SQLite's name of a file layer; "": the system's
  const std::vector<Migration>* migrations = nullptr;  // null: this program's
};

class SqliteLogStore final : public engine::LogStore {
 public:
  // Opens or creates, migrates, takes the writer's lock. FailedPrecondition: another controller holds it, a
  // newer program wrote it, it lies on a network filesystem, or others can read it. `key` signs and outlives
  // the store; `keys` answers from the trust bundle.
  static absl::StatusOr<std::unique_ptr<SqliteLogStore>> Open(const StoreOptions& options,
                                                              const security::SigningKey& key,
                                                              KeyLookup keys);
  ~SqliteLogStore() override;

  absl::StatusOr<engine::Recovered> Recover() override;
  // Refused (and nothing written) unless the group goes on from the head, in this process' epoch or, with its
  // first record, a higher one. Aborted: another start has raised the epoch since.
  absl::StatusOr<engine::LogHead> Commit(const engine::CommitGroup& group) override;
  absl::Status SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) override;

  // True after a start that found rows of another layout (and dropped them): hand AllRows() to Rebuild….
  bool projections_stale() const { return projections_stale_; }
  absl::Status RebuildProjections(const std::vector<engine::ProjectionRow>& rows);
  // Deletes at most `most` blobs whose time has come; the number that went. A commit that brings evidence
  // does it too, by its records' time.
  absl::StatusOr<uint64_t> DropExpiredBlobs(Micros now, uint64_t most);
  // Where the log stands; valid after Recover().
  const engine::LogHead& head() const { return head_; }

 private:
  SqliteLogStore(std::unique_ptr<WriterLock> lock, Database db, const security::SigningKey& key,
                 KeyLookup keys);
  absl::Status Prepare(const StoreOptions& options);
  absl::Status PrepareProjection();
  absl::StatusOr<bool> HasRecords();
  absl::Status CheckPlace(const engine::CommitGroup& group, uint64_t epoch);
  absl::Status Usable() const;
  absl::StatusOr<engine::LogHead> WriteGroup(const engine::CommitGroup& group, uint64_t epoch);
  absl::StatusOr<engine::LogHead> WriteRecords(const std::vector<engine::Record>& records, uint64_t epoch);
  absl::Status TakeEpoch(const engine::CommitGroup& group, uint64_t epoch);
  absl::Status WriteSnapshot(const v1::Snapshot& snapshot, const std::string& digest);
  absl::StatusOr<std::vector<v1::RuleState>> ReadRuleStates();

  std::unique_ptr<WriterLock> lock_;
  Database db_;
  const security::SigningKey& key_;
  KeyLookup keys_;
  engine::LogHead head_;
  uint64_t epoch_ = 0;
  bool recovered_ = false;
  bool failed_ = false;
  bool projections_stale_ = false;
};

}  // namespace quell::store
