// Lists, look-ups and evidence, read beside the writer; hostile strings in every string column.
#include "controller/store/reader.h"

#include <gmock/gmock.h>

#include "common/base/ids.h"
#include "tests/controller/store/store_fixture.h"

namespace quell::store {
namespace {

using testing::ElementsAre;

class ReaderTest : public StoreTest {
 protected:
  void SetUp() override {
    store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1)})).ok());
  }
  void Put(std::vector<engine::ProjectionRow> rows) {
    engine::CommitGroup group;
    group.rows = std::move(rows);
    ASSERT_TRUE(store->Commit(group).ok());
  }
  std::unique_ptr<StoreReader> Reader(ReaderOptions options = {}) {
    options.path = path;
    auto reader = StoreReader::Open(options);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return std::move(*reader);
  }
  static std::vector<std::string> Ids(const absl::StatusOr<ListPage>& page) {
    std::vector<std::string> ids;
    EXPECT_TRUE(page.ok()) << page.status();
    if (page.ok()) {
      for (const auto& row : page->rows) ids.push_back(row.id);
    }
    return ids;
  }
  static engine::ProjectionRow Row(const std::string& kind, const std::string& id, Micros time,
                                   bool open = true, const std::string& parent = "") {
    return {kind, id, time, open, parent, "message of " + id, false};
  }
  std::unique_ptr<SqliteLogStore> store;
};

TEST_F(ReaderTest, ListsAreNewestFirstAndShowOpenOnesUnlessAllAreAsked) {
  Put({Row("incident", "a", 10), Row("incident", "b", 30, false), Row("incident", "c", 20),
       Row("host", "h", 99)});
  auto reader = Reader();
  EXPECT_THAT(Ids(reader->List("incident", {}, 0, "")), ElementsAre("c", "a"));
  EXPECT_THAT(Ids(reader->List("incident", {true, 0, "", ""}, 0, "")), ElementsAre("b", "c", "a"));
  EXPECT_THAT(Ids(reader->List("incident", {true, 20, "", ""}, 0, "")), ElementsAre("b", "c"));
  EXPECT_THAT(Ids(reader->List("nothing", {}, 0, "")), ElementsAre());
}

TEST_F(ReaderTest, PagesJoinWithoutGapsOrRepeatsEvenAtEqualTimes) {
  std::vector<engine::ProjectionRow> rows;
  for (int i = 0; i < 57; ++i) rows.push_back(Row("event", "e" + std::to_string(i), 100 + i / 10));
  Put(rows);
  auto reader = Reader();
  const auto whole = Ids(reader->List("event", {}, 0, ""));
  ASSERT_EQ(whole.size(), 57u);
  std::vector<std::string> joined;
  std::string cursor;
  do {
    auto page = reader->List("event", {}, 10, cursor);
    ASSERT_TRUE(page.ok());
    for (const auto& row : page->rows) joined.push_back(row.id);
    cursor = page->next_cursor;
  } while (!cursor.empty());
  EXPECT_EQ(joined, whole);
}

