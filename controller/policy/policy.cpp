#include "controller/policy/policy.h"

#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/changed.h"
#include "controller/policy/command.h"
#include "controller/policy/guards.h"
#include "controller/policy/intent.h"
#include "controller/policy/match.h"
#include "controller/policy/steps.h"
#include "controller/policy/storm.h"

namespace quell::policy {
namespace {

using engine::FindOrNull;
using engine::Outcome;
using engine::State;

constexpr Micros kAskAgainForSamples = kMinute;

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
    } else if (incident_.given_up()) {
      return {};
    } else if (UnderWay(state_, incident_, signal_)) {
      EndWait();
    } else if (policy_->mode() == v1::OBSERVE) {
      Decide("observe", "mode", "the policy only observes");
    } else {
      Steps();
    }
    return std::move(out_);
  }

 private:
  void Steps() {
    const Standing at = StandingOf(state_, incident_, signal_, *policy_, now_);
    step_ = at.step;
    since_ = at.since;
    if (at.settles_us != 0) return Decide("wait", "helped", at.why, "", at.settles_us);
    // What the host's check or a verification found is newer than what the signal rests on.
    if (signal_.sample_us() < since_) {
      step_ = at.step - 1;
      Decide("wait", "stale", at.why + ": a newer sample is asked for");
      return Watch(ConfirmWatch(state_, signal_, NewerThan(), now_));
    }
    for (; step_ < static_cast<uint32_t>(policy_->steps_size()); ++step_) {
      const Condition condition = OnlyIf(state_, incident_, signal_, *policy_, step_, now_);
      if (condition.applies == Applies::kYes) return Step();
      if (condition.applies == Applies::kUnknown) return AskOnlyIf();
      Decide("skip", "only_if", condition.reason);
    }
    step_ = static_cast<uint32_t>(policy_->steps_size()) - 1;
    const std::string why = at.why.empty() ? "" : ": " + at.why;
    GiveUp("steps", (at.why.empty() ? "no step applies" : "no step is left") + why);
  }

  const v1::PolicyStep& ThisStep() const { return policy_->steps(static_cast<int>(step_)); }

  void Step() {
    auto action = BindStep(ThisStep(), signal_);
    if (!action.ok()) return Decide("withhold", "binding", std::string(action.status().message()));
    if (MayBePlan(ThisStep()) && Plan(*action)) return;
    Ask(*action);
  }

  void Ask(v1::Action& action) {
    bool ask = policy_->mode() == v1::ASK;
    std::string why = ask ? "the policy asks first" : "", guard = ask ? "mode" : "";
    const std::string group = GroupOf(action, &signal_);
    const Question question{state_, incident_, signal_, *policy_, host_, action, group, now_, step_};
    for (const GuardRow& row : Guards()) {
      Ruling ruling = row.rule(question);
      if (ruling.verdict == Verdict::kPass || (ruling.verdict == Verdict::kConfirm && ask)) continue;
      if (ruling.verdict == Verdict::kAsk) {
        if (!ask) ask = true, why = ruling.reason, guard = row.name;
        continue;
      }
      if (row.name == "fleet" && PlanInstead()) return;
      return Stop(std::string(row.name), std::move(ruling));
    }
    RefreshExpected(action);
    Act(action, group, ask, guard, why);
  }

  // Too many are ill for one host's remedy. When a change is behind it, going back is proposed for them all.
  bool PlanInstead() {
    const uint32_t before = step_;
    for (; step_ < static_cast<uint32_t>(policy_->steps_size()); ++step_) {
      if (!MayBePlan(ThisStep())) continue;
      const Condition condition = OnlyIf(state_, incident_, signal_, *policy_, step_, now_);
      if (condition.applies == Applies::kNo) continue;
      if (condition.applies == Applies::kUnknown) return AskOnlyIf(), true;
      auto action = BindStep(ThisStep(), signal_);
      if (action.ok() && Plan(*action)) return true;
    }
    step_ = before;
    return false;
  }

  // False when there is no storm.
  bool Plan(const v1::Action& action) {
    if (const Micros until = WaitsForStorm(state_, incident_, signal_, *policy_, now_); until != 0) {
      Decide("wait", "group", "a plan over its group is about to be proposed", "", until + kSecond);
      return true;
    }
    const Storm storm = FindStorm(state_, incident_, signal_, ThisStep(), action, now_);
    if (!storm.any()) return false;
    const Question question{state_, incident_, signal_, *policy_, host_, action, GroupOf(action, &signal_),
                            now_,   step_};
    for (const GuardRow& row : Guards()) {
      if (!row.of_plans) continue;
      Ruling ruling = row.rule(question);
      if (ruling.verdict == Verdict::kPass || ruling.verdict == Verdict::kAsk) continue;
      Stop(std::string(row.name), std::move(ruling));
      return true;
    }
    if (storm.SettledAt() > now_) {
      Decide("wait", "storm", "several hosts of its group are ill, and more may be", "", storm.SettledAt());
    } else {
      Propose(action, storm);
    }
    return true;
  }

  void Propose(const v1::Action& action, const Storm& storm) {
    PlanSpec spec;
    spec.action = action;
    spec.hosts = storm.hosts;
    spec.incident = incident_.id();
    spec.policy = policy_->name();
    spec.step = step_;
    spec.requested_by = "policy:" + policy_->name();
    spec.signal = signal_.key();
    spec.verify = ThisStep().verify();
    spec.approval_expires = now_ + ApprovalTime(state_, policy_->name());
    v1::Payload payload;
    *payload.mutable_plan_made()->mutable_plan() = MakePlan(state_, spec, now_);
    Decide("ask", "plan",
           std::to_string(storm.hosts.size()) +
               " hosts of its group are ill, and were changed: " + storm.change->summary(),
           payload.plan_made().plan().id());
    out_.Add(std::move(payload));
  }

  void Stop(std::string guard, Ruling ruling) {
    switch (ruling.verdict) {
      case Verdict::kWait:
        return Decide("wait", guard, ruling.reason, "", ruling.retry);
      case Verdict::kConfirm:
        Decide("wait", guard, ruling.reason + ": a newer sample is asked for");
        return Watch(ConfirmWatch(state_, signal_, NewerThan(), now_));
      case Verdict::kGiveUp:
        return GiveUp(guard, ruling.reason);
      default:
        Decide("withhold", guard, ruling.reason);
    }
  }

  // `otherwise: page`: a person is told, and automation ends here.
  void GiveUp(const std::string& guard, const std::string& reason) {
    Decide("page", guard, reason);
    engine::IncidentEdit edit(incident_.id());
    edit.With(v1::Incident::kGivenUpFieldNumber).set_given_up(true);
    edit.With(v1::Incident::kGivenUpWhyFieldNumber).set_given_up_why(reason);
    edit.Entry("policy:" + policy_->name(), "given_up", "gives up: " + reason);
    out_.Add(edit.Take());
  }

  // After an earlier command the processes are those that it left behind.
  void RefreshExpected(v1::Action& action) const {
    if (!action.has_pm2_restart()) return;
    if (IsAboutManyProcesses(state_.config, signal_)) return action.mutable_pm2_restart()->clear_expect();
    for (const v1::CommandEntry* command : OfGroup(state_, TargetOf(action))) {
      if (command->host_id() != host_->id() || command->after().empty()) continue;
      bool newer = false;
      for (const v1::Fact& fact : signal_.facts()) newer |= fact.at_us() > command->finished_us();
      if (!newer) *action.mutable_pm2_restart()->mutable_expect() = command->after();
      return;
    }
  }

  void Act(const v1::Action& action, const std::string& group, bool ask, const std::string& guard,
           const std::string& why) {
    CommandSpec spec;
    spec.action = action;
    spec.host = host_;
    spec.incident = incident_.id();
    spec.policy = policy_->name();
    spec.step = step_;
    spec.requested_by = "policy:" + policy_->name();
    spec.signal = signal_.key();
    spec.group = group;
    if (ThisStep().has_verify()) spec.verify = &ThisStep().verify();
    if (ask) spec.approval_expires = now_ + ApprovalTime(state_, policy_->name());
    v1::CommandEntry command = MakeCommand(state_, spec, 0, now_);
    Decide(ask ? "ask" : "act", guard, ask ? why : "every guard lets it pass", command.id());
    v1::Payload payload;
    *payload.mutable_command_issued()->mutable_command() = std::move(command);
    out_.Add(std::move(payload));
  }

  // Something is being done about it already: time alone changes nothing any more.
  void EndWait() {
    const v1::Decision* last = Newest(state_, signal_.key(), policy_->name());
    if (last == nullptr || last->retry_us() == 0) return;
    step_ = last->step();
    Decide("wait", "group", "something is under way for it already");
  }

  // What shards are asked rests on samples of now, and on none from before the step that ended last.
  Micros NewerThan() const { return std::max(since_, now_ - policy_->guard().fresh_us()); }

  void AskOnlyIf() {
    Decide("wait", "only_if", "whether it applies is asked: " + ThisStep().only_if_expr());
    Watch(ConditionWatch(state_, signal_, ThisStep(), step_, NewerThan(), now_));
  }

  void Watch(v1::Watch watch) {
    v1::Payload payload;
    *payload.mutable_watch_set()->mutable_watch() = std::move(watch);
    out_.Add(std::move(payload));
  }

  void Decide(const std::string& verdict, const std::string& guard, const std::string& reason,
              const std::string& command = "", Micros retry = 0) {
    const std::string policy = policy_ == nullptr ? "" : policy_->name();
    const v1::Decision* last = FindOrNull(state_.decisions, DecisionKey(signal_.key(), policy, step_));
    const bool same = last != nullptr && last->verdict() == verdict && last->guard() == guard &&
                      last->retry_us() == retry && last->incident() == incident_.id() &&
                      last->at_us() >= signal_.edge_us();
    // One that waits for time has to be the newest of all steps, or nobody would look again.
    const bool heard = retry == 0 || (out_.records.empty() && Newest(state_, signal_.key(), policy) == last);
    if (same && heard && command.empty()) return;
    v1::Payload payload;
    v1::Decision* decision = payload.mutable_decision_made()->mutable_decision();
    decision->set_incident(incident_.id());
    decision->set_signal(signal_.key());
    decision->set_policy(policy);
    decision->set_step(step_);
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
  uint32_t step_ = 0;
  Micros since_ = 0;
  Outcome out_;
};

