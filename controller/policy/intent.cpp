#include "controller/policy/intent.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/ids.h"
#include "common/base/utf8.h"
#include "controller/engine/outcome.h"
#include "controller/policy/command.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

using engine::FindOrNull;
using engine::State;

constexpr Micros kApprovalExpires = 10 * kMinute;  // when the policy says nothing
constexpr size_t kLongestLine = 400;
constexpr int64_t kMostWaves = 20;  // a tenth of the hosts at a time, one at least
constexpr Micros kLongestPlan = 20 * kHour;

void Line(const std::string& text, v1::Intent& intent) {
  if (!text.empty()) intent.add_evidence(MakeUtf8(CutUtf8(text, kLongestLine)));
}

void TellIncident(const State& state, const std::string& id, v1::Intent& intent) {
  const v1::Incident* incident = FindOrNull(state.incidents, id);
  if (incident == nullptr) return;
  Line(absl::StrCat("incident #", incident->number(), ", ",
                    std::string(signals::NameOf(incident->severity())), ": ", incident->title()),
       intent);
}

void TellSignal(const State& state, const std::string& key, v1::Intent& intent) {
  const v1::Signal* signal = FindOrNull(state.signals, key);
  if (signal == nullptr) return;
  std::string labels;
  for (const v1::Label& label : signal->labels()) {
    if (label.name() == "alertname") continue;
    absl::StrAppend(&labels, labels.empty() ? "" : ", ", label.name(), "=", label.value());
  }
  Line(absl::StrCat("signal ", signal->alert(), " {", labels, "} since ",
                    FormatRfc3339(signal->active_since_us())),
       intent);
}

template <typename T>
v1::Intent Begin(const State& state, const T& what, const v1::Action& action) {
  v1::Intent intent;
  *intent.mutable_action() = action;
  intent.set_cause(what.incident());
  intent.set_requested_by(what.requested_by());
  if (const auto id = HexDecode(what.id()); id.ok()) intent.set_id(*id);
  TellIncident(state, what.incident(), intent);
  TellSignal(state, what.signal(), intent);
  if (FindPolicy(state.config, what.policy()) != nullptr)
    Line(absl::StrCat("step ", what.step() + 1, " of policy ", what.policy()), intent);
  return intent;
}

}  // namespace

Micros ApprovalTime(const State& state, const std::string& policy) {
  const v1::Policy* known = FindPolicy(state.config, policy);
  return known == nullptr || known->approval_expires_us() == 0 ? kApprovalExpires
                                                               : known->approval_expires_us();
}

std::string IntentOf(const State& state, const v1::CommandEntry& command) {
  v1::Intent intent = Begin(state, command, command.typed());
  intent.add_host_ids(command.host_id());
  Line(absl::StrCat("host ", command.host()), intent);
  intent.set_expires_us(command.approval_expires_us() + kDeliverWithin);
  return intent.SerializeAsString();
}

std::string IntentOf(const State& state, const v1::Plan& plan) {
  v1::Intent intent = Begin(state, plan, plan.action());
  *intent.mutable_host_ids() = plan.host_ids();
  std::sort(intent.mutable_host_ids()->begin(), intent.mutable_host_ids()->end());
  Line(absl::StrCat(plan.hosts_size(), " hosts, one first: ", absl::StrJoin(plan.hosts(), ", ")), intent);
  const Micros wave = plan.verify().within_us() + plan.verify().hold_us() + kMinute;
  const Micros waves = std::min<int64_t>(plan.host_ids_size(), kMostWaves) * wave;
  intent.set_expires_us(plan.approval_expires_us() + std::min(waves, kLongestPlan));
  return intent.SerializeAsString();
}

}  // namespace quell::policy
