// What the store's tests share: a directory of their own, a log key, records to commit, SQL behind the
// store's back.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "controller/store/sqlite_log_store.h"

namespace quell::store {

class StoreTest : public testing::Test {
 protected:
  // A directory below `parent`; "" means where tests have theirs.
  explicit StoreTest(const std::string& parent = "");
  ~StoreTest() override;

  KeyLookup Keys() const;  // trusts `key` alone
  absl::StatusOr<std::unique_ptr<SqliteLogStore>> TryOpen(const std::string& vfs = "");
  // Open and Recover, both must succeed.
  std::unique_ptr<SqliteLogStore> OpenRecovered();
  // Runs SQL on a connection of its own, as somebody with access to the file would.
  void Tamper(const std::string& sql);
  int64_t Number(const std::string& sql);  // the first column of the first row

  std::string directory;
  std::string path;
  security::SigningKey key = security::SigningKey::Generate();
};

// The start of an epoch, and a note by a person.
engine::Record StartRecord(uint64_t seq, uint64_t epoch);
engine::Record NoteRecord(uint64_t seq, uint64_t epoch, const std::string& text);
engine::CommitGroup GroupOf(std::vector<engine::Record> records);
engine::ProjectionRow IncidentRow(const std::string& id, uint64_t number, Micros time, bool open = true);
v1::Snapshot SnapshotAt(uint64_t seq);

}  // namespace quell::store
