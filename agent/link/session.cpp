#include "agent/link/session.h"

#include <algorithm>
#include <limits>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/wire/features.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"

namespace quell::agent {
namespace {

constexpr size_t kFrameBytes = 256 << 10;   // a frame is closed at about this size; one report may be larger
constexpr size_t kReportBytes = 512 << 10;  // of several reports in one frame
constexpr size_t kEventBytes = 128 << 10;
constexpr size_t kEventsPerFrame = 200;
constexpr size_t kSamplesPerLook = 64;
constexpr size_t kBatchesPerFrame = 1'000;
static_assert(kFrameBytes + kReportBytes < wire::kMaxMessageBytes);
static_assert(kEventsPerFrame <= wire::kMaxEventsPerFrame && kBatchesPerFrame <= wire::kMaxBatchesPerFrame);

}  // namespace

LinkSession::LinkSession(const AgentFacts& facts, Spool& spool, ExecutorPort& executor, HeadMemory& head,
                         IdentityPort* identity)
    : facts_(facts), spool_(spool), executor_(executor), head_(head), identity_(identity) {
  event_sent_ = spool.events_acknowledged();
  report_sent_ = spool.reports_acknowledged();
}

void LinkSession::FillHello(Times now, v1::Hello* hello) {
  hello->set_agent_version(facts_.version);
  for (std::string_view feature : wire::kFeatures) hello->add_features(std::string(feature));
  hello->set_host_id(facts_.host_id);
  hello->set_host_name(facts_.host_name);
  hello->set_boot_id(facts_.boot_id);
  hello->set_agent_start(facts_.start);
  hello->set_monotonic_us(now.monotonic);
  hello->set_wall_us(now.wall);
  if (auto status = executor_.Status()) {
    hello->set_executor_connected(true);
    *hello->mutable_actions() = status->actions();
    hello->set_actions_sha256(status->actions_sha256());
    hello->set_sanctions_sha256(status->sanctions_sha256());
    hello->set_sanctions_error(status->sanctions_error());
  }
  hello->set_log_seq(head_.seq());
  hello->set_log_head(head_.head());
  hello->set_oldest_sample_us(spool_.oldest_sample());
  hello->set_trust_serial(identity_ != nullptr ? identity_->trust_serial() : facts_.trust_serial);
}

void LinkSession::FillHeartbeat(Times now, v1::Heartbeat* heartbeat) {
  heartbeat->set_monotonic_us(now.monotonic);
  heartbeat->set_wall_us(now.wall);
  if (auto status = executor_.Status()) {
    heartbeat->set_executor_connected(true);
    heartbeat->set_nonce(status->nonce());
    heartbeat->set_epoch_number(status->epoch_number());
    heartbeat->set_epoch_start(status->epoch_start());
    heartbeat->set_sanctions_sha256(status->sanctions_sha256());
    heartbeat->set_sanctions_error(status->sanctions_error());
    heartbeat->set_held(status->held());
    *heartbeat->mutable_actions() = status->actions();
  }
  const Spool::Counts counts = spool_.counts();
  heartbeat->set_samples_dropped(counts.samples_dropped);
  heartbeat->set_events_dropped(counts.events_dropped);
  heartbeat->set_results_full(spool_.results_full());
  heartbeat_at_ = now.monotonic + heartbeat_every_;
}

void LinkSession::OnWelcome(const v1::Welcome& welcome, Times now) {
  welcomed_ = true;
  host_name_ = welcome.host_name();
  if (welcome.heartbeat_ms() != 0) heartbeat_every_ = welcome.heartbeat_ms() * kMillisecond;
  heartbeat_at_ = now.monotonic;
  sample_ = spool_.FirstSampleAt(welcome.samples_from_us());
  part_ = 0;
  samples_at_ = 0;
  if (identity_ != nullptr) identity_->Welcomed();
}

void LinkSession::TakeIdentity(const v1::ControllerFrame& frame, Times now) {
  if (!frame.trust_bundle().empty()) executor_.SetTrustBundle(frame.trust_bundle());
  if (identity_ == nullptr) return;
  if (!frame.trust_bundle().empty()) identity_->TakeTrust(frame.trust_bundle(), now.wall);
  if (!frame.certificate().empty()) identity_->Renewed(frame.certificate(), now.wall);
  if (!frame.renew_refused().empty()) identity_->RenewalRefused(frame.renew_refused());
}

// With each heartbeat: is the certificate to be renewed, has the executor missed a bundle?
void LinkSession::CheckIdentity(Times now, v1::AgentFrame* out) {
  if (identity_ == nullptr) return;
  out->set_renew_key(identity_->KeyToRenew(now.wall));
  const auto status = executor_.Status();
  const std::string bundle = status ? identity_->TrustNewerThan(status->trust_serial()) : "";
  if (!bundle.empty()) executor_.SetTrustBundle(bundle);
}

void LinkSession::TakeCommand(const v1::SignedCommand& command) {
  std::string why;
  if (spool_.results_full()) {
    why = "the spool has no room for its result";
  } else if (!executor_.Submit(command.SerializeAsString())) {
    why = "no executor takes it";
  } else {
    return;
  }
  ++commands_not_taken_;
  LogWarning("a command was not taken: %s; it expires by itself", why);
}

absl::Status LinkSession::OnFrame(const v1::ControllerFrame& frame, Times now) {
  QUELL_RETURN_IF_ERROR(wire::Validate(frame));
  if (frame.has_welcome()) {
    if (welcomed_) return absl::InvalidArgumentError("the controller sent a second welcome in one stream");
    OnWelcome(frame.welcome(), now);
  }
  if (!welcomed_) return absl::InvalidArgumentError("the controller sent something before its welcome");
  TakeIdentity(frame, now);
  for (const v1::SignedCommand& command : frame.commands()) TakeCommand(command);
  for (const std::string& id : frame.cancel()) executor_.Cancel(id);
  if (frame.events_acked() != 0) spool_.AcknowledgeEvents(std::min(frame.events_acked(), event_sent_));
  if (frame.reports_acked() != 0) {
    const uint64_t journal = spool_.AcknowledgeReports(std::min(frame.reports_acked(), report_sent_));
    if (journal != 0) executor_.AckReports(journal);
  }
  if (frame.log_seq() != 0) head_.Told(frame.log_seq(), frame.log_head(), now.monotonic);
  return absl::OkStatus();
}

void LinkSession::AddReports(v1::AgentFrame* out) {
  for (v1::CommandReport& report : spool_.Reports(report_sent_, wire::kMaxReportsPerFrame, kReportBytes)) {
    report_sent_ = report.seq();
    frame_bytes_ += report.ByteSizeLong() + 8;
    *out->add_reports() = std::move(report);
  }
}

void LinkSession::AddEvents(v1::AgentFrame* out) {
  if (frame_bytes_ >= kFrameBytes) return;
  for (v1::Event& event : spool_.Events(event_sent_, kEventsPerFrame, kEventBytes)) {
    event_sent_ = event.seq();
    frame_bytes_ += event.ByteSizeLong() + 8;
    *out->add_events() = std::move(event);
  }
}

// False: the frame has no room for it.
bool LinkSession::AddPart(const Collection& collection, LayoutPart& part, v1::AgentFrame* out) {
  if (frame_bytes_ >= kFrameBytes || static_cast<size_t>(out->batches_size()) >= kBatchesPerFrame)
    return false;
  if (!part.defined) {
    if (static_cast<size_t>(out->layouts_size()) >= wire::kMaxLayoutsPerFrame) return false;
    const size_t size = part.definition.ByteSizeLong() + 8;
    if (frame_bytes_ > 0 && frame_bytes_ + size > kFrameBytes + kReportBytes) return false;
    frame_bytes_ += size;
    *out->add_layouts() = std::move(part.definition);
    part.definition.Clear();
    part.defined = true;
  }
  values_.clear();
  for (uint32_t i : part.picks) values_.push_back(collection.values[i]);
  v1::Batch* batch = out->add_batches();
  part.encoder.Encode(values_, collection.monotonic - begun_, ++batch_number_, batch);
  frame_bytes_ += batch->values().size() + batch->changed().size() + 24;
  return true;
}

void LinkSession::AddSamples(Times now, v1::AgentFrame* out) {
  if (sample_ >= spool_.next_sample()) return;
  if (samples_at_ == 0) samples_at_ = now.monotonic + kGather;
  const bool joins = frame_bytes_ > 0 || out->has_heartbeat();
  if (now.monotonic < samples_at_ && !joins) return;
  while (true) {
    const std::vector<Spool::StoredSample> stored = spool_.Samples(sample_, kSamplesPerLook);
    for (const Spool::StoredSample& sample : stored) {
      if (sample.index != sample_) part_ = 0;  // the spool dropped the one that was half sent
      sample_ = sample.index;
      std::vector<LayoutPart>& parts = layouts_.PartsOf(*sample.collection);
      for (; part_ < parts.size(); ++part_)
        if (!AddPart(*sample.collection, parts[part_], out)) return;  // samples_at_ stays: the rest is due
      part_ = 0;
      ++sample_;
    }
    if (stored.size() < kSamplesPerLook) break;
  }
  samples_at_ = 0;
}

bool LinkSession::NextFrame(Times now, v1::AgentFrame* out) {
  out->Clear();
  if (!hello_sent_) {
    FillHello(now, out->mutable_hello());
    begun_ = now.monotonic;
    hello_sent_ = true;
    return true;
  }
  if (!welcomed_ || said_goodbye_) return false;
  frame_bytes_ = 0;
  AddReports(out);
  if (now.monotonic >= heartbeat_at_) {
    FillHeartbeat(now, out->mutable_heartbeat());
    CheckIdentity(now, out);
  }
  AddEvents(out);
  AddSamples(now, out);
  const bool more = out->reports_size() + out->events_size() + out->batches_size() > 0;
  if (!goodbye_.empty() && out->reports_size() + out->events_size() == 0) {
    out->set_goodbye(goodbye_);
    said_goodbye_ = true;
  }
  return more || out->has_heartbeat() || said_goodbye_;
}

Micros LinkSession::NextDue() const {
  if (!welcomed_) return std::numeric_limits<Micros>::max();
  return samples_at_ == 0 ? heartbeat_at_ : std::min(heartbeat_at_, samples_at_);
}

}  // namespace quell::agent
