#include "agent/executor/journal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr uint64_t kHeader = 8;  // length and CRC
constexpr uint64_t kLongestFrame = 4 << 20;
constexpr uint64_t kLongestFile = 64 << 20;
constexpr uint64_t kReserve = 4096;        // report sequences per reservation
constexpr uint64_t kNumberLeap = 1 << 20;  // frame numbers of neighbours lie closer than this

uint32_t Little32(std::string_view bytes) {
  uint32_t v = 0;
  for (int i = 3; i >= 0; --i) v = v << 8 | static_cast<uint8_t>(bytes[i]);
  return v;
}

void AppendLittle32(std::string& out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(v >> (8 * i) & 0xff));
}

// The frame at `offset`, and how long it is with its header. `after`: the number of the frame before it.
// `unreadable`: there is one, whole, and this program cannot read it.
std::optional<std::pair<v1::JournalFrame, uint64_t>> FrameAt(std::string_view content, uint64_t offset,
                                                             uint64_t after, bool* unreadable) {
  // A frame begins with its number: tag 0x09, eight bytes. Looked at first, it spares most CRCs of a search.
  if (content.size() - offset < kHeader + 9 || content[offset + kHeader] != '\x09') return std::nullopt;
  const uint64_t length = Little32(content.substr(offset, 4));
  if (length < 9 || length > kLongestFrame || length > content.size() - offset - kHeader) return std::nullopt;
  const std::string_view number_bytes = content.substr(offset + kHeader + 1, 8);
  const uint64_t number =
      Little32(number_bytes.substr(0, 4)) | static_cast<uint64_t>(Little32(number_bytes.substr(4, 4))) << 32;
  if (number <= after || number - after > kNumberLeap) return std::nullopt;
  const std::string_view bytes = content.substr(offset + kHeader, length);
  if (Crc32c(bytes) != Little32(content.substr(offset + 4, 4))) return std::nullopt;
  v1::JournalFrame frame;
  *unreadable = !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (*unreadable) return std::nullopt;
  return std::make_pair(std::move(frame), kHeader + length);
}

bool ValidFrameAfter(std::string_view content, uint64_t offset, uint64_t after) {
  for (uint64_t at = offset + 1; at + kHeader + 9 <= content.size(); ++at) {
    bool unreadable = false;
    if (FrameAt(content, at, after, &unreadable) || unreadable) return true;
  }
  return false;
}

}  // namespace

std::string EncodeJournalFrame(const v1::JournalFrame& frame) {
  const std::string bytes = frame.SerializeAsString();
  std::string out;
  out.reserve(kHeader + bytes.size());
  AppendLittle32(out, static_cast<uint32_t>(bytes.size()));
  AppendLittle32(out, Crc32c(bytes));
  return out + bytes;
}

Journal::Journal(Disk& disk, Options options)
    : disk_(disk), options_(std::move(options)), rotate_at_(options_.rotate_bytes) {}

absl::Status Journal::Open(Micros wall_now) {
  next_seq_ = static_cast<uint64_t>(std::max<Micros>(wall_now, 1));
  absl::StatusOr<std::string> content = disk_.Read(options_.path, kLongestFile);
  if (absl::IsNotFound(content.status())) content = std::string();
  if (!content.ok()) {
    damage_ = absl::StrCat("reading the journal ", options_.path, ": ", content.status().message());
    return absl::Status(content.status().code(), damage_);
  }
  QUELL_RETURN_IF_ERROR(Recover(*content));
  auto file = disk_.OpenAppend(options_.path);
  if (!file.ok()) {
    damage_ = absl::StrCat("opening the journal ", options_.path, ": ", file.status().message());
    return absl::Status(file.status().code(), damage_);
  }
  file_ = std::move(*file);
  next_seq_ = std::max(next_seq_, reserved_ + 1);
  return RotateWhenLarge(wall_now);
}

absl::Status Journal::Recover(const std::string& content) {
  uint64_t offset = 0;
  bool unreadable = false;
  while (offset < content.size()) {
    auto frame = FrameAt(content, offset, number_, &unreadable);
    if (!frame) break;
    number_ = frame->first.number();
    Fold(frame->first);
    offset += frame->second;
  }
  size_ = offset;
  if (offset == content.size()) return absl::OkStatus();
  // What is whole was written and perhaps acted on: it is no torn tail, even where it cannot be read.
  if (unreadable || ValidFrameAfter(content, offset, number_)) {
    damage_ =
        absl::StrCat("the journal ", options_.path, " is damaged at byte ", offset,
                     ", before entries that are whole; nothing is done until a person has looked at it");
    return absl::DataLossError(damage_);
  }
  return CutTail(offset);
}

