#include "controller/ingest/session.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/wire/features.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"

namespace quell::ingest {
namespace {

constexpr Micros kOldest = kHour;       // older samples are of no use to any rule
constexpr Micros kAhead = 5 * kSecond;  // newer ones are not believed
constexpr Micros kSkewTold = kSecond;
constexpr Micros kLongestPause = kSecond;
constexpr char kJob[] = "quell";  // of the series that the controller makes about an agent

std::atomic<uint64_t> next_table_key{1};

void Count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

Labels ToLabels(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  std::vector<Labels::Pair> pairs;
  pairs.reserve(static_cast<size_t>(labels.size()));
  for (const v1::Label& label : labels) pairs.emplace_back(label.name(), label.value());
  return Labels(std::move(pairs));
}

uint64_t LabelBytes(const v1::Layout& layout) {
  uint64_t sum = 0;
  for (const auto& series : layout.series()) {
    sum += series.name().size();
    for (const auto& label : series.labels()) sum += label.name().size() + label.value().size();
  }
  return sum;
}

}  // namespace

AgentSession::AgentSession(HostRecord host, const IngestOptions& options, ShardRouter& shards,
                           SessionRegistry& registry, IngestCounters& counters)
    : host_(std::move(host)),
      options_(options),
      shard_(shards.Of(host_.id)),
      registry_(registry),
      counters_(counters),
      bytes_(options.budget.bytes_per_second, options.budget.bytes_burst),
      events_(options.budget.events_per_second, options.budget.events_burst),
      reports_(options.budget.reports_per_second, options.budget.reports_burst) {}

AgentSession::~AgentSession() = default;

Micros AgentSession::TakePause() { return std::exchange(pause_, 0); }

absl::Status AgentSession::OnHello(const v1::Hello& hello, Micros now,
                                   std::shared_ptr<SessionOutput> output) {
  if (greeted()) return absl::InvalidArgumentError("a second hello came in one stream");
  if (!hello.host_id().empty() && hello.host_id() != host_.id) {
    const std::string why = "the stream's certificate is not that of the host its hello speaks for";
    shard_.Refused(host_, why, now);
    return absl::PermissionDeniedError(why);
  }
  boot_id_ = hello.boot_id();
  begun_ = hello.monotonic_us();
  offset_.Observe(hello.monotonic_us(), hello.wall_us(), now);
  const SessionRegistry::Resume resume = registry_.Open(host_.id, boot_id_, output);
  session_ = resume.session;
  std::string history;
  if (options_.history && hello.log_seq() != 0) history = options_.history(hello.log_seq(), hello.log_head());
  if (!shard_.Opened(host_, session_, hello, history, now))
    return absl::ResourceExhaustedError("the controller has no room for another session now");
  v1::ControllerFrame frame;
  v1::Welcome* welcome = frame.mutable_welcome();
  welcome->set_controller_version(options_.version);
  for (std::string_view feature : wire::kFeatures) welcome->add_features(std::string(feature));
  welcome->set_host_id(host_.id);
  welcome->set_host_name(host_.name);
  welcome->set_epoch_number(options_.epoch_number);
  welcome->set_epoch_start(options_.epoch_start);
  welcome->set_samples_from_us(resume.samples_from);
  welcome->set_heartbeat_ms(options_.heartbeat_ms);
  if (options_.newer_trust) frame.set_trust_bundle(options_.newer_trust(hello.trust_serial()));
  output->Send(std::move(frame));
  return absl::OkStatus();
}

// Something that the controller itself found out about this agent.
void AgentSession::Tell(const std::string& kind, const std::string& text, Micros now) {
  TimedEvent told;
  told.event.set_kind(kind);
  told.event.set_text(text);
  told.at = now;
  std::vector<TimedEvent> events;
  events.push_back(std::move(told));
  shard_.Events(host_, std::move(events), 0);
}

void AgentSession::Excess(Budget budget, Micros now) {
  if (!over(budget).Excess(now)) return;
  const std::string text =
      absl::StrCat("the agent is over its budget of ",
                   absl::string_view(BudgetName(budget).data(), BudgetName(budget).size()));
  LogWarning("host %s: %s; what is over it is dropped", host_.name, text);
  Tell("agent.over_budget", text, now);
}

void AgentSession::TellSkew(Micros now) {
  const Micros skew = std::llabs(offset_.skew());
  if (skewed_ ? skew >= kSkewTold / 2 : skew <= kSkewTold) return;
  skewed_ = !skewed_;
  Tell("host.clock_skew",
       skewed_
           ? absl::StrFormat("the host's clock is %.1f s off", static_cast<double>(offset_.skew()) / kSecond)
           : std::string("the host's clock is right again"),
       now);
}

// Series about the agent itself, made at each heartbeat: one layout that never changes.
void AgentSession::AddOwnSeries(const v1::Heartbeat& heartbeat, Micros now) {
  if (own_ == nullptr) {
    auto table = std::make_shared<SeriesTable>();
    table->key = next_table_key.fetch_add(1);
    table->host_id = host_.id;
    table->session = session_;
    table->job = kJob;
    for (const char* name :
         {"quell_host_clock_skew_seconds", "quell_agent_samples_dropped_total",
          "quell_agent_events_dropped_total", "quell_agent_results_full", "quell_agent_executor_up"})
      table->rows.push_back({name, {}});
    for (Budget budget : kBudgets)
      table->rows.push_back({"quell_agent_over_budget", Labels{{"budget", std::string(BudgetName(budget))}}});
    own_ = std::move(table);
  }
  SampleBatch batch{own_, now, {}, true};
  batch.values = {static_cast<double>(offset_.skew()) / kSecond,
                  static_cast<double>(heartbeat.samples_dropped()),
                  static_cast<double>(heartbeat.events_dropped()), heartbeat.results_full() ? 1.0 : 0.0,
                  heartbeat.executor_connected() ? 1.0 : 0.0};
  for (Budget budget : kBudgets) batch.values.push_back(over(budget).over(now) ? 1.0 : 0.0);
  std::vector<SampleBatch> batches;
  batches.push_back(std::move(batch));
  if (!shard_.Samples(host_.id, std::move(batches))) Count(counters_.samples_shed, own_->rows.size());
}

void AgentSession::OnHeartbeat(const v1::Heartbeat& heartbeat, Micros now) {
  offset_.Observe(heartbeat.monotonic_us(), heartbeat.wall_us(), now);
  registry_.OnHeartbeat(host_.id, session_, heartbeat);
  shard_.Heartbeat(host_.id, heartbeat, now);
  TellSkew(now);
  AddOwnSeries(heartbeat, now);
}

absl::Status AgentSession::OnLayout(const v1::Layout& layout, Micros now) {
  Table table;
  table.series = static_cast<uint64_t>(layout.series_size());
  table.label_bytes = LabelBytes(layout);
  const bool many = series_ + table.series > options_.budget.series;
  const bool long_labels = label_bytes_ + table.label_bytes > options_.budget.label_bytes;
  if (many) Excess(Budget::kSeries, now);
  if (long_labels) Excess(Budget::kLabels, now);
  const bool ignored = many || long_labels;
  uint32_t forgotten = 0;
  QUELL_RETURN_IF_ERROR(decoder_.Define(layout, ignored, &forgotten));
  auto gone = tables_.find(forgotten);
  if (gone != tables_.end()) {
    series_ -= gone->second.series;
    label_bytes_ -= gone->second.label_bytes;
    tables_.erase(gone);
  }
  if (ignored) {
    Count(counters_.layouts_over_budget);
    tables_[layout.id()] = Table{};
    return absl::OkStatus();
  }
  auto rows = std::make_shared<SeriesTable>();
  rows->key = next_table_key.fetch_add(1);
  rows->host_id = host_.id;
  rows->session = session_;
  rows->job = layout.collector();
  rows->rows.reserve(table.series);
  for (const auto& series : layout.series()) rows->rows.push_back({series.name(), ToLabels(series.labels())});
  series_ += table.series;
  label_bytes_ += table.label_bytes;
  table.rows = std::move(rows);
  tables_[layout.id()] = std::move(table);
  return absl::OkStatus();
}

absl::Status AgentSession::OnBatch(const v1::Batch& batch, bool over_bytes, Micros now,
                                   std::vector<SampleBatch>* out) {
  wire::DecodedBatch decoded;
  QUELL_RETURN_IF_ERROR(decoder_.Decode(batch, &decoded));
  const size_t count = decoded.values.size();
  if (decoded.ignored) {
    Excess(Budget::kSeries, now);
    Count(counters_.samples_over_budget);
    return absl::OkStatus();
  }
  if (over_bytes) {
    Count(counters_.samples_over_budget, count);
    return absl::OkStatus();
  }
  const Micros at = offset_.ToEngine(begun_ + decoded.offset);
  if (at > now + kAhead || at < now - kOldest) {
    Count(counters_.samples_misdated, count);
    return absl::OkStatus();
  }
  newest_sample_ = std::max(newest_sample_, begun_ + decoded.offset);
  Count(counters_.samples, count);
  SampleBatch& sample = out->emplace_back();
  sample.table = tables_[decoded.layout].rows;
  sample.at = std::min(at, now);
  sample.values.assign(decoded.values.begin(), decoded.values.end());
  sample.live = decoded.offset >= 0;
  return absl::OkStatus();
}

absl::Status AgentSession::OnTelemetry(const v1::AgentFrame& frame, bool over_bytes, Micros now) {
  for (const v1::Layout& layout : frame.layouts()) QUELL_RETURN_IF_ERROR(OnLayout(layout, now));
  if (frame.batches().empty()) return absl::OkStatus();
  std::vector<SampleBatch> batches;
  batches.reserve(static_cast<size_t>(frame.batches_size()));
  for (const v1::Batch& batch : frame.batches())
    QUELL_RETURN_IF_ERROR(OnBatch(batch, over_bytes, now, &batches));
  if (batches.empty()) return absl::OkStatus();
  uint64_t count = 0;
  for (const SampleBatch& batch : batches) count += batch.values.size();
  if (!shard_.Samples(host_.id, std::move(batches))) Count(counters_.samples_shed, count);
  registry_.NoteSamples(host_.id, session_, newest_sample_);
  return absl::OkStatus();
}

// The monotonic clock is the better witness; it counts only within one boot, and only where it does not
// contradict the wall clock by more than that may be wrong.
Micros AgentSession::TimeOf(Micros monotonic, Micros wall, bool same_boot, Micros now) const {
  const Micros by_wall = wall - offset_.skew();
  const Micros by_monotonic = offset_.ToEngine(monotonic);
  const bool usable = same_boot && monotonic > 0;
  return std::clamp(usable ? by_monotonic : by_wall, now - kDay, now);
}

absl::Status AgentSession::OnEvents(const v1::AgentFrame& frame, Micros now) {
  if (frame.events().empty()) return absl::OkStatus();
  std::vector<TimedEvent> events;
  uint64_t before = 0;
  for (const v1::Event& event : frame.events()) {
    if (event.seq() <= before)
      return absl::InvalidArgumentError("events do not come in the order of their numbers");
    before = event.seq();
    if (!registry_.TakeEvent(host_.id, event.seq())) {
      Count(counters_.repeated);
      continue;
    }
    if (!events_.Take(1, now)) {
      Excess(Budget::kEvents, now);
      Count(counters_.events_over_budget);
      continue;
    }
    events.push_back(
        {event, TimeOf(event.monotonic_us(), event.wall_us(), event.boot_id() == boot_id_, now)});
  }
  if (events.empty()) {
    registry_.RepeatAcks(host_.id);
    return absl::OkStatus();
  }
  const uint64_t first = events.front().event.seq();
  Count(counters_.events, events.size());
  if (shard_.Events(host_, std::move(events), before)) return absl::OkStatus();
  registry_.GiveBackEvents(host_.id, first);
  return absl::ResourceExhaustedError("the controller has no room for events now");
}

absl::Status AgentSession::OnReports(const v1::AgentFrame& frame, Micros now) {
  if (frame.reports().empty()) return absl::OkStatus();
  if (!reports_.Take(static_cast<uint64_t>(frame.reports_size()), now))
    return absl::ResourceExhaustedError(
        "more results come than this controller takes from one agent; they may come again later");
  std::vector<TimedReport> reports;
  uint64_t before = 0;
  for (const v1::CommandReport& report : frame.reports()) {
    if (report.seq() <= before)
      return absl::InvalidArgumentError("reports do not come in the order of their numbers");
    before = report.seq();
    if (!registry_.TakeReport(host_.id, report.seq())) {
      Count(counters_.repeated);
      continue;
    }
    // A report does not say its boot: its wall clock tells whether its monotonic time can be of this one.
    const Micros by_wall = report.wall_us() - offset_.skew();
    const bool same_boot = std::llabs(offset_.ToEngine(report.monotonic_us()) - by_wall) < 5 * kSecond;
    reports.push_back({report, TimeOf(report.monotonic_us(), report.wall_us(), same_boot, now)});
  }
  if (reports.empty()) {
    registry_.RepeatAcks(host_.id);
    return absl::OkStatus();
  }
  const uint64_t first = reports.front().report.seq();
  Count(counters_.reports, reports.size());
  if (shard_.Reports(host_, std::move(reports), before)) return absl::OkStatus();
  registry_.GiveBackReports(host_.id, first);
  return absl::ResourceExhaustedError("the controller has no room for results now");
}

absl::Status AgentSession::OnFrame(const v1::AgentFrame& frame, size_t bytes, Micros now,
                                   std::shared_ptr<SessionOutput> output) {
  Count(counters_.frames);
  Count(counters_.bytes, bytes);
  QUELL_RETURN_IF_ERROR(wire::Validate(frame));
  if (frame.has_hello()) {
    QUELL_RETURN_IF_ERROR(OnHello(frame.hello(), now, std::move(output)));
  } else if (!greeted()) {
    return absl::InvalidArgumentError("the stream does not begin with a hello");
  }
  const bool over_bytes = !bytes_.Take(bytes, now);
  if (over_bytes) {
    Excess(Budget::kBytes, now);
    pause_ = std::min(bytes_.Owed(), kLongestPause);
  }
  QUELL_RETURN_IF_ERROR(OnReports(frame, now));
  if (frame.has_heartbeat()) OnHeartbeat(frame.heartbeat(), now);
  // Samples before events: what a frame measured is known when what happened is looked at.
  QUELL_RETURN_IF_ERROR(OnTelemetry(frame, over_bytes, now));
  QUELL_RETURN_IF_ERROR(OnEvents(frame, now));
  if (!frame.goodbye().empty()) shard_.Goodbye(host_.id, frame.goodbye(), now);
  return absl::OkStatus();
}

void AgentSession::OnEnd(Micros now) {
  if (!greeted()) return;
  registry_.Close(host_.id, session_);
  shard_.Closed(host_.id, session_, now);
}

}  // namespace quell::ingest
