// The journal under faults: power cuts, full disks, failing syncs, torn tails and flipped bits. What counts
// is how often an effect was started: at most once for each command, whatever happened to the file.
#include "agent/executor/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

constexpr char kPath[] = "/state/journal";

Journal::Options JournalOptions() { return {kPath, "boot-1"}; }

v1::JournalIntent Intent(const std::string& id, Micros wall) {
  v1::JournalIntent intent;
  intent.set_id(id);
  intent.set_body_sha256(std::string(32, 'h'));
  intent.set_wall_us(wall);
  intent.set_boot_id("boot-1");
  intent.set_action("pm2.restart");
  intent.add_target("deploy");
  intent.add_target("portal");
  return intent;
}

v1::CommandReport Outcome(Journal& journal, const std::string& id) {
  v1::CommandReport report;
  report.set_id(id);
  report.set_seq(journal.NextReportSeq());
  report.set_outcome(v1::OUTCOME_SUCCEEDED);
  return report;
}

// A journal of `commands` commands that are done.
void Fill(MemoryDisk& disk, int commands) {
  Journal journal(disk, JournalOptions());
  ASSERT_TRUE(journal.Open(kSecond).ok());
  ASSERT_TRUE(journal.WriteEpoch(7, "start").ok());
  for (int i = 0; i < commands; ++i) {
    const std::string id = "command-" + std::to_string(i);
    ASSERT_TRUE(journal.WriteIntent(Intent(id, kSecond), kSecond).ok());
    ASSERT_TRUE(journal.WriteOutcome(Outcome(journal, id)).ok());
  }
}

TEST(Journal, RemembersEpochIntentsOutcomesAndAcknowledgements) {
  MemoryDisk disk;
  Fill(disk, 3);
  Journal journal(disk, JournalOptions());
  ASSERT_TRUE(journal.Open(2 * kSecond).ok());
  EXPECT_EQ(journal.epoch_number(), 7u);
  EXPECT_EQ(journal.epoch_start(), "start");
  EXPECT_EQ(journal.entries().size(), 3u);
  const uint64_t seq = journal.Find("command-1")->outcome->seq();
  ASSERT_TRUE(journal.WriteAcked(seq).ok());
  Journal again(disk, JournalOptions());
  ASSERT_TRUE(again.Open(3 * kSecond).ok());
  EXPECT_TRUE(again.Find("command-1")->acked);
  EXPECT_FALSE(again.Find("command-2")->acked);
}

TEST(Journal, NeverHandsOutAReportSequenceTwice) {
  MemoryDisk disk;
  uint64_t last = 0;
  for (int start = 0; start < 5; ++start) {
    Journal journal(disk, JournalOptions());
    ASSERT_TRUE(journal.Open(kSecond).ok());  // the wall clock stands still
    for (int i = 0; i < 5000; ++i) {
      const uint64_t seq = journal.NextReportSeq();
      ASSERT_GT(seq, last);
      last = seq;
    }
    disk.Crash();
  }
}

TEST(Journal, F14_ATornTailIsCutAtEveryByte) {
  MemoryDisk whole;
  Fill(whole, 4);
  const std::string content = whole.files()[kPath].data;
  size_t entries = 0;
  for (size_t n = 0; n <= content.size(); ++n) {
    MemoryDisk disk;
    ASSERT_TRUE(disk.WriteWhole(kPath, content.substr(0, n)).ok());
    Journal journal(disk, JournalOptions());
    ASSERT_TRUE(journal.Open(kSecond).ok()) << n;
    ASSERT_GE(journal.entries().size(), entries) << n;  // never fewer with more bytes
    entries = journal.entries().size();
    ASSERT_EQ(disk.files()[kPath].data.size(), journal.size());
    ASSERT_TRUE(journal.WriteIntent(Intent("after", kSecond), kSecond).ok());
    Journal again(disk, JournalOptions());
    ASSERT_TRUE(again.Open(kSecond).ok());
    ASSERT_NE(again.Find("after"), nullptr) << n;
  }
  EXPECT_EQ(entries, 4u);
}

TEST(Journal, F14_AZeroedTailIsCut) {
  MemoryDisk disk;
  Fill(disk, 2);
  disk.files()[kPath].data.append(5000, '\0');
  Journal journal(disk, JournalOptions());
  ASSERT_TRUE(journal.Open(kSecond).ok());
  EXPECT_EQ(journal.entries().size(), 2u);
}

TEST(Journal, F14_AFlippedBitBeforeWholeEntriesHolds) {
  MemoryDisk whole;
  Fill(whole, 100);  // 201 entries
  const std::string content = whole.files()[kPath].data;
  Journal reference(whole, JournalOptions());
  ASSERT_TRUE(reference.Open(kSecond).ok());
  // The last frame's own bytes can't be told from a torn tail.
  v1::JournalFrame last;
  last.set_number(1);
  *last.mutable_outcome()->mutable_report() = *reference.Find("command-99")->outcome;
  const size_t last_frame = content.size() - EncodeJournalFrame(last).size();
  for (size_t i = 0; i < content.size(); ++i) {
    std::string damaged = content;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    MemoryDisk disk;
    ASSERT_TRUE(disk.WriteWhole(kPath, damaged).ok());
    Journal journal(disk, JournalOptions());
    const absl::Status opened = journal.Open(kSecond);
    if (i >= last_frame) {
      ASSERT_TRUE(opened.ok()) << i << opened;
      ASSERT_EQ(journal.entries().size(), 100u);
    } else {
      ASSERT_TRUE(absl::IsDataLoss(opened)) << i;
      ASSERT_FALSE(journal.WriteIntent(Intent("x", kSecond), kSecond).ok());
      ASSERT_EQ(disk.files()[kPath].data, damaged) << "a damaged journal is left as it is";
    }
  }
}

