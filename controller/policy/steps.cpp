#include "controller/policy/steps.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/changed.h"
#include "controller/policy/match.h"
#include "controller/policy/policy.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

using engine::State;

constexpr Micros kSettles = 10 * kMinute;     // after a step that helped, for a signal that looks back
constexpr Micros kAnswerHolds = 5 * kMinute;  // an only_if that held is asked again after that

template <typename Map>
auto* Find(Map& map, const std::string& key) {
  auto it = map.find(key);
  return it == map.end() ? nullptr : &it->second;
}

bool About(const State& state, const v1::Plan& plan, const v1::Signal& signal) {
  if (plan.signal() == signal.key()) return true;
  const v1::Host* host = HostOf(state, signal);
  const auto& ids = plan.host_ids();
  if (host == nullptr || std::find(ids.begin(), ids.end(), host->id()) == ids.end()) return false;
  return GroupOf(state, plan) == signals::AppOf(signal);
}

// What was begun in this firing, or was still being verified when it began: a restart makes a signal clear
// and fire again, and that is no new trouble.
bool InThisFiring(const v1::CommandEntry& command, const v1::Signal& signal) {
  if (command.proposed_us() >= signal.edge_us()) return true;
  const bool unproven = command.verification() == v1::VERIFYING || command.verification() == v1::HOLDING ||
                        command.verification() == v1::NOT_VERIFIED;
  return unproven && command.verify_by_us() >= signal.edge_us();
}

using Visit = std::function<void(const Try& one)>;
void ForEachTry(const State& state, const v1::Incident& incident, const v1::Signal& signal,
                const Visit& visit) {
  for (const std::string& id : incident.plans()) {
    const v1::Plan* plan = Find(state.plans, id);
    if (plan != nullptr && plan->proposed_us() >= signal.edge_us() && About(state, *plan, signal))
      visit(Try{nullptr, plan});
  }
  for (const std::string& id : state.index.commands_of_signal.Of(signal.key())) {
    const v1::CommandEntry& command = state.commands.at(id);
    if (command.incident() == incident.id() && InThisFiring(command, signal)) visit(Try{&command, nullptr});
  }
}

// By their numbers in the incident: the command of a plan comes after it.
void TakeNewer(const Try& one, Try& last) {
  if (!last.any() || one.number() > last.number()) last = one;
}

bool Of(const Try& one, const std::string& policy, uint32_t step) {
  if (one.command != nullptr) return one.command->policy() == policy && one.command->step() == step;
  return one.plan->policy() == policy && one.plan->step() == step;
}

bool Helped(const v1::CommandEntry& command) {
  if (command.state() != v1::SUCCEEDED || command.dry_run()) return false;
  return command.verification() == v1::VERIFIED ||
         command.verification() == v1::VERIFICATION_STATE_UNSPECIFIED;
}

// It ended, and the next step's turn has come.
bool Useless(const v1::CommandEntry& command) {
  if (command.state() == v1::FAILED || command.verification() == v1::NOT_VERIFIED) return true;
  return command.state() == v1::REFUSED && command.refusal() == v1::REFUSAL_CHECK;
}

std::string Outcome(const v1::CommandEntry& command) {
  const std::string what = command.target() + " on " + command.host();
  if (command.state() == v1::FAILED) return what + " failed";
  if (command.state() == v1::REFUSED) return what + " was refused by the host's check";
  return Helped(command) ? what + " helped, and the signal goes on" : what + " did not help";
}

bool HasPrefix(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

v1::Watch AskShards(const State& state, const v1::Signal& signal, Micros newer_than, Micros now) {
  v1::Watch watch;
  watch.set_newer_than_us(newer_than);
  watch.set_until_us(now + kAnswerWithin);
  *watch.mutable_labels() = signal.labels();
  if (const v1::Host* host = HostOf(state, signal)) {
    watch.set_host_id(host->id());
    watch.set_host(host->name());
  }
  return watch;
}

}  // namespace

uint64_t Try::number() const {
  if (command != nullptr) return command->number();
  return plan == nullptr ? 0 : plan->number();
}

Micros Try::finished() const {
  if (command != nullptr) return command->finished_us();
  return plan == nullptr ? 0 : plan->finished_us();
}

Try LastTry(const State& state, const v1::Incident& incident, const v1::Signal& signal) {
  Try last;
  ForEachTry(state, incident, signal, [&](const Try& one) { TakeNewer(one, last); });
  return last;
}

Try LastTryOf(const State& state, const v1::Incident& incident, const v1::Signal& signal,
              const std::string& policy, uint32_t step) {
  Try last;
  ForEachTry(state, incident, signal, [&](const Try& one) {
    if (Of(one, policy, step)) TakeNewer(one, last);
  });
  return last;
}

const v1::Decision* Newest(const State& state, const std::string& signal, const std::string& policy) {
  const std::string prefix = signal + "|" + policy + "|";
  const v1::Decision* newest = nullptr;
  for (auto it = state.decisions.lower_bound(prefix); it != state.decisions.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    if (newest == nullptr || it->second.seq() > newest->seq()) newest = &it->second;
  }
  return newest;
}