// A decision that no look made: an answer came, or none.
v1::Payload Answered(const State& state, const v1::Signal& signal, uint32_t step, const std::string& verdict,
                     const std::string& guard, const std::string& reason, Micros retry) {
  const v1::Policy* policy = Match(state.config, signal);
  v1::Payload payload;
  v1::Decision* decision = payload.mutable_decision_made()->mutable_decision();
  decision->set_incident(signal.incident());
  decision->set_signal(signal.key());
  decision->set_policy(policy == nullptr ? "" : policy->name());
  decision->set_step(step);
  decision->set_verdict(verdict);
  decision->set_guard(guard);
  decision->set_reason(reason);
  decision->set_retry_us(retry);
  return payload;
}

const v1::Signal* AskedAbout(const State& state, const std::string& watch) {
  const std::string key = IsOnlyIf(watch) ? SignalOf(watch) : ConfirmedSignal(watch);
  const v1::Signal* signal = FindOrNull(state.signals, key);
  return signal != nullptr && signal->state() == v1::FIRING ? signal : nullptr;
}

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
  if (policy == nullptr || policy->name() != decision.policy()) return 0;
  return Newest(state, signal->key(), policy->name()) == &decision ? decision.retry_us() : 0;
}

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

Outcome OnWatchEdge(const State& state, const v1::WatchEdge& edge, Micros now) {
  Outcome out;
  const std::string& watch = edge.watch();
  if ((!IsConfirm(watch) && !IsOnlyIf(watch)) || !state.watches.contains(watch)) return out;
  const bool yes = edge.value() == v1::WatchEdge::TRUE;
  if (!yes && edge.value() != v1::WatchEdge::FALSE) return out;
  End(watch, out);
  const v1::Signal* signal = AskedAbout(state, watch);
  if (signal == nullptr) return out;
  if (IsOnlyIf(watch)) {
    out.Add(Answered(state, *signal, StepOf(watch), yes ? "applies" : "skip", "only_if",
                     yes ? "its only_if holds" : "its only_if does not hold", 0));
  } else if (yes) {
    out.Add(Answered(state, *signal, 0, "wait", "stale", "a newer sample does not show it any more",
                     now + kAskAgainForSamples));
  }
  return out;
}

