// Commit, recover, snapshots, epochs, migrations and projections of the SQLite log.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/ids.h"
#include "controller/store/reader.h"
#include "controller/store/verify.h"
#include "tests/controller/store/store_fixture.h"

namespace quell::store {
namespace {

using testing::HasSubstr;

TEST_F(StoreTest, CommittedRecordsComeBackInOrder) {
  {
    auto store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1), NoteRecord(2, 1, "two")})).ok());
    ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(3, 1, "three")})).ok());
  }
  auto store = TryOpen();
  ASSERT_TRUE(store.ok());
  auto recovered = (*store)->Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  ASSERT_EQ(recovered->tail.size(), 3u);
  EXPECT_EQ(recovered->tail[2].payload.person_act().note().text(), "three");
  EXPECT_EQ(recovered->tail[2].header.source(), "person:alice");
  EXPECT_EQ(recovered->head.seq, 3u);
  EXPECT_EQ(recovered->epoch, 1u);
  EXPECT_EQ(recovered->snapshot.seq(), 0u);
}

TEST_F(StoreTest, TheChainIsSha256OfPreviousAndStoredHeader) {
  auto store = OpenRecovered();
  auto head = store->Commit(GroupOf({StartRecord(1, 1)}));
  ASSERT_TRUE(head.ok());
  v1::RecordHeader header = StartRecord(1, 1).header;
  header.set_payload_sha256(Sha256(StartRecord(1, 1).payload.SerializeAsString()));
  EXPECT_EQ(head->chain, Sha256(std::string(32, '\0') + header.SerializeAsString()));
}

TEST_F(StoreTest, RecoveryStartsAtTheNewestSnapshotAndThreeAreKept) {
  {
    auto store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1)})).ok());
    for (uint64_t seq = 2; seq <= 6; ++seq) {
      ASSERT_TRUE(store->Commit(GroupOf({NoteRecord(seq, 1, "note")})).ok());
      if (seq == 6) continue;
      ASSERT_TRUE(store->SaveSnapshot(SnapshotAt(seq), "digest " + std::to_string(seq)).ok());
    }
  }
  EXPECT_EQ(Number("SELECT count(*) FROM snapshots"), 3);
  auto store = TryOpen();
  auto recovered = (*store)->Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->snapshot.seq(), 5u);
  EXPECT_EQ(recovered->snapshot.next_incident(), 105u);
  EXPECT_EQ(recovered->digest, "digest 5");
  ASSERT_EQ(recovered->tail.size(), 1u);
  EXPECT_EQ(recovered->tail[0].header.seq(), 6u);
}

TEST_F(StoreTest, ASnapshotNotAtAGroupsEndIsRefused) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1), NoteRecord(2, 1, "x")})).ok());
  EXPECT_EQ(store->SaveSnapshot(SnapshotAt(1), "d").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StoreTest, ARecordOutOfPlaceIsRefusedAndTheStoreStops) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1)})).ok());
  EXPECT_THAT(store->Commit(GroupOf({NoteRecord(3, 1, "gap")})).status().message(),
              HasSubstr("goes on with record 2"));
  EXPECT_EQ(store->Commit(GroupOf({NoteRecord(2, 1, "late")})).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Number("SELECT count(*) FROM log"), 1);
}

TEST_F(StoreTest, AnEpochRaisedByAnotherStartIsSeenByTheNextCommit) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 4)})).ok());
  Tamper("UPDATE meta SET number = 5 WHERE key = 'epoch'");
  auto refused = store->Commit(GroupOf({NoteRecord(2, 4, "stale")}));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted) << refused.status();
  EXPECT_EQ(Number("SELECT count(*) FROM log"), 1);
}

TEST_F(StoreTest, AnEpochBelowTheLogsIsRefused) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 4)})).ok());
  EXPECT_EQ(store->Commit(GroupOf({NoteRecord(2, 3, "old")})).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(StoreTest, TheEpochSurvivesASnapshotAndARestart) {
  {
    auto store = OpenRecovered();
    ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 7)})).ok());
    ASSERT_TRUE(store->SaveSnapshot(SnapshotAt(1), "d").ok());
  }
  auto store = TryOpen();
  EXPECT_EQ((*store)->Recover()->epoch, 7u);
}

