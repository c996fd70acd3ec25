#include "controller/app/reports.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"

namespace quell::app {
namespace {

constexpr Micros kEvidenceKept = 30 * kDay;

}  // namespace

EngineInput InputFromReport(const std::string& host_id, v1::CommandReport report, Micros at) {
  EngineInput input;
  input.source = absl::StrCat("agent:", host_id);
  v1::CommandReported& reported = *input.payload.mutable_command_reported();
  reported.set_host_id(host_id);
  reported.set_at_us(at);
  for (v1::EvidenceItem& item : *report.mutable_evidence()) {
    if (!item.missing().empty()) {
      reported.add_evidence_missing(absl::StrCat(item.name(), ": ", item.missing()));
      continue;
    }
    engine::Blob blob;
    blob.sha256 = Sha256(item.content());
    blob.name = item.name();
    blob.owner = HexEncode(report.id());
    blob.expires = at + kEvidenceKept;
    blob.content = std::move(*item.mutable_content());
    reported.add_evidence_sha256(HexEncode(blob.sha256));
    reported.add_evidence_names(item.name());
    input.blobs.push_back(std::move(blob));
  }
  report.clear_evidence();
  *reported.mutable_report() = std::move(report);
  return input;
}

EngineInput InputFromEvent(const std::string& host_id, const std::string& host, const v1::Event& event,
                           Micros at) {
  EngineInput input;
  input.source = absl::StrCat("agent:", host_id);
  v1::AppEvent& seen = *input.payload.mutable_app_event();
  seen.set_host_id(host_id);
  seen.set_host(host);
  seen.set_seq(event.seq());
  seen.set_kind(event.kind());
  *seen.mutable_labels() = event.labels();
  seen.set_text(event.text());
  seen.set_at_us(at);
  return input;
}

}  // namespace quell::app
