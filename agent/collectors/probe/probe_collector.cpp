#include "agent/collectors/probe/probe_collector.h"

#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/collectors/probe/probe.h"
#include "agent/collectors/series_table.h"

namespace quell::agent {
namespace {

constexpr char kJob[] = "probe";

void ForEachSeries(const ProbeResult& r,
                   const std::function<void(std::string_view metric, std::string_view phase, double)>& put) {
  put("probe_success", "", r.success ? 1 : 0);
  put("probe_duration_seconds", "", r.duration);
  put("probe_http_status_code", "", static_cast<double>(r.status));
  put("probe_failed_due_to_regex", "", r.body_mismatch ? 1 : 0);
  put("probe_http_duration_seconds", "resolve", r.resolve);
  put("probe_http_duration_seconds", "connect", r.connect);
  put("probe_http_duration_seconds", "tls", r.tls);
  put("probe_http_duration_seconds", "processing", r.processing);
  put("probe_http_duration_seconds", "transfer", r.transfer);
}

class ProbeCollector final : public Collector {
 public:
  explicit ProbeCollector(ProbeConfig config)
      : config_(std::move(config)), name_(absl::StrCat("probe/", config_.name)) {}

  std::string_view name() const override { return name_; }
  Micros every() const override { return config_.every; }
  Micros patience() const override { return config_.timeout + 2 * kSecond; }

  absl::Status Collect(Clock& clock, CollectorSink& sink) override {
    const ProbeResult result = RunProbe(config_);
    const Micros now = clock.Monotonic();
    table_.Begin();
    ForEachSeries(result, [this](std::string_view metric, std::string_view phase, double value) {
      if (phase.empty())
        table_.Put(metric, {{"app", config_.app}, {"probe", config_.name}, {"user", config_.user}}, value);
      else
        table_.Put(metric,
                   {{"app", config_.app}, {"phase", phase}, {"probe", config_.name}, {"user", config_.user}},
                   value);
    });
    const bool edge = last_ ? *last_ != result.success : !result.success;
    last_ = result.success;
    if (edge) sink.Add(MakeEdge(result, now));
    sink.Add(table_.Finish(kJob, now + 1));  // after the edge's samples
    return absl::OkStatus();
  }

 private:
  void Labels(google::protobuf::RepeatedPtrField<v1::Label>* out, std::string_view phase) const {
    const std::pair<const char*, std::string_view> all[] = {
        {"app", config_.app}, {"phase", phase}, {"probe", config_.name}, {"user", config_.user}};
    for (const auto& [name, value] : all) {
      if (value.empty()) continue;
      v1::Label* label = out->Add();
      label->set_name(name);
      label->set_value(std::string(value));
    }
  }
  v1::Event MakeEdge(const ProbeResult& result, Micros now) const {
    v1::Event event;
    event.set_kind("probe.edge");
    event.set_monotonic_us(now);
    event.set_text(result.success ? "succeeds" : absl::StrCat("fails: ", result.reason));
    Labels(event.mutable_labels(), "");
    ForEachSeries(result, [&](std::string_view metric, std::string_view phase, double value) {
      v1::EventSample* sample = event.add_samples();
      sample->mutable_series()->set_name(std::string(metric));
      Labels(sample->mutable_series()->mutable_labels(), phase);
      sample->set_value(value);
      sample->set_job(kJob);
    });
    return event;
  }

  const ProbeConfig config_;
  const std::string name_;
  SeriesTable table_;
  std::optional<bool> last_;
};

}  // namespace

std::unique_ptr<Collector> MakeProbeCollector(ProbeConfig config) {
  return std::make_unique<ProbeCollector>(std::move(config));
}

}  // namespace quell::agent
