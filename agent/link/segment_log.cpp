#include "agent/link/segment_log.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kHead = 8;               // length and CRC32C of what follows, little-endian
constexpr size_t kBodyHead = 9;           // kind and number
constexpr uint64_t kMaxFrame = 4u << 20;  // longer lengths are damage
constexpr char kEntry = 'E', kAcknowledged = 'A';

void Put(std::string* out, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(v >> (8 * i)));
}
uint64_t Get(std::string_view in, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; ++i) v |= static_cast<uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  return v;
}

std::string Frame(char kind, uint64_t seq, std::string_view bytes) {
  std::string body(1, kind);
  Put(&body, seq, 8);
  body.append(bytes);
  std::string frame;
  Put(&frame, body.size(), 4);
  Put(&frame, Crc32c(body), 4);
  return frame + body;
}

struct Parsed {
  std::vector<SegmentLog::Entry> entries;
  uint64_t acknowledged = 0;
  size_t good = 0;  // bytes that hold whole frames
};

// Whole frames of a segment's content, up to the first that is cut off or damaged.
Parsed Parse(std::string_view content) {
  Parsed out;
  while (content.size() - out.good >= kHead) {
    const uint64_t length = Get(content.substr(out.good), 4);
    if (length < kBodyHead || length > kMaxFrame || length > content.size() - out.good - kHead) break;
    const std::string_view body = content.substr(out.good + kHead, length);
    if (Crc32c(body) != Get(content.substr(out.good + 4), 4)) break;
    const uint64_t seq = Get(body.substr(1), 8);
    if (body[0] == kAcknowledged) {
      out.acknowledged = std::max(out.acknowledged, seq);
    } else {
      out.entries.push_back({seq, std::string(body.substr(kBodyHead))});
    }
    out.good += kHead + length;
  }
  return out;
}

}  // namespace

std::string SegmentLog::PathOf(uint64_t first) const {
  return absl::StrFormat("%s/%s-%020d.log", options_.directory, options_.prefix, first);
}

absl::StatusOr<std::unique_ptr<SegmentLog>> SegmentLog::Open(Disk& disk, Options options) {
  std::unique_ptr<SegmentLog> log(new SegmentLog(disk, std::move(options)));
  QUELL_RETURN_IF_ERROR(Annotate(log->Load(), absl::StrCat("opening the spool ", log->options_.prefix)));
  return log;
}

absl::Status SegmentLog::Load() {
  QUELL_ASSIGN_OR_RETURN(std::vector<std::string> names, disk_.List(options_.directory));
  std::vector<uint64_t> firsts;
  for (const std::string& name : names) {
    const std::string head = options_.prefix + "-";
    uint64_t first = 0;
    if (name.size() != head.size() + 24 || name.compare(0, head.size(), head) != 0) continue;
    if (!absl::SimpleAtoi(name.substr(head.size(), 20), &first) || first == 0) continue;
    if (options_.directory + "/" + name == PathOf(first)) firsts.push_back(first);
  }
  std::sort(firsts.begin(), firsts.end());
  if (firsts.empty()) {
    next_ = options_.first_seq;
    acknowledged_ = next_ - 1;
  }
  for (uint64_t first : firsts)
    QUELL_RETURN_IF_ERROR(LoadSegment(PathOf(first), first, first == firsts.back()));
  noted_ = acknowledged_;
  // What was cut may have been seen elsewhere: its numbers are not given out again.
  if (cut_ > 0) next_ += cut_ / (kHead + kBodyHead) + 1;
  synced_ = next_ - 1;
  if (segments_.empty() || cut_ > 0) return StartSegment();
  QUELL_ASSIGN_OR_RETURN(file_, disk_.OpenAppend(segments_.back().path));
  // What a process that was killed had written but not synced counts from here on, so it is synced now.
  return file_->Sync();
}

absl::Status SegmentLog::LoadSegment(const std::string& path, uint64_t first, bool newest) {
  QUELL_ASSIGN_OR_RETURN(std::string content, disk_.Read(path, options_.total_bytes + kMaxFrame));
  Parsed parsed = Parse(content);
  if (newest && parsed.good < content.size()) {
    cut_ = content.size() - parsed.good;
    QUELL_RETURN_IF_ERROR(disk_.Truncate(path, parsed.good));
  }
  if (!segments_.empty() && segments_.back().end < first) {
    dropped_ += first - segments_.back().end;  // lost to damage in the segment before
    segments_.back().end = first;
  }
  const uint64_t end = parsed.entries.empty() ? first : parsed.entries.back().seq + 1;
  segments_.push_back({path, first, end, newest ? parsed.good : content.size()});
  next_ = std::max(next_, end);
  acknowledged_ = std::max(acknowledged_, parsed.acknowledged);
  if (newest) newest_.assign(parsed.entries.begin(), parsed.entries.end());
  return absl::OkStatus();
}

// A new empty file under a name that carries the next number, durable before anything relies on it.
absl::Status SegmentLog::StartSegment() {
  const std::string path = PathOf(next_);
  const std::string content = Frame(kAcknowledged, acknowledged_, "");
  QUELL_RETURN_IF_ERROR(disk_.WriteWhole(path, content));
  QUELL_ASSIGN_OR_RETURN(file_, disk_.OpenAppend(path));
  if (segments_.empty() || segments_.back().first != next_) segments_.push_back({path, next_, next_, 0});
  segments_.back().size = content.size();
  newest_.clear();
  noted_ = acknowledged_;
  return absl::OkStatus();
}