TEST_F(ReaderTest, ACursorThatWasNotHandedOutIsRefused) {
  auto reader = Reader();
  for (const std::string& bad : {std::string("x"), std::string("00"), std::string("zz00000000000000"),
                                 std::string("' OR 1=1 --"), std::string(1 << 20, '0')}) {
    EXPECT_EQ(reader->List("event", {}, 0, bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(ReaderTest, CommandsAreListedByIncidentAndFoundByNumber) {
  v1::CommandEntry command;
  command.set_number(2);
  engine::ProjectionRow row{"command", "c1", 5, true, "INC-1", command.SerializeAsString(), false};
  Put({IncidentRow("INC-1", 417, 1), row, Row("command", "c2", 6, true, "INC-2")});
  auto reader = Reader();
  EXPECT_THAT(Ids(reader->List("command", {false, 0, "", "INC-1"}, 0, "")), ElementsAre("c1"));
  EXPECT_EQ(reader->FindNumber("incident", "", 417)->id, "INC-1");
  EXPECT_EQ(reader->FindNumber("command", "INC-1", 2)->id, "c1");
  EXPECT_TRUE(absl::IsNotFound(reader->FindNumber("incident", "", 418).status()));
  EXPECT_TRUE(absl::IsNotFound(reader->FindNumber("command", "INC-2", 0).status()));
}

TEST_F(ReaderTest, PrefixesFindIds) {
  Put({Row("incident", "INC-20261123-031207", 1), Row("incident", "INC-20261123-04", 2),
       Row("incident", "X", 3)});
  auto reader = Reader();
  EXPECT_THAT(*reader->IdsWithPrefix("incident", "INC-20261123-0", 2),
              ElementsAre("INC-20261123-031207", "INC-20261123-04"));
  EXPECT_THAT(*reader->IdsWithPrefix("incident", "INC-20261123-03", 2), ElementsAre("INC-20261123-031207"));
  EXPECT_THAT(*reader->IdsWithPrefix("incident", "INC_20261123-0", 2),
              ElementsAre());  // no pattern characters
  EXPECT_THAT(Ids(reader->List("incident", {true, 0, "INC-", ""}, 0, "")),
              ElementsAre("INC-20261123-04", "INC-20261123-031207"));
}

TEST_F(ReaderTest, ARowIsReplacedAndRemoved) {
  auto reader = Reader();
  Put({Row("hold", "h", 1)});
  Put({Row("hold", "h", 2, false)});
  EXPECT_EQ(reader->Find("hold", "h")->time, 2);
  EXPECT_FALSE(reader->Find("hold", "h")->open);
  engine::ProjectionRow gone = Row("hold", "h", 3);
  gone.removed = true;
  Put({gone});
  EXPECT_TRUE(absl::IsNotFound(reader->Find("hold", "h").status()));
}

TEST_F(ReaderTest, X06_HostileStringsComeBackAsTheyWereInEveryColumn) {
  const std::vector<std::string> hostile = {"'; DROP TABLE log; --",
                                            "\" OR \"\"=\"",
                                            std::string("nul\0byte", 8),
                                            "%_*?[a-z]",
                                            "?1 $x :y @z",
                                            "\xff\xfe\x80",
                                            "\xe2\x80\xae\x1b[31m\r\n",
                                            std::string(1 << 16, 'L'),
                                            ""};
  engine::CommitGroup group;
  for (size_t i = 0; i < hostile.size(); ++i) {
    const std::string& s = hostile[i];
    group.rows.push_back({s, "id", 1, true, "", "m", false});
    group.rows.push_back({"k", s, 1, true, s, s, false});
    group.blobs.push_back({Sha256(s), s, s, s, 9});
  }
  ASSERT_TRUE(store->Commit(group).ok());
  auto reader = Reader();
  for (const std::string& s : hostile) {
    EXPECT_EQ(reader->Find(s, "id")->kind, s);
    EXPECT_EQ(reader->Find("k", s)->message, s);
    EXPECT_EQ(reader->List(s, {}, 0, "")->rows.size(), 1u);
    EXPECT_THAT(Ids(reader->List("k", {false, 0, s, s}, 0, "")), testing::Contains(s));
    EXPECT_THAT(*reader->IdsWithPrefix("k", s, 100), testing::Contains(s));
    ASSERT_EQ(reader->Blobs(s)->size(), 1u);
    EXPECT_EQ((*reader->Blobs(s))[0].name, s);
    EXPECT_EQ(*reader->BlobContent(Sha256(s)), s);
  }
  // A page may end at any of them.
  std::string cursor;
  size_t rows = 0;
  do {
    auto page = reader->List("k", {}, 1, cursor);
    ASSERT_TRUE(page.ok());
    rows += page->rows.size();
    cursor = page->next_cursor;
    if (cursor.size() > 4096) break;  // the 64 KiB id: no id of ours is that long
  } while (!cursor.empty());
  EXPECT_GE(rows, 1u);
  EXPECT_EQ(Number("SELECT count(*) FROM log"), 1);
}

TEST_F(ReaderTest, X06_HostileTextInARecordComesBack) {
  ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(2, 1, "'; DELETE FROM log; --\x1b[2J")})).ok());
  auto records = Reader()->Records(2, 10);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 1u);
  EXPECT_EQ((*records)[0].payload.person_act().note().text(), "'; DELETE FROM log; --\x1b[2J");
}