absl::Status Journal::CutTail(uint64_t good_size) {
  const absl::Status cut = disk_.Truncate(options_.path, good_size);
  if (!cut.ok()) {
    damage_ = absl::StrCat("cutting the torn tail of the journal ", options_.path, ": ", cut.message());
    return absl::Status(cut.code(), damage_);
  }
  return absl::OkStatus();
}

void Journal::Fold(const v1::JournalFrame& frame) {
  if (frame.has_intent()) {
    JournalEntry& entry = entries_[frame.intent().id()];
    entry.intent = frame.intent();
  }
  if (frame.has_started()) {
    auto entry = entries_.find(frame.started().id());
    if (entry != entries_.end()) entry->second.started = frame.started();
  }
  if (frame.has_outcome()) {
    auto entry = entries_.find(frame.outcome().report().id());
    if (entry != entries_.end()) entry->second.outcome = frame.outcome().report();
  }
  if (frame.acked() > 0) FoldAcked(frame.acked());
  const bool newer = frame.has_epoch() && frame.epoch().number() >= epoch_number_;
  if (newer) epoch_number_ = frame.epoch().number(), epoch_start_ = frame.epoch().start();
  reserved_ = std::max(reserved_, frame.reserved());
}

void Journal::FoldAcked(uint64_t seq) {
  acked_seq_ = std::max(acked_seq_, seq);
  for (auto& [id, entry] : entries_) {
    if (entry.acked || !entry.outcome || entry.outcome->seq() > seq) continue;
    entry.acked = true;
    entry.intent.clear_evidence();
  }
}

absl::Status Journal::status() const {
  if (!damage_.empty()) return absl::DataLossError(damage_);
  if (fatal_) return last_error_;
  if (file_ == nullptr) return absl::FailedPreconditionError("the journal is not open");
  return absl::OkStatus();
}

absl::Status Journal::Append(v1::JournalFrame frame, bool sync, std::string_view what) {
  QUELL_RETURN_IF_ERROR(status());
  frame.set_number(number_ + 1);
  QUELL_RETURN_IF_ERROR(AppendBytes(EncodeJournalFrame(frame), sync, what));
  ++number_;
  Fold(frame);
  return absl::OkStatus();
}

absl::Status Journal::AppendBytes(std::string_view bytes, bool sync, std::string_view what) {
  const absl::Status appended = file_->Append(bytes);
  if (!appended.ok()) {
    // Part of it may stand in the file: take it back, or never write behind it.
    const absl::Status back = disk_.Truncate(options_.path, size_);
    last_error_ = Annotate(
        appended, absl::StrCat("writing the journal entry ", absl::string_view(what.data(), what.size())));
    if (!back.ok()) {
      fatal_ = true;
      last_error_ = Annotate(back, "taking back a half-written journal entry");
    }
    return last_error_;
  }
  size_ += bytes.size();
  if (on_step) on_step(absl::StrCat(absl::string_view(what.data(), what.size()), "_appended"));
  if (!sync) return absl::OkStatus();
  const absl::Status synced = file_->Sync();
  if (!synced.ok()) {
    fatal_ = true;
    last_error_ = Annotate(synced, "syncing the journal, which is not trusted any more");
    return last_error_;
  }
  if (on_step) on_step(absl::StrCat(absl::string_view(what.data(), what.size()), "_synced"));
  return absl::OkStatus();
}

absl::Status Journal::WriteIntent(const v1::JournalIntent& intent, Micros wall_now) {
  QUELL_RETURN_IF_ERROR(RotateWhenLarge(wall_now));
  v1::JournalFrame frame;
  *frame.mutable_intent() = intent;
  return Append(std::move(frame), true, "intent");
}

absl::Status Journal::WriteStarted(const v1::JournalStarted& started) {
  v1::JournalFrame frame;
  *frame.mutable_started() = started;
  return Append(std::move(frame), false, "started");
}

absl::Status Journal::WriteOutcome(const v1::CommandReport& report) {
  v1::JournalFrame frame;
  *frame.mutable_outcome()->mutable_report() = report;
  frame.mutable_outcome()->mutable_report()->clear_evidence();
  return Append(std::move(frame), true, "outcome");
}

absl::Status Journal::WriteAcked(uint64_t report_seq) {
  v1::JournalFrame frame;
  frame.set_acked(report_seq);
  return Append(std::move(frame), false, "acked");
}

absl::Status Journal::WriteEpoch(uint64_t number, std::string_view start) {
  v1::JournalFrame frame;
  frame.mutable_epoch()->set_number(number);
  frame.mutable_epoch()->set_start(std::string(start));
  return Append(std::move(frame), true, "epoch");
}

uint64_t Journal::NextReportSeq() {
  if (next_seq_ > reserved_ && status().ok()) {
    v1::JournalFrame frame;
    frame.set_reserved(next_seq_ + kReserve);
    const absl::Status reserved = Append(std::move(frame), true, "reserved");
    if (!reserved.ok())
      last_error_ = reserved;  // a full disk: the wall time below which no start begins is left
  }
  return next_seq_++;
}

