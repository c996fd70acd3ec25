#include "controller/app/backend.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "controller/promql/parser.h"
#include "controller/store/verify.h"

namespace quell::app {
namespace {

constexpr size_t kPointsOfARange = 240;
constexpr Micros kShortestStep = kSecond;

std::vector<operators::QuerySeries> SeriesOf(promql::Value value, Micros now) {
  std::vector<operators::QuerySeries> all;
  if (value.type == promql::ValueType::kScalar)
    all.push_back({.labels = {}, .points = {{now, value.scalar}}});
  for (promql::Element& element : value.vector) {
    all.push_back({.labels = std::move(element.labels), .points = {{element.at, element.value}}});
  }
  for (promql::RangeSeries& series : value.matrix) {
    operators::QuerySeries& out = all.emplace_back();
    out.labels = std::move(series.labels);
    for (const Sample& sample : series.samples) out.points.emplace_back(sample.at, sample.value);
  }
  return all;
}

}  // namespace

absl::StatusOr<engine::Answer> Backend::Submit(v1::PersonAct act, absl::Duration timeout) {
  QUELL_ASSIGN_OR_RETURN(const std::string token, parts_.answers.Register());
  EngineInput input;
  input.source = absl::StrCat(act.via() == "source" ? "source:" : "person:", act.person());
  act.set_request(token);
  *input.payload.mutable_person_act() = std::move(act);
  if (!parts_.loop.Post(InputClass::kPerson, std::move(input))) timeout = absl::ZeroDuration();
  return parts_.answers.Wait(token, timeout);
}

absl::StatusOr<operators::RowPage> Backend::List(std::string_view kind, const operators::RowFilter& filter,
                                                 size_t limit, std::string_view cursor) {
  const store::ListFilter stored{
      .all = filter.all, .since = filter.since, .name = filter.name, .parent = filter.parent};
  QUELL_ASSIGN_OR_RETURN(store::ListPage page, parts_.reader.List(kind, stored, limit, cursor));
  return operators::RowPage{.rows = std::move(page.rows), .next_cursor = std::move(page.next_cursor)};
}

absl::StatusOr<engine::ProjectionRow> Backend::Find(std::string_view kind, std::string_view id) {
  return parts_.reader.Find(kind, id);
}

absl::StatusOr<engine::ProjectionRow> Backend::FindNumber(std::string_view kind, std::string_view parent,
                                                          uint64_t number) {
  return parts_.reader.FindNumber(kind, parent, number);
}

absl::StatusOr<std::vector<std::string>> Backend::IdsWithPrefix(std::string_view kind,
                                                                std::string_view prefix, size_t most) {
  return parts_.reader.IdsWithPrefix(kind, prefix, most);
}

absl::StatusOr<std::vector<operators::EvidenceInfo>> Backend::Evidence(std::string_view owner) {
  QUELL_ASSIGN_OR_RETURN(std::vector<store::BlobInfo> blobs, parts_.reader.Blobs(owner));
  std::vector<operators::EvidenceInfo> all;
  for (store::BlobInfo& blob : blobs) {
    all.push_back({.sha256 = std::move(blob.sha256),
                   .name = std::move(blob.name),
                   .size = blob.size,
                   .expires = blob.expires});
  }
  return all;
}

absl::StatusOr<std::string> Backend::EvidenceContent(std::string_view sha256) {
  return parts_.reader.BlobContent(sha256);
}

absl::StatusOr<std::vector<operators::QuerySeries>> Backend::Query(const std::string& expr, Micros range,
                                                                   Micros step) {
  QUELL_ASSIGN_OR_RETURN(promql::ExprPtr parsed, promql::Parse(expr));
  const Micros now = Now();
  if (range <= 0) {
    QUELL_ASSIGN_OR_RETURN(promql::Value value, parts_.shards.Query(*parsed, now));
    return SeriesOf(std::move(value), now);
  }
  if (step <= 0) step = std::max<Micros>(range / static_cast<Micros>(kPointsOfARange), kShortestStep);
  QUELL_ASSIGN_OR_RETURN(promql::Value value, parts_.shards.QueryRange(*parsed, now - range, now, step));
  return SeriesOf(std::move(value), now);
}

void Backend::SetConfig(const v1::Config& config, std::shared_ptr<const catalogue::Catalogue> catalogue) {
  absl::MutexLock lock(&mutex_);
  config_ = config;
  catalogue_ = std::move(catalogue);
}

std::shared_ptr<const catalogue::Catalogue> Backend::Catalogue() {
  absl::MutexLock lock(&mutex_);
  return catalogue_;
}

v1::Config Backend::Config() {
  absl::MutexLock lock(&mutex_);
  return config_;
}

operators::ProgramInfo Backend::Info() {
  operators::ProgramInfo info = parts_.info;
  info.data_age = parts_.shards.DataAge(Now());
  return info;
}

absl::StatusOr<operators::AuditReport> Backend::AuditVerify() {
  auto trust = parts_.trust.Get();
  auto report = store::VerifyAll(parts_.log_path,
                                 [&trust](std::string_view id) { return security::LogKey(*trust, id); });
  operators::AuditReport out;
  if (absl::IsDataLoss(report.status())) {
    out.problem = std::string(report.status().message());
    return out;
  }
  QUELL_RETURN_IF_ERROR(report.status());
  out.records = report->records;
  out.groups = report->groups;
  out.last_seq = report->head.seq;
  return out;
}

}  // namespace quell::app