TEST_F(ReaderTest, TextThatCouldNotBeReadAgainIsNotCommitted) {
  auto refused = store->Commit(GroupOf({NoteRecord(2, 1, "\xff\xfe")}));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  store.reset();
  auto reopened = TryOpen();
  EXPECT_EQ((*reopened)->Recover()->head.seq, 1u);
}

TEST_F(ReaderTest, AnswersAreBoundedInRowsAndBytes) {
  std::vector<engine::ProjectionRow> rows;
  for (int i = 0; i < 30; ++i) {
    rows.push_back(Row("event", std::to_string(i), i));
    rows.back().message = std::string(1000, 'm');
  }
  Put(rows);
  ReaderOptions few;
  few.row_limit = 7;
  auto page = Reader(few)->List("event", {}, 1'000'000, "");
  EXPECT_EQ(page->rows.size(), 7u);
  EXPECT_FALSE(page->next_cursor.empty());
  ReaderOptions small;
  small.byte_limit = 3500;
  EXPECT_EQ(Reader(small)->List("event", {}, 0, "")->rows.size(), 3u);
  small.byte_limit = 10;  // at least one row, or nobody would ever get further
  EXPECT_EQ(Reader(small)->List("event", {}, 0, "")->rows.size(), 1u);
}

TEST_F(ReaderTest, AQueryThatTakesTooLongIsEnded) {
  std::vector<engine::ProjectionRow> rows;
  for (int i = 0; i < 20'000; ++i) rows.push_back(Row("event", "e" + std::to_string(i), i, true, "p"));
  Put(rows);
  ReaderOptions hurried;
  hurried.time_limit = 0;
  auto reader = Reader(hurried);
  // Nothing matches, so that all rows are looked at.
  EXPECT_EQ(reader->List("event", {false, 0, "zzz", ""}, 0, "").status().code(),
            absl::StatusCode::kDeadlineExceeded);
  // The connection serves on.
  EXPECT_TRUE(reader->Find("event", "e1").ok());
}

TEST_F(ReaderTest, AnOpenReadDoesNotHoldUpACommit) {
  Put({Row("event", "e", 1)});
  auto db = Database::Open(path, SQLITE_OPEN_READONLY, "");
  ASSERT_TRUE(db.ok());
  auto read = Transaction::Begin(*db, Transaction::Kind::kRead);
  Query query(*db, "SELECT id FROM rows");
  ASSERT_TRUE(*query.Step());
  EXPECT_TRUE(store->Commit(GroupOf({NoteRecord(2, 1, "meanwhile")})).ok());
}

TEST_F(ReaderTest, AReaderCannotWrite) {
  auto db = Database::Open(path, SQLITE_OPEN_READONLY, "");
  ASSERT_TRUE(db.ok());
  EXPECT_FALSE(db->Exec("DELETE FROM rows").ok());
  EXPECT_FALSE(db->Exec("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM log").ok());
}

TEST_F(ReaderTest, ADamagedBlobIsNotHandedOut) {
  engine::CommitGroup group;
  group.blobs = {{Sha256("evidence"), "evidence", "n", "INC-1", 9}};
  ASSERT_TRUE(store->Commit(group).ok());
  Tamper("UPDATE blobs SET content = 'forged'");
  EXPECT_EQ(Reader()->BlobContent(Sha256("evidence")).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ReaderTest, ReadersWorkAfterTheWriterHasGone) {
  Put({Row("event", "e", 1)});
  store.reset();
  EXPECT_THAT(Ids(Reader()->List("event", {}, 0, "")), ElementsAre("e"));
}

}  // namespace
}  // namespace quell::store
