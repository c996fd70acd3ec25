// SegmentLog: numbered entries on disk, in segment files PREFIX-<first number>.log of length + CRC32C frames.
// Owned by the spool, guarded by its lock; not thread-safe.
//
// An entry is on disk for good once Sync has returned OK; only such entries may be sent (a number that was
// seen elsewhere and then lost with the power would be given out twice). The number of the next entry lies in
// the names and frames, so it survives restarts and empty files. A torn tail of the newest segment is cut at
// Open; damage before it loses the rest of that segment, which is counted. After a failed write or sync the
// newest segment is written anew from memory before anything else happens.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/disk.h"

namespace quell::agent {

class SegmentLog {
 public:
  struct Options {
    std::string directory;
    std::string prefix;                  // "events"
    uint64_t segment_bytes = 1 << 20;    // the newest segment is kept in memory too
    uint64_t total_bytes = 32ull << 20;  // of all segments
    uint64_t first_seq = 1;              // of the first entry when there is no file yet
    bool drop_oldest = false;            // when full: drop the oldest segment, or refuse
  };
  struct Entry {
    uint64_t seq = 0;
    std::string bytes;
  };

  static absl::StatusOr<std::unique_ptr<SegmentLog>> Open(Disk& disk, Options options);

  uint64_t next_seq() const { return next_; }
  // Appends under the number next_seq(). ResourceExhausted when full; otherwise the disk's error. The number
  // is not used up by a failure.
  absl::Status Append(std::string_view bytes);
  absl::Status Sync();
  // Entries up to `seq` are done with; whole segments of them go.
  void Acknowledge(uint64_t seq);
  // Synced and unacknowledged entries after `after`, in order, at most `items`, and of at most `bytes` unless
  // the first alone is larger.
  absl::StatusOr<std::vector<Entry>> Read(uint64_t after, size_t items, size_t bytes);

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t synced() const { return synced_; }
  uint64_t dropped() const { return dropped_; }  // unacknowledged entries that had to go, or were damaged
  uint64_t bytes() const;
  // Of a log that refuses: less than a third is free. Of the reports' 32 MiB that is room for what eight
  // running commands may still bring, 1 MiB each.
  bool full() const;
  bool unsynced() const { return synced_ + 1 < next_; }

 private:
  struct Segment {
    std::string path;
    uint64_t first = 0;  // number of its first entry
    uint64_t end = 0;    // one past its last
    uint64_t size = 0;   // bytes of the file
  };

  SegmentLog(Disk& disk, Options options) : disk_(disk), options_(std::move(options)) {}
  absl::Status Load();
  absl::Status LoadSegment(const std::string& path, uint64_t first, bool newest);
  absl::Status StartSegment();
  absl::Status Mend();
  absl::Status MakeRoom(uint64_t size);
  absl::Status WriteFrame(std::string_view frame);
  void DropOldest();
  void NoteAcknowledged();
  std::string PathOf(uint64_t first) const;

  Disk& disk_;
  const Options options_;
  std::deque<Segment> segments_;  // the last one is the newest, being written
  std::deque<Entry> newest_;      // its entries
  std::unique_ptr<AppendFile> file_;
  std::vector<Entry> cached_;  // the older segment read last
  uint64_t cached_first_ = 0;
  uint64_t next_ = 1;
  uint64_t synced_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t noted_ = 0;  // the acknowledgement that the newest segment tells
  uint64_t dropped_ = 0;
  uint64_t cut_ = 0;     // bytes of the torn tail found at Open
  bool broken_ = false;  // the newest segment's file is not what memory says
};

}  // namespace quell::agent
