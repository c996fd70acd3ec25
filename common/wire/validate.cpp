#include "common/wire/validate.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/wire/limits.h"

namespace quell::wire {
namespace {

absl::Status Bad(std::string_view what, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the frame's ", absl::string_view(what.data(), what.size()),
                                                 " ", absl::string_view(why.data(), why.size())));
}

absl::Status AtMost(size_t n, size_t limit, std::string_view what) {
  if (n <= limit) return absl::OkStatus();
  return Bad(what, absl::StrCat("has ", n, " bytes or items, more than the ", limit, " that are taken"));
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// kind of an event, name of a collector: [a-z][a-z0-9_.]*
bool IsDottedName(std::string_view s) {
  if (s.empty() || s.size() > kMaxNameBytes || !(s[0] >= 'a' && s[0] <= 'z')) return false;
  for (char c : s)
    if (!((c >= 'a' && c <= 'z') || IsDigit(c) || c == '_' || c == '.')) return false;
  return true;
}

absl::Status CheckLabels(const google::protobuf::RepeatedPtrField<v1::Label>& labels, std::string_view what) {
  QUELL_RETURN_IF_ERROR(AtMost(labels.size(), kMaxLabelsPerSeries, what));
  const std::string* before = nullptr;
  for (const v1::Label& label : labels) {
    if (!IsLabelName(label.name())) return Bad(what, "hold a name that is no label name");
    if (IsReservedLabel(label.name()))
      return Bad(what, absl::StrCat("hold ", label.name(), ", which only a controller sets"));
    if (before != nullptr && *before >= label.name()) return Bad(what, "are not sorted by distinct names");
    QUELL_RETURN_IF_ERROR(AtMost(label.value().size(), kMaxLabelBytes, what));
    before = &label.name();
  }
  return absl::OkStatus();
}

// So far apart that no difference of two of them overflows.
absl::Status CheckTimes(int64_t monotonic_us, int64_t wall_us, std::string_view what) {
  if (monotonic_us < 0 || monotonic_us > kMaxForwards)
    return Bad(what, "has a time that is no monotonic clock's");
  if (wall_us < 0 || wall_us > kMaxWall) return Bad(what, "has a time that is no wall clock's");
  return absl::OkStatus();
}

absl::Status CheckBatch(const v1::Batch& batch) {
  if (batch.offset_us() < -kMaxBackwards || batch.offset_us() > kMaxForwards)
    return Bad("batch", "lies outside of any time a sample can have");
  QUELL_RETURN_IF_ERROR(AtMost(batch.changed().size(), (kMaxSeriesPerLayout + 7) / 8, "batch's bitmap"));
  QUELL_RETURN_IF_ERROR(AtMost(batch.values().size(), kMaxSeriesPerLayout * 10, "batch's values"));
  if (!v1::Encoding_IsValid(batch.encoding())) return Bad("batch", "has an unknown encoding");
  return absl::OkStatus();
}

template <typename Strings>
absl::Status CheckNames(const Strings& names, std::string_view what) {
  QUELL_RETURN_IF_ERROR(AtMost(names.size(), kMaxListItems, what));
  for (const std::string& name : names) QUELL_RETURN_IF_ERROR(AtMost(name.size(), kMaxNameBytes, what));
  return absl::OkStatus();
}

absl::Status Exactly(size_t n, size_t wanted, std::string_view what) {
  if (n == 0 || n == wanted) return absl::OkStatus();
  return Bad(what, absl::StrCat("has ", n, " bytes instead of ", wanted));
}

absl::Status CheckHello(const v1::Hello& hello) {
  QUELL_RETURN_IF_ERROR(AtMost(hello.agent_version().size(), kMaxNameBytes, "hello.agent_version"));
  QUELL_RETURN_IF_ERROR(CheckNames(hello.features(), "hello.features"));
  QUELL_RETURN_IF_ERROR(AtMost(hello.host_name().size(), kMaxNameBytes, "hello.host_name"));
  QUELL_RETURN_IF_ERROR(AtMost(hello.host_id().size(), kMaxNameBytes, "hello.host_id"));
  QUELL_RETURN_IF_ERROR(AtMost(hello.boot_id().size(), kMaxNameBytes, "hello.boot_id"));
  if (hello.agent_start().size() != 16) return Bad("hello.agent_start", "is not 16 bytes long");
  QUELL_RETURN_IF_ERROR(CheckTimes(hello.monotonic_us(), hello.wall_us(), "hello"));
  QUELL_RETURN_IF_ERROR(CheckNames(hello.actions(), "hello.actions"));
  QUELL_RETURN_IF_ERROR(Exactly(hello.actions_sha256().size(), 32, "hello.actions_sha256"));
  QUELL_RETURN_IF_ERROR(Exactly(hello.sanctions_sha256().size(), 32, "hello.sanctions_sha256"));
  QUELL_RETURN_IF_ERROR(AtMost(hello.sanctions_error().size(), kMaxReason, "hello.sanctions_error"));
  return Exactly(hello.log_head().size(), 32, "hello.log_head");
}

absl::Status CheckHeartbeat(const v1::Heartbeat& beat) {
  QUELL_RETURN_IF_ERROR(CheckTimes(beat.monotonic_us(), beat.wall_us(), "heartbeat"));
  QUELL_RETURN_IF_ERROR(AtMost(beat.nonce().size(), kNonceBytes, "heartbeat.nonce"));
  QUELL_RETURN_IF_ERROR(Exactly(beat.epoch_start().size(), 16, "heartbeat.epoch_start"));
  QUELL_RETURN_IF_ERROR(Exactly(beat.sanctions_sha256().size(), 32, "heartbeat.sanctions_sha256"));
  return AtMost(beat.sanctions_error().size(), kMaxReason, "heartbeat.sanctions_error");
}

absl::Status CheckWelcome(const v1::Welcome& welcome) {
  QUELL_RETURN_IF_ERROR(
      AtMost(welcome.controller_version().size(), kMaxNameBytes, "welcome.controller_version"));
  QUELL_RETURN_IF_ERROR(CheckNames(welcome.features(), "welcome.features"));
  QUELL_RETURN_IF_ERROR(AtMost(welcome.host_id().size(), kMaxNameBytes, "welcome.host_id"));
  QUELL_RETURN_IF_ERROR(AtMost(welcome.host_name().size(), kMaxNameBytes, "welcome.host_name"));
  QUELL_RETURN_IF_ERROR(Exactly(welcome.epoch_start().size(), 16, "welcome.epoch_start"));
  if (welcome.heartbeat_ms() != 0 && (welcome.heartbeat_ms() < 100 || welcome.heartbeat_ms() > 60'000))
    return Bad("welcome.heartbeat_ms", "lies outside of 100 to 60,000");
  return absl::OkStatus();
}

absl::Status CheckRelease(const v1::Release& release) {
  QUELL_RETURN_IF_ERROR(AtMost(release.name().size(), kMaxNameBytes, "release's name"));
  QUELL_RETURN_IF_ERROR(AtMost(release.path().size(), kMaxReason, "release's path"));
  const size_t hash = release.tree_sha256().size();
  if (hash != 0 && hash != 32) return Bad("release", "has a hash that is not 32 bytes long");
  return absl::OkStatus();
}

}  // namespace

bool IsMetricName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  if (!IsLetter(name[0]) && name[0] != ':') return false;
  for (char c : name)
    if (!IsLetter(c) && !IsDigit(c) && c != ':') return false;
  return true;
}

bool IsLabelName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || !IsLetter(name[0]) || name.substr(0, 2) == "__")
    return false;
  for (char c : name)
    if (!IsLetter(c) && !IsDigit(c)) return false;
  return true;
}

