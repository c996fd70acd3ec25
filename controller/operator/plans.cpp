#include "controller/operator/plans.h"

#include <algorithm>

#include "common/base/status.h"
#include "controller/operator/documents.h"
#include "controller/operator/references.h"

namespace quell::operators {
namespace {

constexpr size_t kMostPlans = 100;
constexpr int kMostCommands = 100;  // of one plan

uint64_t NumberOf(OperatorBackend& backend, const std::string& incident) {
  if (incident.empty()) return 0;
  const auto row = backend.Find("incident", incident);
  const auto found = row.ok() ? ParseIncident(*row) : absl::StatusOr<v1::Incident>(row.status());
  return found.ok() ? found->number() : 0;
}

}  // namespace

absl::StatusOr<Json> FullPlan(OperatorBackend& backend, const v1::Plan& plan) {
  Json json = PlanJson(plan, NumberOf(backend, plan.incident()));
  Json commands = Json::array();
  const int first = std::max(0, plan.commands_size() - kMostCommands);
  for (int i = first; i < plan.commands_size(); ++i) {
    QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend.Find("command", plan.commands(i)));
    QUELL_ASSIGN_OR_RETURN(const v1::CommandEntry command, ParseCommand(row));
    commands.push_back(FullCommand(backend, command));
  }
  json["commands"] = std::move(commands);
  return json;
}

absl::StatusOr<Json> PlansOf(OperatorBackend& backend, const v1::Incident& incident) {
  RowFilter filter;
  filter.all = true;
  filter.parent = incident.id();
  QUELL_ASSIGN_OR_RETURN(RowPage page, backend.List("plan", filter, kMostPlans, ""));
  std::reverse(page.rows.begin(), page.rows.end());
  Json plans = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Plan plan, ParsePlan(row));
    plans.push_back(PlanJson(plan, incident.number()));
  }
  return plans;
}

absl::StatusOr<Json> OpenPlans(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("plan", RowFilter{}, kMostPlans, ""));
  Json plans = Json::array();
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Plan plan, ParsePlan(row));
    plans.push_back(PlanJson(plan, NumberOf(backend, plan.incident())));
  }
  return plans;
}

}  // namespace quell::operators
