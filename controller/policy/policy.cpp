#include "controller/policy/policy.h"

#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/command.h"
#include "controller/policy/guards.h"
#include "controller/policy/match.h"

namespace quell::policy {
namespace {

using engine::FindOrNull;
using engine::Outcome;
using engine::State;

constexpr Micros kConfirmWithin = 45 * kSecond;  // three ticks of the default rules
constexpr Micros kAskAgainForSamples = kMinute;

bool UnderWay(const State& state, const v1::Incident& incident, const std::string& signal) {
  for (const std::string& id : state.index.commands_of_signal.Of(signal)) {
    const v1::CommandEntry& command = state.commands.at(id);
    if (command.incident() == incident.id() && incidents::InFlight(command)) return true;
  }
  return state.watches.contains(kConfirmPrefix + signal);
}

// One look: collects what is decided.
class Look {
 public:
  Look(const State& state, const v1::Incident& incident, const v1::Signal& signal, Micros now)
      : state_(state), incident_(incident), signal_(signal), now_(now) {}

  Outcome Run() {
    policy_ = Match(state_.config, signal_);
    host_ = HostOf(state_, signal_);
    if (policy_ == nullptr) {
      Decide("none", "policy", "no policy speaks for " + signal_.alert());
      return std::move(out_);
    }
    if (incident_.given_up()) return std::move(out_);
    if (UnderWay(state_, incident_, signal_.key())) {
      EndWait();
      return std::move(out_);
    }
    if (policy_->mode() == v1::OBSERVE) {
      Decide("observe", "mode", "the policy only observes");
      return std::move(out_);
    }
    auto action = BindStep(policy_->steps(0), signal_);
    if (!action.ok()) {
      Decide("withhold", "binding", std::string(action.status().message()));
      return std::move(out_);
    }
    Ask(*action);
    return std::move(out_);
  }

 private:
  void Ask(v1::Action& action) {
    bool ask = policy_->mode() == v1::ASK;
    std::string why = ask ? "the policy asks first" : "", guard = ask ? "mode" : "";
    const Question question{state_, incident_, signal_, *policy_, host_, action, TargetOf(action), now_};
    for (const GuardRow& row : Guards()) {
      Ruling ruling = row.rule(question);
      if (ruling.verdict == Verdict::kPass || (ruling.verdict == Verdict::kConfirm && ask)) continue;
      if (ruling.verdict == Verdict::kAsk) {
        if (!ask) ask = true, why = ruling.reason, guard = row.name;
        continue;
      }
      Stop(std::string(row.name), std::move(ruling));
      return;
    }
    RefreshExpected(action);
    Act(action, ask, guard, why);
  }

  void Stop(std::string guard, Ruling ruling) {
    switch (ruling.verdict) {
      case Verdict::kWait:
        Decide("wait", guard, ruling.reason, "", ruling.retry);
        return;
      case Verdict::kConfirm:
        Decide("wait", guard, ruling.reason + ": a newer sample is asked for");
        Confirm();
        return;
      case Verdict::kGiveUp: {
        Decide("page", guard, ruling.reason);
        engine::IncidentEdit edit(incident_.id());
        edit.With(v1::Incident::kGivenUpFieldNumber).set_given_up(true);
        edit.With(v1::Incident::kGivenUpWhyFieldNumber).set_given_up_why(ruling.reason);
        edit.Entry("policy:" + policy_->name(), "given_up", "gives up: " + ruling.reason);
        out_.Add(edit.Take());
        return;
      }
      default:
        Decide("withhold", guard, ruling.reason);
    }
  }

  // After an earlier command the processes are those that it left behind.
  void RefreshExpected(v1::Action& action) const {
    if (!action.has_pm2_restart()) return;
    for (const v1::CommandEntry* command : OfGroup(state_, TargetOf(action))) {
      if (command->host_id() != host_->id() || command->after().empty()) continue;
      bool newer = false;
      for (const v1::Fact& fact : signal_.facts()) newer |= fact.at_us() > command->finished_us();
      if (!newer) *action.mutable_pm2_restart()->mutable_expect() = command->after();
      return;
    }
  }

  void Act(const v1::Action& action, bool ask, const std::string& guard, const std::string& why) {
    CommandSpec spec;
    spec.action = action;
    spec.host = host_;
    spec.incident = incident_.id();
    spec.policy = policy_->name();
    spec.requested_by = "policy:" + policy_->name();
    spec.signal = signal_.key();
    if (policy_->steps(0).has_verify()) spec.verify = &policy_->steps(0).verify();
    const Micros expires =
        policy_->approval_expires_us() == 0 ? 10 * kMinute : policy_->approval_expires_us();
    if (ask) spec.approval_expires = now_ + expires;
    v1::CommandEntry command = MakeCommand(state_, spec, 0, now_);
    Decide(ask ? "ask" : "act", guard, ask ? why : "every guard lets it pass", command.id());
    v1::Payload payload;
    *payload.mutable_command_issued()->mutable_command() = std::move(command);
    out_.Add(std::move(payload));
  }

  // Something is being done about it already: time alone changes nothing any more.
  void EndWait() {
    const v1::Decision* last = FindOrNull(state_.decisions, DecisionKey(signal_.key(), policy_->name(), 0));
    if (last != nullptr && last->retry_us() != 0)
      Decide("wait", "group", "something is under way for it already");
  }

