// X10: somebody with SQL access to the log. Whatever is changed, recovery and `audit verify` name the place.
#include <gmock/gmock.h>

#include "controller/store/verify.h"
#include "tests/controller/store/store_fixture.h"

namespace quell::store {
namespace {

using testing::HasSubstr;

class TamperTest : public StoreTest {
 protected:
  // Records 1–5 in three groups: 1–2, 3, 4–5; a snapshot at 3.
  void SetUp() override {
    auto store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1), NoteRecord(2, 1, "two")})).ok());
    ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(3, 1, "three")})).ok());
    ASSERT_TRUE(store->SaveSnapshot(SnapshotAt(3), "digest").ok());
    ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(4, 1, "four"), NoteRecord(5, 1, "five")})).ok());
  }
  std::string RecoverError() {
    auto store = TryOpen();
    if (!store.ok()) return "open: " + store.status().ToString();
    auto recovered = (*store)->Recover();
    return recovered.ok() ? "" : recovered.status().ToString();
  }
  std::string VerifyError() {
    auto report = VerifyAll(path, Keys());
    return report.ok() ? "" : report.status().ToString();
  }
  void ExpectBothNotice(const std::string& what) {
    EXPECT_THAT(RecoverError(), testing::AllOf(HasSubstr("DATA_LOSS"), HasSubstr(what)));
    EXPECT_THAT(VerifyError(), testing::AllOf(HasSubstr("DATA_LOSS"), HasSubstr(what)));
  }
};

TEST_F(TamperTest, AnUntouchedLogVerifies) {
  EXPECT_EQ(RecoverError(), "");
  auto report = VerifyAll(path, Keys());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->records, 5u);
  EXPECT_EQ(report->groups, 3u);
  EXPECT_EQ(report->snapshots, 1u);
  EXPECT_EQ(report->head.seq, 5u);
}

TEST_F(TamperTest, AuditVerifyReadsBesideTheWriter) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(6, 1, "six")})).ok());
  auto report = VerifyAll(path, Keys());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->head.chain, store->head().chain);
}

TEST_F(TamperTest, X10_AFlippedByteOfAPayloadIsNamed) {
  Tamper("UPDATE log SET payload = substr(payload, 1, length(payload) - 1) || x'00' WHERE seq = 4");
  ExpectBothNotice("record 4 of the log: its payload does not match");
}

TEST_F(TamperTest, X10_EveryByteOfAHeaderIsUnderTheSignature) {
  const int64_t length = Number("SELECT length(header) FROM log WHERE seq = 5");
  for (int64_t i = 1; i <= length; ++i) {
    const std::string at = std::to_string(i);
    const std::string flip =
        "UPDATE log SET header = substr(header, 1, " + at + " - 1) || CASE substr(header, " + at +
        ", 1) WHEN x'01' THEN x'02' ELSE x'01' END || substr(header, " + at + " + 1) WHERE seq = 5";
    Tamper("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM log WHERE seq = 5; " + flip);
    EXPECT_THAT(VerifyError(), HasSubstr("DATA_LOSS")) << "byte " << i;
    Tamper("UPDATE log SET header = (SELECT header FROM kept) WHERE seq = 5");
  }
  EXPECT_EQ(VerifyError(), "");
}

TEST_F(TamperTest, X10_ADeletedRecordIsNamed) {
  Tamper("DELETE FROM log WHERE seq = 5");
  ExpectBothNotice("record 5 of the log: it is missing");
}

TEST_F(TamperTest, X10_AnInsertedRecordIsNamed) {
  Tamper("INSERT INTO log SELECT 6, header, payload FROM log WHERE seq = 5");
  ExpectBothNotice("record 6 of the log lies outside every signed commit group");
}

TEST_F(TamperTest, X10_ARecordCopiedOverAnotherIsNamed) {
  Tamper(
      "UPDATE log SET header = (SELECT header FROM log WHERE seq = 4), payload = (SELECT payload FROM log "
      "WHERE seq = 4) WHERE seq = 5");
  ExpectBothNotice("record 5 of the log");
}

TEST_F(TamperTest, X10_AGroupsHeadSignatureAndBoundsAreChecked) {
  for (const char* change : {"head = zeroblob(32)", "signature = zeroblob(64)", "first = 5", "epoch = 2",
                             "key_id = 'ffffffffffffffff'"}) {
    Tamper("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM groups WHERE last = 5; UPDATE groups SET " +
           std::string(change) + " WHERE last = 5");
    ExpectBothNotice("record");
    Tamper("DELETE FROM groups WHERE last = 5; INSERT INTO groups SELECT * FROM kept");
  }
  EXPECT_EQ(RecoverError(), "");
}

TEST_F(TamperTest, X10_ADeletedGroupIsNoticed) {
  Tamper("DELETE FROM groups WHERE last = 3");
  EXPECT_THAT(RecoverError(), HasSubstr("snapshot at record 3"));
  EXPECT_THAT(VerifyError(), HasSubstr("records 4 to 5 does not follow record 2"));
}

TEST_F(TamperTest, X10_ASnapshotsBytesDigestHeadAndPlaceAreSigned) {
  for (const char* change : {"snapshot = snapshot || x'7000'", "digest = 'other'", "head = zeroblob(32)",
                             "seq = 5", "epoch = 0", "signature = zeroblob(64)"}) {
    Tamper("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM snapshots; UPDATE snapshots SET " +
           std::string(change));
    ExpectBothNotice("snapshot at record");
    Tamper("DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM kept");
  }
  EXPECT_EQ(RecoverError(), "");
}

TEST_F(TamperTest, X10_ALoweredEpochIsNoticed) {
  Tamper("UPDATE meta SET number = 0 WHERE key = 'epoch'");
  EXPECT_THAT(RecoverError(), HasSubstr("epoch"));
}

TEST_F(TamperTest, X10_ATriggerLeftInTheFileDoesNotRun) {
  Tamper(
      "CREATE TABLE loot(x); CREATE TRIGGER t AFTER INSERT ON log BEGIN INSERT INTO loot VALUES(1); END; "
      "INSERT INTO loot VALUES(0)");
  {
    auto store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(6, 1, "six")})).ok());
  }
  EXPECT_EQ(Number("SELECT count(*) FROM loot"), 1);
}

TEST_F(TamperTest, X10_RecordsBeforeTheSnapshotAreAuditVerifysBusiness) {
  Tamper("UPDATE log SET payload = x'00' WHERE seq = 2");
  EXPECT_EQ(RecoverError(), "");
  EXPECT_THAT(VerifyError(), HasSubstr("record 2 of the log"));
}

}  // namespace
}  // namespace quell::store
