// The log under failing disks, power cuts, kill -9 and a full disk: what was acknowledged stays, an error is
// told, and the file is never corrupt.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "tests/controller/store/fault_vfs.h"
#include "tests/controller/store/store_fixture.h"

namespace quell::store {
namespace {

class FaultTest : public StoreTest {
 protected:
  // Hundreds of fresh databases: in memory where there is such a place, as no real disk is needed to play
  // one.
  FaultTest() : StoreTest(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "") {}

  // Opens, recovers, and commits six groups with a snapshot in between. Raises *acknowledged with each
  // commit that was reported durable.
  absl::Status Work(const std::string& vfs, uint64_t* acknowledged) {
    auto store = TryOpen(vfs);
    if (!store.ok()) return store.status();
    auto recovered = (*store)->Recover();
    if (!recovered.ok()) return recovered.status();
    const uint64_t epoch = recovered->epoch + 1;
    uint64_t seq = recovered->head.seq;
    for (int group = 0; group < 6; ++group) {
      ++seq;
      engine::CommitGroup commit =
          GroupOf({group == 0 ? StartRecord(seq, epoch) : NoteRecord(seq, epoch, std::string(3000, 'n'))});
      commit.rows = {IncidentRow("INC-" + std::to_string(seq), seq, static_cast<Micros>(seq))};
      auto head = (*store)->Commit(commit);
      if (!head.ok()) return head.status();
      *acknowledged = head->seq;
      if (group != 3) continue;
      if (auto saved = (*store)->SaveSnapshot(SnapshotAt(seq), "digest"); !saved.ok()) return saved;
    }
    return absl::OkStatus();
  }

  // What the next start finds, on a disk that works again; goes on from there.
  void ExpectSound(uint64_t acknowledged, const std::string& when) {
    FaultVfs sound;  // without its faults: saves the waiting for the disk
    {
      auto store = TryOpen(sound.name());
      ASSERT_TRUE(store.ok()) << when << ": " << store.status();
      auto recovered = (*store)->Recover();
      ASSERT_TRUE(recovered.ok()) << when << ": " << recovered.status();
      EXPECT_GE(recovered->head.seq, acknowledged) << when << ": an acknowledged record is gone";
      EXPECT_LE(recovered->head.seq, acknowledged + 1) << when;
      // One row a record: the projection goes with the log, in one transaction.
      EXPECT_EQ(static_cast<uint64_t>(Number("SELECT count(*) FROM rows")), recovered->head.seq) << when;
    }
    EXPECT_EQ(Number("SELECT (SELECT integrity_check FROM pragma_integrity_check) = 'ok'"), 1) << when;
    uint64_t further = 0;
    EXPECT_TRUE(Work(sound.name(), &further).ok()) << when;
    EXPECT_GE(further, acknowledged + 6) << when;
  }