absl::Status SegmentLog::Mend() {
  if (!broken_) return absl::OkStatus();
  Segment& newest = segments_.back();
  std::string content = Frame(kAcknowledged, acknowledged_, "");
  for (const Entry& entry : newest_) content += Frame(kEntry, entry.seq, entry.bytes);
  file_.reset();
  QUELL_RETURN_IF_ERROR(disk_.WriteWhole(newest.path, content));
  QUELL_ASSIGN_OR_RETURN(file_, disk_.OpenAppend(newest.path));
  newest.size = content.size();
  synced_ = next_ - 1;
  noted_ = acknowledged_;
  broken_ = false;
  return absl::OkStatus();
}

uint64_t SegmentLog::bytes() const {
  uint64_t sum = 0;
  for (const Segment& segment : segments_) sum += segment.size;
  return sum;
}

bool SegmentLog::full() const {
  const uint64_t room = std::max(2 * options_.segment_bytes, options_.total_bytes / 3);
  return bytes() + room > options_.total_bytes;
}

void SegmentLog::DropOldest() {
  const Segment& oldest = segments_.front();
  const uint64_t from = std::max(oldest.first, acknowledged_ + 1);
  if (oldest.end > from) dropped_ += oldest.end - from;
  acknowledged_ = std::max(acknowledged_, oldest.end - 1);
  (void)disk_.Remove(oldest.path);  // a file that stays is taken up and acknowledged after the next start
  segments_.pop_front();
}

absl::Status SegmentLog::MakeRoom(uint64_t size) {
  if (segments_.back().size > 0 && !newest_.empty() &&
      segments_.back().size + size > options_.segment_bytes) {
    if (unsynced()) QUELL_RETURN_IF_ERROR(Sync());
    QUELL_RETURN_IF_ERROR(StartSegment());
  }
  while (bytes() + size > options_.total_bytes) {
    if (!options_.drop_oldest || segments_.size() < 2)
      return absl::ResourceExhaustedError(absl::StrCat("the spool ", options_.prefix, " holds ", bytes(),
                                                       " of ", options_.total_bytes,
                                                       " bytes and has no room for ", size));
    DropOldest();
  }
  return absl::OkStatus();
}

absl::Status SegmentLog::WriteFrame(std::string_view frame) {
  absl::Status status = file_->Append(frame);
  if (!status.ok()) {
    broken_ = true;
    return Annotate(status, absl::StrCat("writing to ", segments_.back().path));
  }
  segments_.back().size += frame.size();
  return absl::OkStatus();
}

absl::Status SegmentLog::Append(std::string_view bytes) {
  if (bytes.size() + kBodyHead > kMaxFrame)
    return absl::InvalidArgumentError("an entry of the spool is longer than 4 MiB");
  QUELL_RETURN_IF_ERROR(Mend());
  const std::string frame = Frame(kEntry, next_, bytes);
  QUELL_RETURN_IF_ERROR(MakeRoom(frame.size()));
  QUELL_RETURN_IF_ERROR(WriteFrame(frame));
  newest_.push_back({next_, std::string(bytes)});
  segments_.back().end = ++next_;
  return absl::OkStatus();
}

absl::Status SegmentLog::Sync() {
  if (broken_) return Mend();
  absl::Status status = file_->Sync();
  if (!status.ok()) {
    broken_ = true;
    return Annotate(status, absl::StrCat("syncing ", segments_.back().path));
  }
  synced_ = next_ - 1;
  return absl::OkStatus();
}

// Tells the disk, unsynced, how far the far end is: after a restart less is sent twice.
void SegmentLog::NoteAcknowledged() {
  if (broken_ || noted_ == acknowledged_) return;
  if (WriteFrame(Frame(kAcknowledged, acknowledged_, "")).ok()) noted_ = acknowledged_;
}

void SegmentLog::Acknowledge(uint64_t seq) {
  seq = std::min(seq, synced_);
  if (seq <= acknowledged_) return;
  acknowledged_ = seq;
  while (segments_.size() > 1 && segments_.front().end <= acknowledged_ + 1) DropOldest();
  const bool newest_done = segments_.back().end <= acknowledged_ + 1;
  if (newest_done && segments_.back().size > options_.segment_bytes / 2 && !broken_ && !unsynced() &&
      StartSegment().ok()) {
    while (segments_.size() > 1) DropOldest();
    return;
  }
  NoteAcknowledged();
}

absl::StatusOr<std::vector<SegmentLog::Entry>> SegmentLog::Read(uint64_t after, size_t items, size_t bytes) {
  after = std::max(after, acknowledged_);
  std::vector<Entry> out;
  size_t total = 0;
  auto take = [&](const auto& entries) {
    for (const Entry& entry : entries) {
      if (entry.seq <= after || entry.seq > synced_) continue;
      if (out.size() >= items || (!out.empty() && total + entry.bytes.size() > bytes)) return false;
      total += entry.bytes.size();
      out.push_back(entry);
    }
    return true;
  };
  for (const Segment& segment : segments_) {
    if (segment.end <= after + 1) continue;
    if (&segment == &segments_.back()) {
      take(newest_);
      break;
    }
    if (cached_first_ != segment.first) {
      QUELL_ASSIGN_OR_RETURN(std::string content, disk_.Read(segment.path, options_.total_bytes + kMaxFrame));
      cached_ = Parse(content).entries;
      cached_first_ = segment.first;
    }
    if (!take(cached_)) break;
  }
  return out;
}

}  // namespace quell::agent
