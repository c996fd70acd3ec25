// What probes find, under blackbox_exporter's names.
#include "common/metrics/metrics.h"

namespace quell {
namespace {

constexpr MetricKind G = MetricKind::kGauge;
constexpr Provenance P = Provenance::kProbe;

}  // namespace

const std::vector<MetricDescriptor>& ProbeMetrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"probe_success", "", G, P, "1 when the answer came in time with the expected status and body."},
      {"probe_duration_seconds", "seconds", G, P, "How long the probe took in all."},
      {"probe_http_status_code", "", G, P, "The answer's HTTP status; 0 when there was none."},
      {"probe_failed_due_to_regex", "", G, P, "1 when the answer's body lacked the expected text."},
      {"probe_http_duration_seconds", "seconds", G, P,
       "How long each phase took: resolve, connect, tls, processing, transfer."},
      {"probe.edge", "", MetricKind::kEvent, P, "A probe has begun or ceased to succeed."}};
  return rows;
}

}  // namespace quell