  void Reset() {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directory(directory);
  }
};

TEST_F(FaultTest, EveryFailingWriteOrSyncIsReportedAndLosesNothing) {
  for (const int code : {SQLITE_IOERR_WRITE, SQLITE_FULL}) {
    for (const bool for_good : {false, true}) {
      uint64_t n = 1;
      for (;; ++n) {
        Reset();
        uint64_t acknowledged = 0;
        bool failed = false;
        {
          FaultVfs vfs;
          vfs.FailAt(n, code, for_good);
          const absl::Status status = Work(vfs.name(), &acknowledged);
          failed = vfs.failed();
          // A fault in the checkpoint at the end has nobody to tell: the commits were durable before it.
          if (failed && acknowledged < 6) {
            EXPECT_FALSE(status.ok()) << "operation " << n;
          }
        }
        ExpectSound(acknowledged, "operation " + std::to_string(n) + " failing with " + std::to_string(code));
        if (HasFatalFailure()) return;
        if (!failed) break;
      }
      EXPECT_GT(n, 40u);  // there were that many operations to fail
    }
  }
}

TEST_F(FaultTest, APowerCutAtEveryOperationLosesNothingAcknowledged) {
  uint64_t n = 1;
  for (;; ++n) {
    bool failed = false;
    for (const uint32_t seed : {0u, static_cast<uint32_t>(n), static_cast<uint32_t>(n + 7777)}) {
      Reset();
      uint64_t acknowledged = 0;
      {
        FaultVfs vfs;
        vfs.FailAt(n, SQLITE_IOERR_WRITE, true);  // from here on the machine is off
        EXPECT_TRUE(Work(vfs.name(), &acknowledged).ok() || vfs.failed());
        failed = vfs.failed();
        vfs.Freeze();
        vfs.PowerCut(seed);
      }
      ExpectSound(acknowledged,
                  "power cut at operation " + std::to_string(n) + ", seed " + std::to_string(seed));
      if (HasFatalFailure()) return;
    }
    if (!failed) break;
  }
  EXPECT_GT(n, 40u);
}

TEST_F(FaultTest, APowerCutWithoutAnyErrorBeforeKeepsAllCommits) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Reset();
    uint64_t acknowledged = 0;
    FaultVfs vfs;
    {
      auto store = TryOpen(vfs.name());
      ASSERT_TRUE(store.ok() && (*store)->Recover().ok());
      for (uint64_t seq = 1; seq <= 5; ++seq) {
        auto head = (*store)->Commit(GroupOf({StartRecord(seq, seq)}));
        ASSERT_TRUE(head.ok());
        acknowledged = head->seq;
      }
      vfs.Freeze();
    }
    vfs.PowerCut(seed);
    auto store = TryOpen();
    ASSERT_TRUE(store.ok()) << store.status();
    auto recovered = (*store)->Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->head.seq, acknowledged);
  }
}

// A snapshot is a convenience: one that finds no room must not end a log that is sound.
TEST_F(FaultTest, ASnapshotThatFindsNoRoomLeavesTheLogUsable) {
  uint64_t n = 1;
  for (;; ++n) {
    Reset();
    FaultVfs vfs;
    auto store = TryOpen(vfs.name());
    ASSERT_TRUE(store.ok() && (*store)->Recover().ok());
    for (uint64_t seq = 1; seq <= 3; ++seq)
      ASSERT_TRUE((*store)->Commit(GroupOf({StartRecord(seq, seq)})).ok());
    vfs.FailAt(n, SQLITE_FULL, false);
    const absl::Status saved = (*store)->SaveSnapshot(SnapshotAt(3), "digest");
    if (!vfs.failed()) break;
    EXPECT_EQ(saved.code(), absl::StatusCode::kResourceExhausted) << n << ": " << saved;
    const auto head = (*store)->Commit(GroupOf({StartRecord(4, 4)}));
    ASSERT_TRUE(head.ok()) << n << ": " << head.status();
    ASSERT_TRUE((*store)->SaveSnapshot(SnapshotAt(4), "later").ok()) << n;
    store->reset();
    auto again = TryOpen();
    ASSERT_TRUE(again.ok()) << again.status();
    auto recovered = (*again)->Recover();
    ASSERT_TRUE(recovered.ok()) << n << ": " << recovered.status();
    EXPECT_EQ(recovered->head.seq, 4u);
    EXPECT_EQ(recovered->digest, "later");
  }
  EXPECT_GT(n, 1u) << "there was nothing to fail";
}

