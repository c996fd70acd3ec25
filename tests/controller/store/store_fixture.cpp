#include "tests/controller/store/store_fixture.h"

#include <stdlib.h>

#include <filesystem>

namespace quell::store {

StoreTest::StoreTest(const std::string& parent) {
  std::string pattern = (parent.empty() ? testing::TempDir() : parent + "/") + "quell-store-XXXXXX";
  directory = mkdtemp(pattern.data());
  path = directory + "/log.db";
}

StoreTest::~StoreTest() {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

KeyLookup StoreTest::Keys() const {
  return [id = key.Id(), raw = key.PublicRaw()](std::string_view wanted) -> absl::StatusOr<std::string> {
    if (wanted == id) return raw;
    return absl::NotFoundError("no log key " + std::string(wanted));
  };
}

absl::StatusOr<std::unique_ptr<SqliteLogStore>> StoreTest::TryOpen(const std::string& vfs) {
  return SqliteLogStore::Open({path, vfs, nullptr}, key, Keys());
}

std::unique_ptr<SqliteLogStore> StoreTest::OpenRecovered() {
  auto store = TryOpen();
  EXPECT_TRUE(store.ok()) << store.status();
  if (!store.ok()) return nullptr;
  auto recovered = (*store)->Recover();
  EXPECT_TRUE(recovered.ok()) << recovered.status();
  return std::move(*store);
}

void StoreTest::Tamper(const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
  EXPECT_GT(sqlite3_total_changes(db) + (sql.rfind("DROP", 0) == 0 ? 1 : 0), 0)
      << "nothing was changed by " << sql;
  sqlite3_free(error);
  sqlite3_close(db);
}

int64_t StoreTest::Number(const std::string& sql) {
  sqlite3* db = nullptr;
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
  const int64_t number = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return number;
}

engine::Record StartRecord(uint64_t seq, uint64_t epoch) {
  engine::Record record;
  record.header.set_seq(seq);
  record.header.set_epoch(epoch);
  record.header.set_kind(v1::Payload::kControllerStarted);
  record.header.set_source("app");
  auto* started = record.payload.mutable_controller_started();
  started->set_epoch_number(epoch);
  started->set_epoch_start("start-" + std::to_string(epoch));
  return record;
}

engine::Record NoteRecord(uint64_t seq, uint64_t epoch, const std::string& text) {
  engine::Record record;
  record.header.set_seq(seq);
  record.header.set_epoch(epoch);
  record.header.set_time_us(static_cast<int64_t>(seq) * kSecond);
  record.header.set_kind(v1::Payload::kPersonAct);
  record.header.set_source("person:alice");
  record.payload.mutable_person_act()->mutable_note()->set_text(text);
  return record;
}

engine::CommitGroup GroupOf(std::vector<engine::Record> records) {
  engine::CommitGroup group;
  group.records = std::move(records);
  return group;
}

engine::ProjectionRow IncidentRow(const std::string& id, uint64_t number, Micros time, bool open) {
  v1::Incident incident;
  incident.set_id(id);
  incident.set_number(number);
  return {"incident", id, time, open, "", incident.SerializeAsString(), false};
}

v1::Snapshot SnapshotAt(uint64_t seq) {
  v1::Snapshot snapshot;
  snapshot.set_seq(seq);
  snapshot.set_next_incident(seq + 100);
  return snapshot;
}

}  // namespace quell::store
