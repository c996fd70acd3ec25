// An OperatorBackend over maps, with the order and the prefixes of the store's reader. Acts are kept and
// answered by a function. Thread-safe.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/ids.h"
#include "controller/operator/backend.h"

namespace quell::operators {

class MapBackend : public OperatorBackend {
 public:
  using AnswerAct = std::function<absl::StatusOr<engine::Answer>(const v1::PersonAct&)>;

  template <typename Message>
  void Put(const std::string& kind, const std::string& id, const Message& message, Micros time,
           bool open = true, const std::string& parent = "") {
    engine::ProjectionRow row;
    row.kind = kind;
    row.id = id;
    row.time = time;
    row.open = open;
    row.parent = parent;
    row.message = message.SerializeAsString();
    absl::MutexLock lock(&mutex_);
    rows_[kind][id] = row;
  }
  void PutIncident(const v1::Incident& incident) {
    Put("incident", incident.id(), incident, incident.declared_us(), incident.status() < v1::RESOLVED);
  }
  void PutCommand(const v1::CommandEntry& command) {
    Put("command", command.id(), command, command.proposed_us(), true, command.incident());
  }

  AnswerAct answer = [](const v1::PersonAct&) { return engine::Answer{"", 0, "done", "", ""}; };
  std::function<absl::StatusOr<std::vector<QuerySeries>>(const std::string&, Micros, Micros)> query =
      [](const std::string&, Micros, Micros) { return std::vector<QuerySeries>{}; };
  v1::Config config;
  std::shared_ptr<const catalogue::Catalogue> catalogue;
  v1::TrustBundle trust;
  ProgramInfo info;
  AuditReport audit;
  Micros now = 0;

  std::vector<v1::PersonAct> acts() const {
    absl::MutexLock lock(&mutex_);
    return acts_;
  }

  absl::StatusOr<engine::Answer> Submit(v1::PersonAct act, absl::Duration) override {
    {
      absl::MutexLock lock(&mutex_);
      acts_.push_back(act);
    }
    return answer(act);
  }

  absl::StatusOr<RowPage> List(std::string_view kind, const RowFilter& filter, size_t limit,
                               std::string_view cursor) override {
    absl::MutexLock lock(&mutex_);
    std::vector<engine::ProjectionRow> rows;
    for (const auto& [id, row] : rows_[std::string(kind)])
      if ((row.open || filter.all) && row.time >= filter.since &&
          (filter.parent.empty() || row.parent == filter.parent))
        rows.push_back(row);
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.time > b.time; });
    const size_t from = cursor.empty() ? 0 : std::stoul(std::string(cursor));
    RowPage page;
    for (size_t i = from; i < rows.size() && page.rows.size() < limit; ++i) page.rows.push_back(rows[i]);
    if (from + page.rows.size() < rows.size()) page.next_cursor = std::to_string(from + page.rows.size());
    return page;
  }
  absl::StatusOr<engine::ProjectionRow> Find(std::string_view kind, std::string_view id) override {
    absl::MutexLock lock(&mutex_);
    const auto& rows = rows_[std::string(kind)];
    const auto found = rows.find(std::string(id));
    if (found == rows.end()) return absl::NotFoundError("no such row");
    return found->second;
  }
  absl::StatusOr<engine::ProjectionRow> FindNumber(std::string_view kind, std::string_view parent,
                                                   uint64_t number) override {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, row] : rows_[std::string(kind)])
      if (row.parent == parent && NumberOf(row) == number) return row;
    return absl::NotFoundError("no such number");
  }
  absl::StatusOr<std::vector<std::string>> IdsWithPrefix(std::string_view kind, std::string_view prefix,
                                                         size_t most) override {
    absl::MutexLock lock(&mutex_);
    std::vector<std::string> ids;
    const auto& rows = rows_[std::string(kind)];
    for (auto it = rows.lower_bound(std::string(prefix)); it != rows.end() && ids.size() < most; ++it)
      if (it->first.compare(0, prefix.size(), prefix) == 0) ids.push_back(it->first);
    return ids;
  }
  // Files a content under a command's id, as the store does; its hash in hex.
  std::string PutEvidence(const std::string& owner, const std::string& name, const std::string& content,
                          Micros expires) {
    absl::MutexLock lock(&mutex_);
    evidence_[owner].push_back({{Sha256(content), name, content.size(), expires}, content});
    return HexEncode(Sha256(content));
  }
  void DropEvidence() {
    absl::MutexLock lock(&mutex_);
    evidence_.clear();
  }
  absl::StatusOr<std::vector<EvidenceInfo>> Evidence(std::string_view owner) override {
    absl::MutexLock lock(&mutex_);
    std::vector<EvidenceInfo> all;
    for (const auto& [info, content] : evidence_[std::string(owner)]) all.push_back(info);
    return all;
  }
  absl::StatusOr<std::string> EvidenceContent(std::string_view sha256) override {
    absl::MutexLock lock(&mutex_);
    for (const auto& [owner, items] : evidence_)
      for (const auto& [info, content] : items)
        if (info.sha256 == sha256) return content;
    return absl::NotFoundError("expired");
  }
  absl::StatusOr<std::vector<QuerySeries>> Query(const std::string& expr, Micros range,
                                                 Micros step) override {
    return query(expr, range, step);
  }
  v1::Config Config() override { return config; }
  std::shared_ptr<const catalogue::Catalogue> Catalogue() override { return catalogue; }
  v1::TrustBundle Trust() override { return trust; }
  ProgramInfo Info() override { return info; }
  absl::StatusOr<AuditReport> AuditVerify() override { return audit; }
  Micros Now() override { return now; }

 private:
  static uint64_t NumberOf(const engine::ProjectionRow& row) {
    v1::Incident incident;
    v1::CommandEntry command;
    if (row.kind == "incident" && incident.ParseFromString(row.message)) return incident.number();
    v1::Plan plan;
    if (row.kind == "plan" && plan.ParseFromString(row.message)) return plan.number();
    if (row.kind == "command" && command.ParseFromString(row.message)) return command.number();
    return 0;
  }

  mutable absl::Mutex mutex_;
  std::map<std::string, std::map<std::string, engine::ProjectionRow>> rows_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<std::pair<EvidenceInfo, std::string>>> evidence_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::PersonAct> acts_ ABSL_GUARDED_BY(mutex_);
};

// A fleet with something wrong in it: #416 (acknowledged by bob), #417 with commands 417.1 (did not help;
// took log.out, proc.wchan with bytes that are no text, and missed kernel.stack) and 417.2 (waits), C-58
// outside any; hosts web-1, web-2 and db-1 (lost). FillPlan adds 417.3, a plan of two hosts
// that waits.
void FillExample(MapBackend& backend, Micros now);
void FillPlan(MapBackend& backend, v1::PlanState state = v1::PLAN_AWAITING_APPROVAL);

}  // namespace quell::operators