TEST_F(StoreTest, ASecondControllerOnTheSameFileDoesNotStart) {
  auto store = OpenRecovered();
  auto second = TryOpen();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.status().message(), HasSubstr("another controller"));
}

TEST_F(StoreTest, X14_TheFilesAreTheirOwnersAlone) {
  auto store = OpenRecovered();
  ASSERT_TRUE(store->Commit(GroupOf({StartRecord(1, 1)})).ok());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat st;
    ASSERT_EQ(stat((path + suffix).c_str(), &st), 0) << suffix;
    EXPECT_EQ(st.st_mode & 07777, 0600u) << suffix;
  }
}

TEST_F(StoreTest, X14_AFileThatOthersCanReadIsRefused) {
  OpenRecovered();
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(TryOpen().status().message(), HasSubstr("0640"));
}

TEST_F(StoreTest, X14_ALinkInPlaceOfTheFileIsRefused) {
  OpenRecovered();
  const std::string real = directory + "/elsewhere.db";
  ASSERT_EQ(rename(path.c_str(), real.c_str()), 0);
  ASSERT_EQ(symlink(real.c_str(), path.c_str()), 0);
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(StoreFile, NetworkFilesystemsAreKnownByTheirMagic) {
  EXPECT_TRUE(IsNetworkFilesystem(0x6969));       // NFS_SUPER_MAGIC
  EXPECT_TRUE(IsNetworkFilesystem(0xFF534D42));   // CIFS
  EXPECT_FALSE(IsNetworkFilesystem(0xEF53));      // ext4
  EXPECT_FALSE(IsNetworkFilesystem(0x01021994));  // tmpfs
}

TEST_F(StoreTest, AnotherProgramsDatabaseIsRefused) {
  close(open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  Tamper("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
  EXPECT_THAT(TryOpen().status().message(), HasSubstr("not a quell log"));
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsRefused) {
  FILE* file = fopen(path.c_str(), "w");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  fputs(std::string(8192, 'x').c_str(), file);
  fclose(file);
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StoreTest, MigrationsRunForwardAndAnOlderProgramIsRefused) {
  std::vector<Migration> newer = Migrations();
  newer.push_back({2, 1, "CREATE TABLE additive(x)"});
  newer.push_back({3, 3, "CREATE TABLE breaking(x)"});
  const std::vector<Migration> middle(newer.begin(), newer.begin() + 2);

  OpenRecovered();
  ASSERT_TRUE(SqliteLogStore::Open({path, "", &middle}, key, Keys()).ok());
  EXPECT_EQ(Number("SELECT number FROM meta WHERE key = 'schema'"), 2);
  // Schema 2 only added something: this program (schema 1) may still use it.
  EXPECT_TRUE(TryOpen().ok());
  EXPECT_EQ(Number("SELECT number FROM meta WHERE key = 'schema'"), 2);

  ASSERT_TRUE(SqliteLogStore::Open({path, "", &newer}, key, Keys()).ok());
  auto older = TryOpen();
  EXPECT_EQ(older.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(older.status().message(), HasSubstr("schema 3"));
  EXPECT_EQ(StoreReader::Open({path}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, AMigrationThatFailsLeavesNothingBehind) {
  OpenRecovered();
  std::vector<Migration> bad = Migrations();
  bad.push_back({2, 2, "CREATE TABLE fine(x); CREATE TABLE log(x)"});
  EXPECT_FALSE(SqliteLogStore::Open({path, "", &bad}, key, Keys()).ok());
  EXPECT_EQ(Number("SELECT count(*) FROM sqlite_master WHERE name = 'fine'"), 0);
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(StoreTest, RuleStatesComeBackAndGo) {
  v1::RuleState state;
  state.set_rule("f/g/AppHung");
  state.set_key("AppHung/1");
  state.set_firing(true);
  {
    auto store = OpenRecovered();
    engine::CommitGroup group = GroupOf({StartRecord(1, 1)});
    group.rule_states = {state};
    ASSERT_TRUE(store->Commit(group).ok());
  }
  {
    auto store = TryOpen();
    auto recovered = (*store)->Recover();
    ASSERT_EQ(recovered->rule_states.size(), 1u);
    EXPECT_TRUE(recovered->rule_states[0].firing());
    state.set_gone(true);
    engine::CommitGroup group;  // states alone, no record
    group.rule_states = {state};
    auto head = (*store)->Commit(group);
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(head->seq, 1u);
  }
  auto store = TryOpen();
  EXPECT_TRUE((*store)->Recover()->rule_states.empty());
}

TEST_F(StoreTest, AProjectionThatWasDroppedIsRebuiltEqual) {
  const std::vector<engine::ProjectionRow> rows = {IncidentRow("INC-1", 1, 10), IncidentRow("INC-2", 2, 20)};
  auto list = [&] {
    auto page = (*StoreReader::Open({path}))->List("incident", {}, 0, "");
    EXPECT_TRUE(page.ok()) << page.status();
    std::string all;
    for (const auto& row : page->rows) all += row.id + "|" + row.message + "\n";
    return all;
  };
  {
    auto store = OpenRecovered();
    engine::CommitGroup group = GroupOf({StartRecord(1, 1)});
    group.rows = rows;
    ASSERT_TRUE(store->Commit(group).ok());
  }
  const std::string before = list();
  EXPECT_FALSE(OpenRecovered()->projections_stale());
  Tamper("DROP TABLE rows");
  for (int start = 0; start < 2; ++start) {  // the mark stays until the rows are back
    auto store = OpenRecovered();
    EXPECT_TRUE(store->projections_stale());
    if (start == 1) {
      ASSERT_TRUE(store->RebuildProjections(rows).ok());
      EXPECT_FALSE(store->projections_stale());
    }
  }
  EXPECT_FALSE(OpenRecovered()->projections_stale());
  EXPECT_EQ(list(), before);
  EXPECT_FALSE(before.empty());
}

TEST_F(StoreTest, EvidenceIsKeptByHashUntilItExpires) {
  auto store = OpenRecovered();
  engine::CommitGroup group = GroupOf({StartRecord(1, 1)});
  const std::string content("a\0b", 3);
  group.blobs = {{Sha256(content), content, "proc.status", "INC-1", 100},
                 {Sha256("z"), "z", "log", "INC-1", 900}};
  ASSERT_TRUE(store->Commit(group).ok());
  auto reader = StoreReader::Open({path});
  auto blobs = (*reader)->Blobs("INC-1");
  ASSERT_EQ(blobs->size(), 2u);
  EXPECT_EQ((*blobs)[1].name, "proc.status");
  EXPECT_EQ((*blobs)[1].size, 3u);
  EXPECT_EQ(*(*reader)->BlobContent(Sha256(content)), content);
  EXPECT_EQ(*store->DropExpiredBlobs(100, 10), 1u);
  EXPECT_TRUE(absl::IsNotFound((*reader)->BlobContent(Sha256(content)).status()));
  EXPECT_EQ(*(*reader)->BlobContent(Sha256("z")), "z");
}

TEST_F(StoreTest, NewEvidenceMakesExpiredEvidenceGo) {
  auto store = OpenRecovered();
  engine::CommitGroup group = GroupOf({StartRecord(1, 1)});
  group.blobs = {{Sha256("old"), "old", "log", "INC-1", 2 * kSecond}};
  ASSERT_TRUE(store->Commit(group).ok());
  group = GroupOf({NoteRecord(2, 1, "at 2 s")});
  group.blobs = {{Sha256("new"), "new", "log", "INC-2", 900 * kSecond}};
  ASSERT_TRUE(store->Commit(group).ok());
  EXPECT_EQ(Number("SELECT count(*) FROM blobs"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM blobs WHERE owner = 'INC-2'"), 1);
}

TEST_F(StoreTest, EvidenceUnderAWrongHashIsNotStored) {
  auto store = OpenRecovered();
  engine::CommitGroup group = GroupOf({StartRecord(1, 1)});
  group.blobs = {{Sha256("other"), "content", "n", "INC-1", 100}};
  EXPECT_EQ(store->Commit(group).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Number("SELECT count(*) FROM log"), 0);
}

}  // namespace
}  // namespace quell::store
