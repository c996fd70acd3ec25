#include "agent/link/spool.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"

namespace quell::agent {
namespace {

constexpr size_t kRecentKeys = 1'000;
constexpr uint64_t kNotKept = UINT64_MAX;  // no spool's number: nothing behind it counts as done

uint64_t ListBytes(const std::vector<Series>& list) {
  uint64_t sum = sizeof(list);
  for (const Series& series : list) {
    sum += sizeof(series) + series.name.capacity();
    for (const auto& [name, value] : series.labels)
      sum += sizeof(Labels::Pair) + name.capacity() + value.capacity();
  }
  return sum;
}

// A protobuf string that is not UTF-8 can be sent but not read: it would end each stream that it is sent on.
void CutText(size_t limit, std::string* text) {
  if (text->size() <= limit && IsUtf8(*text)) return;
  *text = std::string(CutUtf8(MakeUtf8(CutUtf8(*text, limit)), limit));
}

void MendLabels(google::protobuf::RepeatedPtrField<v1::Label>* labels) {
  for (v1::Label& label : *labels) {
    if (!IsUtf8(label.value())) label.set_value(MakeUtf8(label.value()));
  }
}

// What no controller takes goes, and nothing else of the evidence with it.
void FitEvidence(google::protobuf::RepeatedPtrField<v1::EvidenceItem>& evidence) {
  const auto unnamed = [](const v1::EvidenceItem& item) { return !wire::IsEvidenceName(item.name()); };
  evidence.erase(std::remove_if(evidence.begin(), evidence.end(), unnamed), evidence.end());
  const int most = static_cast<int>(wire::kMaxEvidenceItems);
  if (evidence.size() > most) evidence.DeleteSubrange(most, evidence.size() - most);
  for (v1::EvidenceItem& item : evidence) CutText(wire::kMaxReason, item.mutable_missing());
}

}  // namespace

void FitReport(v1::CommandReport& report) {
  report.set_wall_us(std::clamp<int64_t>(report.wall_us(), 0, wire::kMaxWall));
  report.set_monotonic_us(std::clamp<int64_t>(report.monotonic_us(), 0, wire::kMaxForwards));
  CutText(wire::kMaxReason, report.mutable_reason());
  FitEvidence(*report.mutable_evidence());
  // A result is never lost for a detail.
  if (!wire::Validate(report).ok()) {
    report.clear_evidence();
    report.clear_before();
    report.clear_after();
    report.clear_sessions();
  }
  while (report.ByteSizeLong() > wire::kMaxEvidenceBytes) {
    v1::EvidenceItem* longest = nullptr;
    for (auto& item : *report.mutable_evidence())
      if (longest == nullptr || item.content().size() > longest->content().size()) longest = &item;
    if (longest == nullptr || longest->content().empty()) return;
    const size_t over = report.ByteSizeLong() - wire::kMaxEvidenceBytes;
    const size_t size = longest->content().size();
    longest->mutable_content()->resize(size > over ? std::max(size - over, size / 2) : size / 2);
    longest->set_truncated(true);
  }
}

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(Disk& disk, Clock& clock, Options options) {
  std::unique_ptr<Spool> spool(new Spool(clock, std::move(options)));
  const Options& o = spool->options_;
  absl::MutexLock lock(&spool->mutex_);
  // Numbers of a spool that was lost are not given out again: a new one begins at the time of day, in ms.
  const auto first = static_cast<uint64_t>(std::max<Micros>(clock.Wall() / kMillisecond, 1));
  SegmentLog::Options events{o.directory, "events", o.segment_bytes, o.event_bytes, first, true};
  SegmentLog::Options reports{o.directory, "reports", o.segment_bytes, o.report_bytes, first, false};
  QUELL_ASSIGN_OR_RETURN(spool->events_, SegmentLog::Open(disk, std::move(events)));
  QUELL_ASSIGN_OR_RETURN(spool->reports_, SegmentLog::Open(disk, std::move(reports)));
  uint64_t after = 0;
  while (true) {
    QUELL_ASSIGN_OR_RETURN(std::vector<SegmentLog::Entry> kept, spool->reports_->Read(after, 100, 1 << 20));
    if (kept.empty()) break;
    for (const SegmentLog::Entry& entry : kept) {
      v1::CommandReport report;
      if (report.ParseFromString(entry.bytes)) spool->report_keys_[ReportKey(report)] = entry.seq;
      after = entry.seq;
    }
  }
  return spool;
}

std::string Spool::ReportKey(const v1::CommandReport& report) {
  return absl::StrCat(report.seq(), "/", static_cast<int>(report.outcome()), "/", report.id());
}

uint64_t Spool::CostOf(const Collection& collection) {
  ListUse& use = lists_[collection.series.get()];
  if (use.samples++ == 0) {
    use.bytes = ListBytes(*collection.series);
    sample_bytes_ += use.bytes;
  }
  return sizeof(Held) + sizeof(Collection) + collection.values.size() * sizeof(double);
}

void Spool::DropOldestSample() {
  const Held& oldest = samples_.front();
  auto use = lists_.find(oldest.collection->series.get());
  if (--use->second.samples == 0) {
    sample_bytes_ -= use->second.bytes;
    lists_.erase(use);
  }
  sample_bytes_ -= oldest.cost;
  samples_.pop_front();
  ++first_sample_;
}

void Spool::TrimSamples(Micros now) {
  while (!samples_.empty() && samples_.front().collection->monotonic < now - options_.sample_age)
    DropOldestSample();
  while (samples_.size() > 1 && sample_bytes_ > options_.sample_bytes) {
    counts_.samples_dropped += samples_.front().collection->values.size();
    DropOldestSample();
  }
}

void Spool::Add(Collection collection) {
  if (collection.series == nullptr || collection.series->size() != collection.values.size()) {
    LogError("collector %s gave %d values for %d series; they are dropped", collection.collector,
             collection.values.size(), collection.series == nullptr ? 0 : collection.series->size());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    const Micros now = clock_.Monotonic();
    if (collection.monotonic == 0) collection.monotonic = now;
    const uint64_t cost = CostOf(collection);
    sample_bytes_ += cost;
    samples_.push_back({std::make_shared<const Collection>(std::move(collection)), cost});
    TrimSamples(now);
  }
  Wake();
}

void Spool::Add(v1::Event event) {
  {
    absl::MutexLock lock(&mutex_);
    event.set_seq(events_->next_seq());
    if (event.wall_us() == 0) event.set_wall_us(clock_.Wall());
    if (event.monotonic_us() == 0) event.set_monotonic_us(clock_.Monotonic());
    if (event.boot_id().empty()) event.set_boot_id(options_.boot_id);
    CutText(wire::kMaxEventText, event.mutable_text());
    MendLabels(event.mutable_labels());
    for (auto& sample : *event.mutable_samples()) MendLabels(sample.mutable_series()->mutable_labels());
    absl::Status status = wire::Validate(event);
    if (status.ok()) status = events_->Append(event.SerializeAsString());
    if (!status.ok()) {
      ++counts_.events_dropped;
      LogError("event %s is dropped: %s", event.kind(), std::string(status.message()));
      return;
    }
  }
  Wake();
}

absl::Status Spool::AddReport(v1::CommandReport report) {
  FitReport(report);
  QUELL_RETURN_IF_ERROR(wire::Validate(report));
  const std::string key = ReportKey(report);
  const uint64_t journal_seq = report.seq();
  {
    absl::MutexLock lock(&mutex_);
    if (std::find(recent_keys_.begin(), recent_keys_.end(), key) != recent_keys_.end()) {
      journal_[journal_seq] = 0;
      return absl::OkStatus();
    }
    auto kept = report_keys_.find(key);
    if (kept == report_keys_.end()) {
      absl::Status status = reports_->Append(report.SerializeAsString());
      if (!status.ok()) {
        journal_[journal_seq] = kNotKept;
        ++counts_.reports_refused;
        return Annotate(status, "keeping a command's report");
      }
      kept = report_keys_.emplace(key, reports_->next_seq() - 1).first;
    }
    journal_[journal_seq] = kept->second;
  }
  Wake();
  return absl::OkStatus();
}

std::vector<Spool::StoredSample> Spool::Samples(uint64_t from_index, size_t items) const {
  absl::MutexLock lock(&mutex_);
  std::vector<StoredSample> out;
  for (uint64_t i = std::max(from_index, first_sample_);
       i < first_sample_ + samples_.size() && out.size() < items; ++i)
    out.push_back({i, samples_[i - first_sample_].collection});
  return out;
}

uint64_t Spool::FirstSampleAt(Micros monotonic) const {
  absl::MutexLock lock(&mutex_);
  uint64_t i = 0;
  while (i < samples_.size() && samples_[i].collection->monotonic < monotonic) ++i;
  return first_sample_ + i;
}

uint64_t Spool::next_sample() const {
  absl::MutexLock lock(&mutex_);
  return first_sample_ + samples_.size();
}

Micros Spool::oldest_sample() const {
  absl::MutexLock lock(&mutex_);
  return samples_.empty() ? 0 : samples_.front().collection->monotonic;
}

namespace {

// Entries of one log as messages. A disk that fails now is told and asked again with the next call.
template <typename Message>
std::vector<Message> ReadMessages(SegmentLog& log, uint64_t after, size_t items, size_t bytes,
                                  uint64_t* damaged) {
  std::vector<Message> out;
  if (log.unsynced()) {
    absl::Status status = log.Sync();
    if (!status.ok()) LogError("the spool can't be made durable: %s", std::string(status.message()));
  }
  auto entries = log.Read(after, items, bytes);
  if (!entries.ok()) {
    LogError("the spool can't be read: %s", std::string(entries.status().message()));
    return out;
  }
  for (const SegmentLog::Entry& entry : *entries) {
    Message message;
    if (!message.ParseFromString(entry.bytes)) {
      ++*damaged;
      continue;
    }
    message.set_seq(entry.seq);
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace

std::vector<v1::Event> Spool::Events(uint64_t after, size_t items, size_t bytes) {
  absl::MutexLock lock(&mutex_);
  return ReadMessages<v1::Event>(*events_, after, items, bytes, &counts_.damaged);
}

std::vector<v1::CommandReport> Spool::Reports(uint64_t after, size_t items, size_t bytes) {
  absl::MutexLock lock(&mutex_);
  return ReadMessages<v1::CommandReport>(*reports_, after, items, bytes, &counts_.damaged);
}

void Spool::AcknowledgeEvents(uint64_t seq) {
  absl::MutexLock lock(&mutex_);
  events_->Acknowledge(seq);
}

void Spool::ExecutorConnected() {
  absl::MutexLock lock(&mutex_);
  journal_.clear();
}

// The highest journal number up to which every report that the executor brought is acknowledged.
uint64_t Spool::JournalDone() {
  uint64_t done = 0;
  while (!journal_.empty() && journal_.begin()->second <= reports_->acknowledged()) {
    done = journal_.begin()->first;
    journal_.erase(journal_.begin());
  }
  return done;
}

uint64_t Spool::AcknowledgeReports(uint64_t seq) {
  absl::MutexLock lock(&mutex_);
  reports_->Acknowledge(seq);
  for (auto it = report_keys_.begin(); it != report_keys_.end();) {
    if (it->second > reports_->acknowledged()) {
      ++it;
      continue;
    }
    recent_keys_.push_back(it->first);
    if (recent_keys_.size() > kRecentKeys) recent_keys_.pop_front();
    it = report_keys_.erase(it);
  }
  return JournalDone();
}

bool Spool::results_full() const {
  absl::MutexLock lock(&mutex_);
  return reports_->full();
}

uint64_t Spool::events_acknowledged() const {
  absl::MutexLock lock(&mutex_);
  return events_->acknowledged();
}

uint64_t Spool::reports_acknowledged() const {
  absl::MutexLock lock(&mutex_);
  return reports_->acknowledged();
}

Spool::Counts Spool::counts() const {
  absl::MutexLock lock(&mutex_);
  Counts counts = counts_;
  counts.events_dropped += events_->dropped();
  return counts;
}

}  // namespace quell::agent
