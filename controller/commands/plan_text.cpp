#include "controller/commands/plan_text.h"

#include <algorithm>

#include "controller/incidents/find.h"
#include "controller/policy/bind.h"

namespace quell::commands {
namespace {

constexpr int kMostNames = 20;

std::string Text(const v1::Plan& plan) {
  const std::string why = plan.reason().empty() ? "" : ": " + plan.reason();
  const std::string left =
      std::to_string(plan.host_ids_size() - static_cast<int>(plan.begun())) + " left untouched: ";
  switch (plan.state()) {
    case v1::PLAN_AWAITING_APPROVAL:
      return "waits for approval: " + What(plan) + ": " + HostNames(plan) + why;
    case v1::PLAN_RUNNING:
      return "begins, one host first: " + What(plan) + ": " + HostNames(plan);
    case v1::PLAN_DONE:
      return "done: " + What(plan);
    case v1::PLAN_STOPPED:
      return "stopped, " + left + What(plan) + why;
    case v1::PLAN_DENIED:
      return (plan.begun() > 0 ? "stopped, " + left : "denied: ") + What(plan) + why;
    default:
      return "expired: " + What(plan) + why;
  }
}

}  // namespace

std::string What(const v1::Plan& plan) {
  return policy::Describe(plan.action()) + " on " + std::to_string(plan.hosts_size()) + " hosts";
}

std::string HostNames(const v1::Plan& plan) {
  std::string names;
  for (int i = 0; i < std::min(plan.hosts_size(), kMostNames); ++i)
    names += (i == 0 ? "" : ", ") + plan.hosts(i);
  const int more = plan.hosts_size() - kMostNames;
  return more > 0 ? names + " and " + std::to_string(more) + " more" : names;
}

engine::Outcome TellPlan(const engine::State& state, const v1::Plan& plan) {
  engine::Outcome out;
  if (!state.incidents.contains(plan.incident())) return out;
  const bool decided = plan.state() == v1::PLAN_RUNNING || plan.state() == v1::PLAN_DENIED;
  engine::IncidentEdit edit(plan.incident());
  edit.Entry(decided ? plan.approved_by() : plan.requested_by(), "plan",
             incidents::PlanName(state, plan) + " " + Text(plan));
  out.Add(edit.Take());
  return out;
}

}  // namespace quell::commands