int Unanswered(const State& state, const v1::Incident& incident, const v1::Signal& signal,
               const std::string& policy, uint32_t step) {
  int times = 0;
  ForEachTry(state, incident, signal, [&](const Try& one) {
    if (!Of(one, policy, step)) return;
    const bool command =
        one.command != nullptr && one.command->state() == v1::EXPIRED && one.command->issued_us() == 0;
    const bool plan = one.plan != nullptr &&
                      (one.plan->state() == v1::PLAN_EXPIRED || one.plan->state() == v1::PLAN_STOPPED);
    times += command || plan ? 1 : 0;
  });
  return times;
}

bool UnderWay(const State& state, const v1::Incident& incident, const v1::Signal& signal) {
  if (state.watches.contains(kConfirmPrefix + signal.key())) return true;
  for (auto it = state.watches.lower_bound(kOnlyIfPrefix); it != state.watches.end() && IsOnlyIf(it->first);
       ++it) {
    if (SignalOf(it->first) == signal.key()) return true;
  }
  for (const std::string& id : incident.plans()) {
    const v1::Plan* plan = Find(state.plans, id);
    if (plan != nullptr && incidents::IsOpen(*plan) && About(state, *plan, signal)) return true;
  }
  for (const std::string& id : state.index.commands_of_signal.Of(signal.key())) {
    const v1::CommandEntry& command = state.commands.at(id);
    if (command.incident() == incident.id() && incidents::InFlight(command)) return true;
  }
  return false;
}

Standing StandingOf(const State& state, const v1::Incident& incident, const v1::Signal& signal,
                    const v1::Policy& policy, Micros now) {
  Standing at;
  if (policy.steps_size() < 2) return at;
  Try last;
  for (uint32_t step = 0; step < static_cast<uint32_t>(policy.steps_size()); ++step) {
    const Try of = LastTryOf(state, incident, signal, policy.name(), step);
    if (of.any()) at.step = step, last = of;
  }
  if (last.command == nullptr) return at;
  const bool helped = Helped(*last.command);
  if (!helped && !Useless(*last.command)) return at;
  at.why = Outcome(*last.command);
  if (helped && last.finished() + kSettles > now) {
    at.settles_us = last.finished() + kSettles;
    return at;
  }
  at.since = last.finished();
  ++at.step;
  return at;
}

Condition OnlyIf(const State& state, const v1::Incident& incident, const v1::Signal& signal,
                 const v1::Policy& policy, uint32_t step, Micros now) {
  const v1::PolicyStep& s = policy.steps(static_cast<int>(step));
  if (const Micros within = s.only_if_changed_within_us(); within != 0) {
    auto action = BindStep(s, signal);
    if (!action.ok()) return {Applies::kNo, std::string(action.status().message())};
    if (ChangeBehind(state, signal, *action, within, now) == nullptr)
      return {Applies::kNo, "nothing that it is about was changed within " + FormatDuration(within)};
  }
  if (s.only_if_expr().empty()) return {};
  const v1::Decision* last = Find(state.decisions, DecisionKey(signal.key(), policy.name(), step));
  if (last == nullptr || last->incident() != incident.id() || last->at_us() < signal.edge_us())
    return {Applies::kUnknown, ""};
  if (last->verdict() == "skip") return {Applies::kNo, last->reason()};
  const bool asked = last->verdict() == "wait" && last->guard() == "only_if";
  if (asked || last->at_us() + kAnswerHolds < now) return {Applies::kUnknown, ""};
  return {};
}

bool IsConfirm(const std::string& watch) { return HasPrefix(watch, kConfirmPrefix); }
std::string ConfirmedSignal(const std::string& watch) { return watch.substr(sizeof kConfirmPrefix - 1); }
bool IsOnlyIf(const std::string& watch) { return HasPrefix(watch, kOnlyIfPrefix); }

std::string OnlyIfWatch(const std::string& signal, uint32_t step) {
  return kOnlyIfPrefix + std::to_string(step) + "/" + signal;
}

uint32_t StepOf(const std::string& watch) {
  uint32_t step = 0;
  std::from_chars(watch.data() + sizeof kOnlyIfPrefix - 1, watch.data() + watch.size(), step);
  return step;
}

std::string SignalOf(const std::string& watch) {
  return watch.substr(std::min(watch.size(), watch.find('/', sizeof kOnlyIfPrefix - 1) + 1));
}

v1::Watch ConfirmWatch(const State& state, const v1::Signal& signal, Micros newer_than, Micros now) {
  v1::Watch watch = AskShards(state, signal, newer_than, now);
  // A rule over many hosts is evaluated over them all.
  if (signal.host_id().empty()) watch.clear_host_id(), watch.clear_host();
  watch.set_id(kConfirmPrefix + signal.key());
  watch.set_signal_key(signal.key());
  watch.set_alert(signal.alert());
  return watch;
}

v1::Watch ConditionWatch(const State& state, const v1::Signal& signal, const v1::PolicyStep& step,
                         uint32_t number, Micros newer_than, Micros now) {
  v1::Watch watch = AskShards(state, signal, newer_than, now);
  watch.set_id(OnlyIfWatch(signal.key(), number));
  watch.set_expr(step.only_if_expr());
  return watch;
}

}  // namespace quell::policy