bool IsEvidenceName(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return IsDottedName(name);
  const std::string_view number = name.substr(slash + 1);
  const bool counts =
      !number.empty() && number.size() <= 19 && std::all_of(number.begin(), number.end(), IsDigit);
  return counts && IsDottedName(name.substr(0, slash));
}

bool IsReservedLabel(std::string_view name) { return name == "instance" || name == "job"; }

absl::Status Validate(const v1::SeriesDefinition& series) {
  if (!IsMetricName(series.name())) return Bad("series", "has a name that is no metric name");
  return CheckLabels(series.labels(), "series' labels");
}

absl::Status Validate(const v1::Layout& layout) {
  if (layout.id() == 0) return Bad("layout", "has the id 0");
  if (!IsDottedName(layout.collector())) return Bad("layout", "names no collector");
  if (layout.series().empty()) return Bad("layout", "has no series");
  QUELL_RETURN_IF_ERROR(AtMost(layout.series_size(), kMaxSeriesPerLayout, "layout"));
  for (const auto& series : layout.series()) QUELL_RETURN_IF_ERROR(Validate(series));
  return absl::OkStatus();
}

absl::Status Validate(const v1::Event& event) {
  if (event.seq() == 0) return Bad("event", "has no sequence number");
  if (!IsDottedName(event.kind())) return Bad("event", "has a kind that is no name");
  QUELL_RETURN_IF_ERROR(CheckLabels(event.labels(), "event's labels"));
  QUELL_RETURN_IF_ERROR(AtMost(event.text().size(), kMaxEventText, "event's text"));
  QUELL_RETURN_IF_ERROR(AtMost(event.samples_size(), kMaxEventSamples, "event's samples"));
  QUELL_RETURN_IF_ERROR(AtMost(event.boot_id().size(), kMaxNameBytes, "event's boot id"));
  QUELL_RETURN_IF_ERROR(CheckTimes(event.monotonic_us(), event.wall_us(), "event"));
  for (const auto& sample : event.samples()) {
    QUELL_RETURN_IF_ERROR(Validate(sample.series()));
    if (!IsDottedName(sample.job())) return Bad("event's sample", "names no collector");
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::CommandReport& report) {
  if (report.seq() == 0) return Bad("report", "has no sequence number");
  if (report.id().size() != 16) return Bad("report", "has a command id that is not 16 bytes long");
  if (!v1::Outcome_IsValid(report.outcome()) || report.outcome() == v1::OUTCOME_UNSPECIFIED)
    return Bad("report", "has no known outcome");
  QUELL_RETURN_IF_ERROR(CheckTimes(report.monotonic_us(), report.wall_us(), "report"));
  QUELL_RETURN_IF_ERROR(AtMost(report.reason().size(), kMaxReason, "report's reason"));
  QUELL_RETURN_IF_ERROR(AtMost(report.evidence_size(), kMaxEvidenceItems, "report's evidence"));
  QUELL_RETURN_IF_ERROR(
      AtMost(report.before_size() + report.after_size(), kMaxProcesses, "report's processes"));
  QUELL_RETURN_IF_ERROR(AtMost(report.sessions_size(), kMaxSessions, "report's sessions"));
  for (const v1::PostgresSession& session : report.sessions()) {
    for (const std::string* text :
         {&session.database(), &session.role(), &session.application(), &session.state(),
          &session.backend_type(), &session.client(), &session.kind()})
      QUELL_RETURN_IF_ERROR(AtMost(text->size(), kMaxNameBytes, "text of a report's session"));
  }
  QUELL_RETURN_IF_ERROR(CheckRelease(report.release().from()));
  QUELL_RETURN_IF_ERROR(CheckRelease(report.release().to()));
  QUELL_RETURN_IF_ERROR(AtMost(report.release().running().size(), kMaxReason, "report's running path"));
  for (const auto& item : report.evidence()) {
    if (!IsEvidenceName(item.name())) return Bad("report's evidence", "has a name that is none");
    QUELL_RETURN_IF_ERROR(AtMost(item.missing().size(), kMaxReason, "report's missing evidence"));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::AgentFrame& frame) {
  QUELL_RETURN_IF_ERROR(AtMost(frame.layouts_size(), kMaxLayoutsPerFrame, "layouts"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.batches_size(), kMaxBatchesPerFrame, "batches"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.events_size(), kMaxEventsPerFrame, "events"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.reports_size(), kMaxReportsPerFrame, "reports"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.goodbye().size(), kMaxNameBytes, "goodbye"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.renew_key().size(), kMaxKeyBytes, "key to be certified"));
  if (frame.has_hello()) QUELL_RETURN_IF_ERROR(CheckHello(frame.hello()));
  if (frame.has_heartbeat()) QUELL_RETURN_IF_ERROR(CheckHeartbeat(frame.heartbeat()));
  for (const auto& layout : frame.layouts()) QUELL_RETURN_IF_ERROR(Validate(layout));
  for (const auto& batch : frame.batches()) QUELL_RETURN_IF_ERROR(CheckBatch(batch));
  for (const auto& event : frame.events()) QUELL_RETURN_IF_ERROR(Validate(event));
  for (const auto& report : frame.reports()) QUELL_RETURN_IF_ERROR(Validate(report));
  return absl::OkStatus();
}

absl::Status Validate(const v1::ControllerFrame& frame) {
  QUELL_RETURN_IF_ERROR(AtMost(frame.commands_size(), kMaxCommandsPerFrame, "commands"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.cancel_size(), kMaxCommandsPerFrame, "cancellations"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.trust_bundle().size(), kMaxTrustBundleBytes, "trust bundle"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.certificate().size(), kMaxCertificateBytes, "certificate"));
  QUELL_RETURN_IF_ERROR(AtMost(frame.renew_refused().size(), kMaxReason, "refusal"));
  if (frame.has_welcome()) QUELL_RETURN_IF_ERROR(CheckWelcome(frame.welcome()));
  for (const auto& command : frame.commands()) {
    QUELL_RETURN_IF_ERROR(AtMost(command.body().size(), kMaxCommandBytes, "command"));
    QUELL_RETURN_IF_ERROR(AtMost(command.key_id().size(), kMaxNameBytes, "command's key id"));
    QUELL_RETURN_IF_ERROR(Exactly(command.signature().size(), 64, "command's signature"));
  }
  for (const auto& id : frame.cancel())
    QUELL_RETURN_IF_ERROR(Exactly(id.size(), 16, "cancelled command's id"));
  return Exactly(frame.log_head().size(), 32, "log head");
}

}  // namespace quell::wire