std::string ToLookAt(const v1::WatchEdge& edge) {
  if (IsOnlyIf(edge.watch())) return SignalOf(edge.watch());
  const bool fires = IsConfirm(edge.watch()) && edge.value() == v1::WatchEdge::FALSE;
  return fires ? ConfirmedSignal(edge.watch()) : "";
}

Outcome Due(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.questions.Until(now)) {
    End(id, out);
    const v1::Signal* signal = AskedAbout(state, id);
    if (signal == nullptr) continue;
    const std::string within = FormatDuration(kAnswerWithin);
    if (IsOnlyIf(id)) {
      out.Add(Answered(state, *signal, StepOf(id), "skip", "only_if",
                       "no data tells within " + within + " whether it applies", now));
    } else {
      out.Add(Answered(state, *signal, 0, "withhold", "stale", "no newer sample came within " + within,
                       now + kAskAgainForSamples));
    }
  }
  return out;
}

Micros NextDue(const State& state) {
  return engine::Earlier(state.index.questions.next(), state.index.retries.next());
}

std::vector<std::string> ToReconsider(const State& state, Micros now) {
  std::vector<std::string> signals;
  for (const std::string& key : state.index.retries.Until(now))
    signals.push_back(state.decisions.at(key).signal());
  return signals;
}

}  // namespace quell::policy