  void Confirm() {
    v1::Payload payload;
    v1::Watch* watch = payload.mutable_watch_set()->mutable_watch();
    watch->set_id(kConfirmPrefix + signal_.key());
    watch->set_signal_key(signal_.key());
    watch->set_host_id(signal_.host_id());
    if (host_ != nullptr && !signal_.host_id().empty()) watch->set_host(host_->name());
    watch->set_newer_than_us(now_ - policy_->guard().fresh_us());
    watch->set_until_us(now_ + kConfirmWithin);
    watch->set_alert(signal_.alert());
    *watch->mutable_labels() = signal_.labels();
    out_.Add(std::move(payload));
  }

  void Decide(const std::string& verdict, const std::string& guard, const std::string& reason,
              const std::string& command = "", Micros retry = 0) {
    const std::string policy = policy_ == nullptr ? "" : policy_->name();
    const v1::Decision* last = FindOrNull(state_.decisions, DecisionKey(signal_.key(), policy, 0));
    const bool same = last != nullptr && last->verdict() == verdict && last->guard() == guard &&
                      last->retry_us() == retry && last->incident() == incident_.id() &&
                      last->at_us() >= signal_.edge_us();
    if (same && command.empty()) return;
    v1::Payload payload;
    v1::Decision* decision = payload.mutable_decision_made()->mutable_decision();
    decision->set_incident(incident_.id());
    decision->set_signal(signal_.key());
    decision->set_policy(policy);
    decision->set_verdict(verdict);
    decision->set_guard(guard);
    decision->set_reason(reason);
    decision->set_command(command);
    decision->set_retry_us(retry);
    if (host_ != nullptr) decision->set_host(host_->name());
    out_.Add(std::move(payload));
  }

  const State& state_;
  const v1::Incident& incident_;
  const v1::Signal& signal_;
  const Micros now_;
  const v1::Policy* policy_ = nullptr;
  const v1::Host* host_ = nullptr;
  Outcome out_;
};

void End(const std::string& watch, Outcome& out) {
  v1::Payload payload;
  payload.mutable_watch_ended()->set_watch(watch);
  out.Add(std::move(payload));
}

}  // namespace

Micros RetryAt(const State& state, const v1::Decision& decision) {
  if (decision.retry_us() == 0) return 0;
  const v1::Signal* signal = FindOrNull(state.signals, decision.signal());
  if (signal == nullptr || signal->state() != v1::FIRING) return 0;
  const v1::Incident* incident = FindOrNull(state.incidents, signal->incident());
  if (incident == nullptr || !incidents::IsOpen(*incident) || incident->given_up()) return 0;
  const v1::Policy* policy = Match(state.config, *signal);
  return policy != nullptr && policy->name() == decision.policy() ? decision.retry_us() : 0;
}

bool IsConfirm(const std::string& watch) {
  return watch.compare(0, sizeof kConfirmPrefix - 1, kConfirmPrefix) == 0;
}

std::string ConfirmedSignal(const std::string& watch) { return watch.substr(sizeof kConfirmPrefix - 1); }

std::string DecisionKey(const std::string& signal, const std::string& policy, uint32_t step) {
  return signal + "|" + policy + "|" + std::to_string(step);
}

Outcome Consider(const State& state, const std::string& key, Micros now) {
  const v1::Signal* signal = FindOrNull(state.signals, key);
  if (signal == nullptr || signal->state() != v1::FIRING) return {};
  const v1::Incident* incident = FindOrNull(state.incidents, signal->incident());
  if (incident == nullptr || !incidents::IsOpen(*incident)) return {};
  return Look(state, *incident, *signal, now).Run();
}

Outcome OnWatchEdge(const State& state, const v1::WatchEdge& edge) {
  Outcome out;
  if (!IsConfirm(edge.watch()) || !state.watches.contains(edge.watch())) return out;
  if (edge.value() == v1::WatchEdge::TRUE || edge.value() == v1::WatchEdge::FALSE) End(edge.watch(), out);
  return out;
}

Outcome Due(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.confirms.Until(now)) {
    const v1::Watch& watch = state.watches.at(id);
    End(id, out);
    const v1::Signal* signal = FindOrNull(state.signals, watch.signal_key());
    if (signal == nullptr || signal->state() != v1::FIRING) continue;
    const v1::Policy* policy = Match(state.config, *signal);
    v1::Payload payload;
    v1::Decision* decision = payload.mutable_decision_made()->mutable_decision();
    decision->set_incident(signal->incident());
    decision->set_signal(signal->key());
    decision->set_policy(policy == nullptr ? "" : policy->name());
    decision->set_verdict("withhold");
    decision->set_guard("stale");
    decision->set_reason("no newer sample came within " + FormatDuration(kConfirmWithin));
    decision->set_retry_us(now + kAskAgainForSamples);
    out.Add(std::move(payload));
  }
  return out;
}

Micros NextDue(const State& state) {
  return engine::Earlier(state.index.confirms.next(), state.index.retries.next());
}

std::vector<std::string> ToReconsider(const State& state, Micros now) {
  std::vector<std::string> signals;
  for (const std::string& key : state.index.retries.Until(now))
    signals.push_back(state.decisions.at(key).signal());
  return signals;
}

}  // namespace quell::policy
