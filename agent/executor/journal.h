// Journal: the executor's memory of what it was about to do, did and reported. An append-only file of
// { uint32 length, uint32 CRC32C, JournalFrame }, little-endian; see journal.proto. Owned by the Executor,
// one thread.
//
// A torn tail (what a power cut leaves of the last frame) is cut at Open. Damage with a valid frame after it
// is not: then damage() says where, nothing can be written, and nothing may be done. A failed write is taken
// back and can be tried again; a failed sync, or a write that can't be taken back, makes fatal() true: the
// process ends and reads the file anew, because a file whose sync failed once is never trusted again.
//
// Bounds: rotated at 16 MiB (unacknowledged entries, those of the latest 24 h and those whose approval has
// not expired, at most 4,096, carried over by an atomic rename), a frame is at most 4 MiB, the file at most
// 64 MiB.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/disk.h"
#include "common/base/time.h"
#include "quell/v1/journal.pb.h"

namespace quell::agent {

struct JournalEntry {
  v1::JournalIntent intent;
  std::optional<v1::JournalStarted> started;
  std::optional<v1::CommandReport> outcome;  // without evidence
  bool acked = false;                        // its outcome is acknowledged; evidence is forgotten then
};

class Journal {
 public:
  struct Options {
    std::string path;
    std::string boot_id;
    uint64_t rotate_bytes = 16 << 20;
    Micros keep = kDay;
    size_t keep_entries = 4096;
  };
  Journal(Disk& disk, Options options);

  // Reads the file; cuts a torn tail. An error: the file can't be read or cut, and nothing may be done.
  absl::Status Open(Micros wall_now);

  // OK: may be written to. Otherwise the sentence for journal_error.
  absl::Status status() const;
  bool fatal() const { return fatal_; }

  absl::Status WriteIntent(const v1::JournalIntent& intent, Micros wall_now);  // synced
  absl::Status WriteStarted(const v1::JournalStarted& started);                // not synced
  absl::Status WriteOutcome(const v1::CommandReport& report);                  // synced
  absl::Status WriteAcked(uint64_t report_seq);                                // not synced
  absl::Status WriteEpoch(uint64_t number, std::string_view start);            // synced

  // A report sequence that was never handed out before, also not by an earlier start of the process: reserved
  // in the file in blocks, and never below the wall time of the start in µs, should the file be lost.
  uint64_t NextReportSeq();

  const JournalEntry* Find(std::string_view id) const;
  // The command that was begun with this approved intent; nullptr: none was.
  const JournalEntry* FindApproved(std::string_view intent_id) const;
  const std::map<std::string, JournalEntry>& entries() const { return entries_; }
  // The outcome as reported: with the evidence taken before.
  static v1::CommandReport FullReport(const JournalEntry& entry);
  // Commands started (or possibly started) since `age` ago for which `counts` says yes. Within one boot by
  // its clock, across boots by wall time; a time in the future counts.
  uint64_t CountStarted(Micros wall_now, Micros boot_now, Micros age,
                        const std::function<bool(const v1::JournalIntent&)>& counts) const;
  uint64_t epoch_number() const { return epoch_number_; }
  const std::string& epoch_start() const { return epoch_start_; }
  uint64_t acked_seq() const { return acked_seq_; }
  uint64_t size() const { return size_; }

  // Called after an append and after its sync, for tests that end the process there.
  std::function<void(std::string_view step)> on_step;

 private:
  absl::Status Append(v1::JournalFrame frame, bool sync, std::string_view what);
  absl::Status AppendBytes(std::string_view bytes, bool sync, std::string_view what);
  absl::Status Recover(const std::string& content);
  absl::Status CutTail(uint64_t good_size);
  void Fold(const v1::JournalFrame& frame);
  void FoldAcked(uint64_t seq);
  absl::Status RotateWhenLarge(Micros wall_now);
  std::string CarriedOver(Micros wall_now);
  absl::Status AfterFailedRotation(const absl::Status& error, uint64_t new_size);

  Disk& disk_;
  const Options options_;
  std::unique_ptr<AppendFile> file_;
  std::map<std::string, JournalEntry> entries_;
  std::string damage_;
  absl::Status last_error_;
  bool fatal_ = false;
  uint64_t size_ = 0;
  uint64_t rotate_at_ = 0;
  uint64_t number_ = 0;
  uint64_t epoch_number_ = 0;
  std::string epoch_start_;
  uint64_t acked_seq_ = 0;
  uint64_t next_seq_ = 1;
  uint64_t reserved_ = 0;
};

// One frame as it stands in the file.
std::string EncodeJournalFrame(const v1::JournalFrame& frame);

}  // namespace quell::agent