const JournalEntry* Journal::Find(std::string_view id) const {
  auto entry = entries_.find(std::string(id));
  return entry == entries_.end() ? nullptr : &entry->second;
}

const JournalEntry* Journal::FindApproved(std::string_view intent_id) const {
  const auto used = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.second.intent.approved_id() == intent_id;
  });
  return used == entries_.end() ? nullptr : &used->second;
}

v1::CommandReport Journal::FullReport(const JournalEntry& entry) {
  v1::CommandReport report;
  if (entry.outcome) report = *entry.outcome;
  *report.mutable_evidence() = entry.intent.evidence();
  report.set_evidence_ms(entry.intent.evidence_ms());
  // An outcome that only recovery wrote doesn't know what it was about.
  if (report.sessions().empty()) *report.mutable_sessions() = entry.intent.sessions();
  return report;
}

uint64_t Journal::CountStarted(Micros wall_now, Micros boot_now, Micros age,
                               const std::function<bool(const v1::JournalIntent&)>& counts) const {
  uint64_t n = 0;
  for (const auto& [id, entry] : entries_) {
    const v1::JournalIntent& intent = entry.intent;
    const Micros passed =
        intent.boot_id() == options_.boot_id ? boot_now - intent.boot_us() : wall_now - intent.wall_us();
    if (passed >= age) continue;
    const bool stopped_before_effect = entry.outcome && entry.outcome->outcome() == v1::OUTCOME_REFUSED;
    if (!stopped_before_effect && counts(intent)) ++n;
  }
  return n;
}

absl::Status Journal::RotateWhenLarge(Micros wall_now) {
  QUELL_RETURN_IF_ERROR(status());
  if (size_ < rotate_at_) return absl::OkStatus();
  const std::string content = CarriedOver(wall_now);
  const absl::Status written = disk_.WriteWhole(options_.path, content);
  if (!written.ok()) return AfterFailedRotation(written, content.size());
  if (on_step) on_step("rotated");
  auto file = disk_.OpenAppend(options_.path);
  if (!file.ok()) {
    fatal_ = true;
    last_error_ = Annotate(file.status(), "opening the rotated journal");
    return last_error_;
  }
  file_ = std::move(*file);
  size_ = content.size();
  rotate_at_ = std::max<uint64_t>(options_.rotate_bytes, 2 * size_);
  return absl::OkStatus();
}

// The old file may still be the one: then it goes on, and the next try comes a sixteenth later. Otherwise
// what the directory would show after a power cut can't be known.
absl::Status Journal::AfterFailedRotation(const absl::Status& error, uint64_t new_size) {
  auto content = disk_.Read(options_.path, kLongestFile);
  if (content.ok() && content->size() == size_ && size_ != new_size && size_ < kLongestFile / 2) {
    rotate_at_ = size_ + options_.rotate_bytes / 16;
    return absl::OkStatus();
  }
  fatal_ = true;
  last_error_ = Annotate(error, "rotating the journal");
  return last_error_;
}

std::string Journal::CarriedOver(Micros wall_now) {
  std::vector<std::pair<Micros, std::string>> settled;  // by time, newest first
  for (const auto& [id, entry] : entries_) {
    if (entry.acked) settled.emplace_back(-entry.intent.wall_us(), id);
  }
  std::sort(settled.begin(), settled.end());
  for (size_t i = 0; i < settled.size(); ++i) {
    const bool old = wall_now + settled[i].first >= options_.keep &&
                     entries_.at(settled[i].second).intent.approved_until_us() <= wall_now;
    if (i >= options_.keep_entries || old) entries_.erase(settled[i].second);
  }
  std::string content;
  const auto write = [&](v1::JournalFrame frame) {
    frame.set_number(++number_);
    content += EncodeJournalFrame(frame);
  };
  v1::JournalFrame head;
  head.mutable_epoch()->set_number(epoch_number_);
  head.mutable_epoch()->set_start(epoch_start_);
  head.set_reserved(reserved_);
  write(head);
  for (const bool acked : {true, false}) {
    for (const auto& [id, entry] : entries_) {
      if (entry.acked != acked) continue;
      v1::JournalFrame frame;
      *frame.mutable_intent() = entry.intent;
      if (entry.started) *frame.mutable_started() = *entry.started;
      if (entry.outcome) *frame.mutable_outcome()->mutable_report() = *entry.outcome;
      write(frame);
    }
    if (acked && acked_seq_ > 0) {
      v1::JournalFrame frame;
      frame.set_acked(acked_seq_);
      write(frame);
    }
  }
  return content;
}

}  // namespace quell::agent