TEST_F(FaultTest, ASnapshotThatTheDiskFailsIsDataLossAndNothingIsWrittenAfterIt) {
  for (const int code : {SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_CORRUPT}) {
    Reset();
    FaultVfs vfs;
    auto store = TryOpen(vfs.name());
    ASSERT_TRUE(store.ok() && (*store)->Recover().ok());
    ASSERT_TRUE((*store)->Commit(GroupOf({StartRecord(1, 1)})).ok());
    vfs.FailAt(1, code, false);
    const absl::Status saved = (*store)->SaveSnapshot(SnapshotAt(1), "digest");
    ASSERT_TRUE(vfs.failed());
    EXPECT_EQ(saved.code(), absl::StatusCode::kDataLoss) << saved;
    EXPECT_EQ((*store)->Commit(GroupOf({StartRecord(2, 2)})).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

// In a child: commits for ever and writes each acknowledged number into `out`.
[[noreturn]] void CommitForEver(absl::StatusOr<std::unique_ptr<SqliteLogStore>> store, int out) {
  if (!store.ok()) _exit(2);
  auto recovered = (*store)->Recover();
  if (!recovered.ok()) _exit(3);
  const uint64_t epoch = recovered->epoch + 1;
  for (uint64_t seq = recovered->head.seq + 1;; ++seq) {
    const bool first = seq == recovered->head.seq + 1;
    auto head = (*store)->Commit(
        GroupOf({first ? StartRecord(seq, epoch) : NoteRecord(seq, epoch, std::string(20'000, 'x'))}));
    if (!head.ok()) _exit(4);
    if (write(out, &head->seq, sizeof head->seq) != sizeof head->seq) _exit(5);
    if (seq % 50 == 0 && !(*store)->SaveSnapshot(SnapshotAt(seq), "digest").ok()) _exit(6);
  }
}

TEST_F(FaultTest, Kill9AtAnyMomentLosesNothingAcknowledged) {
  std::mt19937 random(20261123);
  uint64_t acknowledged = 0;
  for (int round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      CommitForEver(TryOpen(), ends[1]);
    }
    close(ends[1]);
    uint64_t seq = 0;
    for (uint32_t until = 1 + random() % 60; until > 0; --until) {
      ASSERT_EQ(read(ends[0], &seq, sizeof seq), static_cast<ssize_t>(sizeof seq))
          << "the child ended by itself";
      acknowledged = seq;
    }
    // Somewhere within the next commit.
    for (uint32_t spin = random() % 200'000; spin > 0; --spin) asm volatile("");
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
    while (read(ends[0], &seq, sizeof seq) == static_cast<ssize_t>(sizeof seq)) acknowledged = seq;
    close(ends[0]);
    auto store = TryOpen();
    ASSERT_TRUE(store.ok()) << store.status();
    auto recovered = (*store)->Recover();
    ASSERT_TRUE(recovered.ok()) << "round " << round << ": " << recovered.status();
    EXPECT_GE(recovered->head.seq, acknowledged);
    EXPECT_LE(recovered->head.seq, acknowledged + 1);
  }
  EXPECT_EQ(Number("SELECT (SELECT integrity_check FROM pragma_integrity_check) = 'ok'"), 1);
}

TEST_F(FaultTest, AFullDiskIsReportedAndTheLogGoesOnWhenThereIsRoom) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};  // no file grows beyond 1 MiB
    setrlimit(RLIMIT_FSIZE, &limit);
    CommitForEver(TryOpen(), ends[1]);
  }
  close(ends[1]);
  uint64_t seq = 0;
  uint64_t acknowledged = 0;
  while (read(ends[0], &seq, sizeof seq) == static_cast<ssize_t>(sizeof seq)) acknowledged = seq;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 4) << "the commit that found no room must say so";
  EXPECT_GT(acknowledged, 5u);
  auto store = TryOpen();
  ASSERT_TRUE(store.ok()) << store.status();
  auto recovered = (*store)->Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_GE(recovered->head.seq, acknowledged);
  EXPECT_TRUE((*store)->Commit(GroupOf({StartRecord(recovered->head.seq + 1, recovered->epoch + 1)})).ok());
  EXPECT_EQ(Number("SELECT (SELECT integrity_check FROM pragma_integrity_check) = 'ok'"), 1);
}

}  // namespace
}  // namespace quell::store