TEST(Journal, RotatesAndCarriesOverWhatIsAlive) {
  MemoryDisk disk;
  Journal::Options options = JournalOptions();
  options.rotate_bytes = 20'000;
  options.keep = kHour;
  Journal journal(disk, options);
  ASSERT_TRUE(journal.Open(kSecond).ok());
  ASSERT_TRUE(journal.WriteEpoch(9, "nine").ok());
  ASSERT_TRUE(journal.WriteIntent(Intent("open", kSecond), kSecond).ok());
  Micros now = kSecond;
  for (int i = 0; i < 2000; ++i) {
    now += 10 * kSecond;
    const std::string id = "command-" + std::to_string(i);
    ASSERT_TRUE(journal.WriteIntent(Intent(id, now), now).ok());
    const v1::CommandReport report = Outcome(journal, id);
    ASSERT_TRUE(journal.WriteOutcome(report).ok());
    if (i >= 1000) continue;
    ASSERT_TRUE(journal.WriteAcked(report.seq()).ok());
    ASSERT_LT(journal.size(), 200'000u);
  }
  Journal again(disk, options);
  ASSERT_TRUE(again.Open(now).ok());
  EXPECT_EQ(again.epoch_number(), 9u);
  EXPECT_NE(again.Find("open"), nullptr);
  EXPECT_FALSE(again.Find("open")->outcome);
  EXPECT_EQ(again.Find("command-0"), nullptr);     // acknowledged, and older than an hour
  ASSERT_NE(again.Find("command-1000"), nullptr);  // not acknowledged
  EXPECT_FALSE(again.Find("command-1000")->acked);
  EXPECT_NE(again.Find("command-1999"), nullptr);
}

TEST(Journal, F11_AFullDiskRefusesAndRecoversWithoutARestart) {
  World world;
  auto executor = world.Start();
  executor->Submit(world.Sign(world.Body(*executor, "first")));  // the epoch is written
  world.EndAll(*executor);
  ASSERT_EQ(world.Effects(), 1);
  world.disk.set_fault([](uint64_t, std::string_view operation, std::string_view) {
    return operation == "append" ? absl::ResourceExhaustedError("no space left on device") : absl::OkStatus();
  });
  const v1::CommandBody body = world.Body(*executor, "second");
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  EXPECT_EQ(world.Effects(), 1);
  EXPECT_EQ(LastReport(*executor, body.id()).refusal(), v1::REFUSAL_JOURNAL);
  EXPECT_TRUE(executor->fatal().ok());
  world.disk.set_fault(nullptr);
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST(Journal, F11_AnOutcomeWaitsForAFullDiskAndIsToldThen) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.End(*executor, Fine());
  world.End(*executor, Fine());
  world.disk.set_fault([](uint64_t, std::string_view operation, std::string_view) {
    return operation == "append" ? absl::ResourceExhaustedError("no space left on device") : absl::OkStatus();
  });
  world.End(*executor, Fine());
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_STARTED);
  EXPECT_EQ(executor->running(), 1u);
  world.disk.set_fault(nullptr);
  executor->Tick();
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

// Sends the same command, under a new nonce each time, until it has an outcome; answers how often its effect
// started.
int StartsUntilSettled(World& world, int* starts_of_process) {
  std::string id;
  std::unique_ptr<Executor> executor = world.Start();
  v1::CommandBody body = world.Body(*executor);
  id = body.id();
  for (int round = 0; round < 10; ++round) {
    world.clock.Advance(kSecond);
    executor->Tick();
    body.set_nonce(executor->Status().nonce());
    executor->Submit(world.Sign(body));
    while (!world.workers.running.empty() && executor->fatal().ok()) world.End(*executor, Fine());
    executor->Tick();
    if (!executor->fatal().ok()) {
      ++*starts_of_process;
      world.disk.Crash(round % 2 == 0 ? 0 : 7);
      executor = world.Start();
    }
    const v1::Outcome outcome = LastReport(*executor, id).outcome();
    if (outcome == v1::OUTCOME_SUCCEEDED || outcome == v1::OUTCOME_UNKNOWN) break;
    // A refusal is not the end: the controller sends it again.
  }
  return world.workers.effects[id];
}

TEST(Journal, F13_EachFailingDiskOperationInTurnStartsAnEffectAtMostOnce) {
  int with_effect = 0, restarts = 0;
  for (uint64_t n = 1; n <= 40; ++n) {
    World world;
    world.disk.set_fault([n](uint64_t operation, std::string_view name, std::string_view) {
      if (operation != n) return absl::OkStatus();
      return absl::DataLossError(absl::StrCat("planted: ", absl::string_view(name.data(), name.size())));
    });
    const int effects = StartsUntilSettled(world, &restarts);
    EXPECT_LE(effects, 1) << "operation " << n;
    with_effect += effects;
  }
  EXPECT_GT(with_effect, 30);  // one failure keeps no command from being done in the end
  EXPECT_GT(restarts, 2);      // and failing syncs did end the process
}

TEST(Journal, F13_AFailedSyncOfTheIntentStartsNothingAndEndsTheProcess) {
  World world;
  auto executor = world.Start();
  executor->Submit(world.Sign(world.Body(*executor, "first")));
  world.EndAll(*executor);
  const v1::CommandBody body = world.Body(*executor, "second");
  executor->Submit(world.Sign(body));
  world.End(*executor, Fine());
  world.disk.set_fault([](uint64_t, std::string_view operation, std::string_view) {
    return operation == "sync" ? absl::DataLossError("input/output error") : absl::OkStatus();
  });
  world.End(*executor, Fine());
  EXPECT_EQ(world.workers.effects.count(body.id()), 0u);
  EXPECT_FALSE(executor->fatal().ok());
  EXPECT_FALSE(executor->Status().journal_ok());
  world.disk.set_fault(nullptr);
  const v1::CommandBody third = world.Body(*executor, "third");
  executor->Submit(world.Sign(third));  // not even when the disk is well again
  EXPECT_TRUE(world.workers.running.empty());
}

// Whole by its checksum, and not to be read: it may stand for something that was done, so it is never cut
// off.
TEST(Journal, AWholeFrameThatCannotBeReadIsDamageAndNoTornTail) {
  MemoryDisk disk;
  Fill(disk, 1);
  {
    Journal journal(disk, JournalOptions());
    ASSERT_TRUE(journal.Open(kSecond).ok());
    v1::JournalIntent intent = Intent("command-x", kSecond);
    intent.add_target("\xc3");
    ASSERT_TRUE(journal.WriteIntent(intent, kSecond).ok());
  }
  const std::string before = *disk.Read(kPath, 1 << 20);
  Journal journal(disk, JournalOptions());
  EXPECT_EQ(journal.Open(2 * kSecond).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*disk.Read(kPath, 1 << 20), before);
}

TEST(Journal, F14_ADamagedJournalHoldsTheExecutor) {
  World world;
  auto executor = world.Start();
  for (int i = 0; i < 3; ++i) {
    executor->Submit(world.Sign(world.Body(*executor)));
    world.EndAll(*executor);
  }
  std::string& data = world.disk.files()[kPath].data;
  data[data.size() / 2] ^= 1;
  executor = world.Start();
  EXPECT_FALSE(executor->Status().journal_ok());
  EXPECT_THAT(executor->Status().journal_error(), testing::HasSubstr("is damaged at byte"));
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  EXPECT_TRUE(world.workers.running.empty());
  EXPECT_EQ(LastReport(*executor, body.id()).refusal(), v1::REFUSAL_JOURNAL);
  EXPECT_TRUE(executor->fatal().ok());
}

// The process ends at each step, and is started again; power may go with it.
TEST(Journal, F01_EndingAtEachStepStartsAnEffectAtMostOnce) {
  struct Ended {};
  for (const bool power_cut : {false, true}) {
    for (const char* step :
         {"reserved_synced", "epoch_appended", "epoch_synced", "verified", "checked", "evidence_taken",
          "intent_appended", "intent_synced", "rechecked", "worker_started", "started_appended",
          "worker_ended", "outcome_appended", "outcome_synced"}) {
      World world;
      bool armed = true;
      world.on_step = [&](std::string_view at) {
        if (armed && at == step) {
          armed = false;
          throw Ended();
        }
      };
      std::unique_ptr<Executor> executor = world.Start();
      v1::CommandBody body = world.Body(*executor);
      v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED;
      for (int round = 0; round < 4 && outcome != v1::OUTCOME_SUCCEEDED && outcome != v1::OUTCOME_UNKNOWN;
           ++round) {
        try {
          body.set_nonce(executor->Status().nonce());
          executor->Submit(world.Sign(body));
          while (!world.workers.running.empty()) world.End(*executor, Fine());
          outcome = LastReport(*executor, body.id()).outcome();
        } catch (const Ended&) {
          if (power_cut) world.disk.Crash();
          executor = world.Start();
          outcome = LastReport(*executor, body.id()).outcome();
        }
      }
      EXPECT_FALSE(armed) << step << " was never reached";
      EXPECT_LE(world.workers.effects[body.id()], 1) << step;
      const bool known = outcome == v1::OUTCOME_SUCCEEDED;
      EXPECT_TRUE(known || outcome == v1::OUTCOME_UNKNOWN) << step << " " << v1::Outcome_Name(outcome);
      EXPECT_GE(world.workers.effects[body.id()], known ? 1 : 0) << step;
    }
  }
}

}  // namespace
}  // namespace quell::agent
