// The spool's files: what is synced survives every crash, numbers are never given out twice, bounds hold.
#include "agent/link/segment_log.h"

#include <gtest/gtest.h>

#include <set>

namespace quell::agent {
namespace {

SegmentLog::Options SmallOptions(bool drop) {
  SegmentLog::Options options;
  options.directory = "/spool";
  options.prefix = "events";
  options.segment_bytes = 256;
  options.total_bytes = 2048;
  options.drop_oldest = drop;
  return options;
}

std::vector<uint64_t> Numbers(SegmentLog& log, uint64_t after = 0) {
  std::vector<uint64_t> numbers;
  auto entries = log.Read(after, 10'000, 1 << 20);
  EXPECT_TRUE(entries.ok()) << entries.status();
  if (entries.ok())
    for (const auto& entry : *entries) {
      EXPECT_EQ(entry.bytes, "entry " + std::to_string(entry.seq));
      numbers.push_back(entry.seq);
    }
  return numbers;
}

absl::Status AppendNext(SegmentLog& log) { return log.Append("entry " + std::to_string(log.next_seq())); }

std::vector<uint64_t> Range(uint64_t from, uint64_t to) {
  std::vector<uint64_t> out;
  for (uint64_t i = from; i <= to; ++i) out.push_back(i);
  return out;
}

TEST(SegmentLog, EntriesAreThereAfterSyncOnly) {
  MemoryDisk disk;
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  ASSERT_TRUE(AppendNext(*log).ok());
  EXPECT_EQ(Numbers(*log), Range(1, 0));
  ASSERT_TRUE(log->Sync().ok());
  EXPECT_EQ(Numbers(*log), Range(1, 1));
}

TEST(SegmentLog, SurvivesRestartOverManySegments) {
  MemoryDisk disk;
  {
    auto log = *SegmentLog::Open(disk, SmallOptions(true));
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(AppendNext(*log).ok());
    ASSERT_TRUE(log->Sync().ok());
    log->Acknowledge(7);
  }
  disk.Crash();
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  EXPECT_EQ(log->next_seq(), 31u);
  const std::vector<uint64_t> numbers = Numbers(*log);
  ASSERT_FALSE(numbers.empty());
  EXPECT_LE(numbers.front(), 8u);  // the acknowledgement itself is not synced: some may come again
  EXPECT_EQ(numbers.back(), 30u);
  EXPECT_EQ(numbers, Range(numbers.front(), 30));
}

TEST(SegmentLog, NumbersGoOnWhenAllIsAcknowledged) {
  MemoryDisk disk;
  uint64_t next = 0;
  {
    auto log = *SegmentLog::Open(disk, SmallOptions(true));
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(AppendNext(*log).ok());
      ASSERT_TRUE(log->Sync().ok());
      log->Acknowledge(log->next_seq() - 1);
    }
    next = log->next_seq();
    EXPECT_LE(disk.files().size(), 2u);
  }
  disk.Crash();
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  EXPECT_EQ(log->next_seq(), next);
}

TEST(SegmentLog, ANewOneBeginsWhereItIsTold) {
  MemoryDisk disk;
  SegmentLog::Options options = SmallOptions(true);
  options.first_seq = 1'795'000'000'000;
  auto log = *SegmentLog::Open(disk, options);
  ASSERT_TRUE(AppendNext(*log).ok());
  ASSERT_TRUE(log->Sync().ok());
  EXPECT_EQ(Numbers(*log), Range(1'795'000'000'000, 1'795'000'000'000));
}

TEST(SegmentLog, FullDropsTheOldestAndCounts) {
  MemoryDisk disk;
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(AppendNext(*log).ok());
    EXPECT_LE(log->bytes(), 2048u);
  }
  ASSERT_TRUE(log->Sync().ok());
  const std::vector<uint64_t> numbers = Numbers(*log);
  EXPECT_EQ(numbers.back(), 200u);
  EXPECT_EQ(log->dropped() + numbers.size(), 200u);
}

TEST(SegmentLog, FullRefusesWhereNothingMayBeDropped) {
  MemoryDisk disk;
  auto log = *SegmentLog::Open(disk, SmallOptions(false));
  absl::Status status;
  while ((status = AppendNext(*log)).ok()) ASSERT_LT(log->next_seq(), 1'000u);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(log->full());
  ASSERT_TRUE(log->Sync().ok());
  const uint64_t last = log->next_seq() - 1;
  EXPECT_EQ(Numbers(*log), Range(1, last));
  EXPECT_EQ(log->dropped(), 0u);
  log->Acknowledge(last);
  EXPECT_FALSE(log->full());
  EXPECT_TRUE(AppendNext(*log).ok());
}

TEST(SegmentLog, ReadKeepsItsBounds) {
  MemoryDisk disk;
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(AppendNext(*log).ok());
  ASSERT_TRUE(log->Sync().ok());
  EXPECT_EQ(log->Read(0, 3, 1 << 20)->size(), 3u);
  EXPECT_EQ(log->Read(0, 100, 1)->size(), 1u);
  EXPECT_EQ(log->Read(18, 100, 1 << 20)->size(), 2u);
}

// A power cut after each operation, with and without a torn tail: what was synced is there, in order, and no
// number that could have been seen is given out again.
TEST(SegmentLog, CrashAtEveryOperation) {
  for (uint64_t torn : {0, 1, 9, 20}) {
    for (uint64_t stop = 1; stop < 120; ++stop) {
      MemoryDisk disk;
      bool down = false;
      disk.set_fault([&](uint64_t n, std::string_view, std::string_view) {
        if (n >= stop) down = true;
        return down ? absl::UnavailableError("power cut") : absl::OkStatus();
      });
      uint64_t synced = 0, seen = 0, acknowledged = 0;
      auto opened = SegmentLog::Open(disk, SmallOptions(true));
      if (opened.ok()) {
        auto& log = **opened;
        for (int i = 0; i < 40 && !down; ++i) {
          if (!AppendNext(log).ok()) break;
          if (i % 3 == 0 && log.Sync().ok()) seen = synced = log.next_seq() - 1;
          if (i == 20) log.Acknowledge(acknowledged = std::min<uint64_t>(synced, 12));
        }
        seen = std::max(seen, log.synced());
      }
      disk.set_fault(nullptr);
      disk.Crash(torn);
      auto again = SegmentLog::Open(disk, SmallOptions(true));
      ASSERT_TRUE(again.ok()) << again.status() << " stop " << stop << " torn " << torn;
      std::set<uint64_t> kept;
      for (uint64_t n : Numbers(**again)) kept.insert(n);
      for (uint64_t n = acknowledged + 1; n <= synced; ++n)
        EXPECT_TRUE(kept.count(n)) << n << " of " << synced << " lost; stop " << stop << " torn " << torn;
      EXPECT_GT((*again)->next_seq(), seen) << "stop " << stop << " torn " << torn;
      ASSERT_TRUE(AppendNext(**again).ok());
      ASSERT_TRUE((*again)->Sync().ok());
      EXPECT_EQ(Numbers(**again).back(), (*again)->next_seq() - 1);
    }
  }
}

// A single failed operation (not a crash) loses nothing that was accepted.
TEST(SegmentLog, OneFaultAtEveryOperation) {
  for (uint64_t bad = 3; bad < 100; ++bad) {
    MemoryDisk disk;
    auto log = *SegmentLog::Open(disk, SmallOptions(true));
    disk.set_fault([&](uint64_t n, std::string_view, std::string_view) {
      return n == bad ? absl::InternalError("input/output error") : absl::OkStatus();
    });
    std::vector<uint64_t> accepted;
    for (int i = 0; i < 20; ++i) {
      const uint64_t number = log->next_seq();
      if (AppendNext(*log).ok()) accepted.push_back(number);
      if (i % 2 == 0) (void)log->Sync();
    }
    disk.set_fault(nullptr);
    ASSERT_TRUE(log->Sync().ok());
    EXPECT_EQ(Numbers(*log), accepted) << "bad " << bad;
    log.reset();
    disk.Crash();
    EXPECT_EQ(Numbers(**SegmentLog::Open(disk, SmallOptions(true))), accepted) << "bad " << bad;
  }
}

TEST(SegmentLog, DamageInAnOldSegmentIsCounted) {
  MemoryDisk disk;
  {
    auto log = *SegmentLog::Open(disk, SmallOptions(true));
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(AppendNext(*log).ok());
    ASSERT_TRUE(log->Sync().ok());
  }
  ASSERT_GT(disk.files().size(), 2u);
  MemoryDisk::Content& oldest = disk.files().begin()->second;
  oldest.data[oldest.data.size() - 3] ^= 1;  // within its last entry
  auto log = *SegmentLog::Open(disk, SmallOptions(true));
  EXPECT_EQ(log->dropped(), 1u);
  EXPECT_EQ(Numbers(*log).size(), 29u);
  EXPECT_EQ(log->next_seq(), 31u);
}

}  // namespace
}  // namespace quell::agent
