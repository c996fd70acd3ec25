#include "controller/policy/guards.h"

#include <algorithm>

#include "controller/changes/changes.h"
#include "controller/incidents/correlate.h"
#include "controller/incidents/find.h"
#include "controller/policy/bind.h"
#include "controller/policy/command.h"
#include "controller/policy/hold.h"
#include "controller/policy/match.h"
#include "controller/policy/steps.h"
#include "controller/signals/correlation.h"

namespace quell::policy {
namespace {

constexpr int kWithoutImprovement = 3;
constexpr Micros kLookAgain = 15 * kSecond;
constexpr int kMostAsks = 3;  // of one step, in one firing

Ruling Withhold(std::string reason) { return {Verdict::kWithhold, std::move(reason), 0}; }
Ruling GiveUp(std::string reason) { return {Verdict::kGiveUp, std::move(reason), 0}; }
Ruling Wait(std::string reason, Micros retry) { return {Verdict::kWait, std::move(reason), retry}; }
Ruling Ask(std::string reason) { return {Verdict::kAsk, std::move(reason), 0}; }

Ruling OwnTarget(const Question& q) {
  if (!IsOwnTarget(q.action)) return {};
  return Withhold(TargetOf(q.action) + " is part of quell itself");
}

Ruling OnHold(const Question& q) {
  const v1::Hold* hold = FindHold(q.state, {q.policy.name(), q.host, &q.incident, q.action, q.group}, q.now);
  if (hold == nullptr) return {};
  return Withhold("hold " + hold->id() + " by " + hold->by() + ": " + hold->why());
}

Ruling HostActs(const Question& q) {
  std::string why = HostWontAct(q.host, ActionName(q.action));
  return why.empty() ? Ruling{} : Withhold(std::move(why));
}

// A deployment of its service is under way: what looks like a fault may be a part of it.
Ruling RunningChange(const Question& q) {
  std::vector<std::string> services = {signals::ServiceOf(q.signal), q.group,
                                       q.group.substr(q.group.find('/') + 1)};
  for (const char* label : {"app", "datname"}) services.emplace_back(signals::LabelOf(q.signal, label));
  const v1::Change* change = changes::FindRunning(q.state, services, q.now);
  if (change == nullptr) return {};
  return Wait("the change " + change->id() + " of " + change->service() + " by " + change->by() +
                  " is under way: " + change->summary(),
              change->until_us());
}

Ruling Security(const Question& q) {
  if (incidents::IsOverBudget(q.incident))
    return Withhold("the host is over its budget of incidents: someone may be making them up");
  if (q.incident.category() != "security" && !signals::IsSecurity(q.signal)) return {};
  return Withhold("a security incident gets no automatic remedy");
}

// A person was asked, and did not answer: asked again after the cooldown, and not for ever.
Ruling AskAgain(const Question& q, Micros finished) {
  const int times = Unanswered(q.state, q.incident, q.signal, q.policy.name(), q.step);
  if (times >= kMostAsks) return GiveUp(std::to_string(times) + " proposals of it came to nothing");
  const Micros over = finished + q.policy.guard().cooldown_us();
  return over <= q.now ? Ruling{} : Wait("the proposal before came to nothing", over);
}

Ruling EarlierPlan(const Question& q, const v1::Plan& plan) {
  if (plan.state() == v1::PLAN_DENIED)
    return Withhold("denied by " + plan.approved_by() + ": " + plan.reason());
  const bool unanswered = plan.state() == v1::PLAN_EXPIRED || plan.state() == v1::PLAN_STOPPED;
  return unanswered ? AskAgain(q, plan.finished_us()) : Ruling{};
}

// What came of an earlier try for this very firing ends the matter, or leaves it to the later guards.
Ruling Earlier(const Question& q) {
  const Try tried = LastTry(q.state, q.incident, q.signal);
  if (tried.plan != nullptr) return EarlierPlan(q, *tried.plan);
  const v1::CommandEntry* last = tried.command;
  if (last == nullptr || (last->policy() == q.policy.name() && last->step() < q.step)) return {};
  switch (last->state()) {
    case v1::DENIED:
      return Withhold("denied by " + last->approved_by() + ": " + last->reason());
    case v1::COMMAND_UNKNOWN:
      return GiveUp("nobody can say how " + last->target() + " on " + last->host() +
                    " ended; it is not repeated");
    case v1::EXPIRED:
      return last->issued_us() == 0 ? AskAgain(q, last->finished_us()) : Ruling{};
    case v1::REFUSED:
      if (last->refusal() == v1::REFUSAL_BUSY) return {};
      if (last->refusal() == v1::REFUSAL_CHECK)
        return Withhold("the host's check refused: " + last->reason());
      return GiveUp("the host refused: " + last->reason());
    default:
      return {};
  }
}

// The steps of a policy that has begun with them for the same app, and has one left: it decides what comes
// next.
bool StepsGoOn(const Question& q, const v1::Signal& other) {
  const v1::Policy* policy = Match(q.state.config, other);
  if (policy == nullptr || policy->mode() == v1::OBSERVE || policy->steps_size() < 2) return false;
  const Try begun = LastTry(q.state, q.incident, other), own = LastTry(q.state, q.incident, q.signal);
  if (!begun.any() || (own.any() && own.number() > begun.number())) return false;
  const Standing at = StandingOf(q.state, q.incident, other, *policy, q.now);
  if (at.settles_us != 0 || at.step >= static_cast<uint32_t>(policy->steps_size())) return false;
  const v1::Decision* newest = Newest(q.state, other.key(), policy->name());
  return newest == nullptr || (newest->verdict() != "withhold" && newest->verdict() != "page");
}

Ruling OtherSteps(const Question& q) {
  const std::string app = signals::AppOf(q.signal);
  if (app.empty()) return {};
  for (const std::string& key : q.incident.signals()) {
    const v1::Signal* other = engine::FindOrNull(q.state.signals, key);
    if (other == nullptr || key == q.signal.key() || other->state() != v1::FIRING) continue;
    if (other->host_id() != q.signal.host_id() || signals::AppOf(*other) != app) continue;
    if (StepsGoOn(q, *other))
      return Wait("what is done about " + other->alert() + " goes on first", q.now + kLookAgain);
  }
  return {};
}

Ruling Attempts(const Question& q) {
  const v1::Guard& guard = q.policy.guard();
  auto it = q.state.counts.find(TargetCountKey(q.host->id(), Describe(q.action)));
  if (it == q.state.counts.end() || guard.attempts_max() == 0) return {};
  const auto& at = it->second.at_us();
  const auto recent =
      std::count_if(at.begin(), at.end(), [&](Micros t) { return t + guard.attempts_within_us() > q.now; });
  if (static_cast<uint32_t>(recent) < guard.attempts_max()) return {};
  return GiveUp("it was tried " + std::to_string(recent) + " times within " +
                FormatDuration(guard.attempts_within_us()) + " on " + q.host->name());
}

// Three in a row that changed nothing: whatever this is, the remedy is not for it.
Ruling Breaker(const Question& q) {
  int useless = 0;
  for (const v1::CommandEntry* command : OfGroup(q.state, q.group)) {
    if (command->requested_by().compare(0, 7, "policy:") != 0 || command->dry_run()) continue;
    const bool done = command->state() == v1::SUCCEEDED || command->state() == v1::FAILED ||
                      command->state() == v1::COMMAND_UNKNOWN;
    if (!done || incidents::InFlight(*command)) continue;
    if (command->improved()) return {};
    if (command->incident() != q.incident.id()) return {};
    if (++useless >= kWithoutImprovement) {
      return GiveUp(std::to_string(useless) + " actions in a row on " + q.group + " did not help");
    }
  }
  return {};
}

Ruling Cooldown(const Question& q) {
  auto it = q.state.counts.find(TargetCountKey(q.host->id(), Describe(q.action)));
  if (it == q.state.counts.end() || it->second.at_us().empty()) return {};
  const Micros over = it->second.at_us(it->second.at_us_size() - 1) + q.policy.guard().cooldown_us();
  if (over <= q.now) return {};
  return Wait("it was done on " + q.host->name() + " less than " +
                  FormatDuration(q.policy.guard().cooldown_us()) + " ago",
              over);
}

Ruling SmallGroup(const Question& q) {
  for (const v1::CommandEntry* command : OfGroup(q.state, q.group)) {
    const bool done = command->state() == v1::SUCCEEDED || command->state() == v1::FAILED;
    if (!done || command->dry_run() || command->incident() != q.incident.id()) continue;
    const v1::Signal* cause = nullptr;
    if (auto it = q.state.signals.find(command->signal()); it != q.state.signals.end()) cause = &it->second;
    const bool still_ill = cause != nullptr && cause->state() != v1::CLEARED;
    if (command->improved() || !still_ill || command->host_id() == q.host->id()) return {};
    return Wait("the one before it, on " + command->host() + ", has not helped", 0);
  }
  return {};
}

Ruling Window(const Question& q, size_t size) {
  const v1::Guard& guard = q.policy.guard();
  auto it = q.state.counts.find(GroupCountKey(q.group));
  if (it == q.state.counts.end()) return {};
  const auto allowed =
      std::max<size_t>(1, static_cast<size_t>(guard.group_max_share() * static_cast<double>(size)));
  std::vector<Micros> recent;
  for (Micros at : it->second.at_us()) {
    if (at + guard.group_within_us() > q.now) recent.push_back(at);
  }
  if (recent.size() < allowed) return {};
  return Wait(std::to_string(recent.size()) + " of the group's " + std::to_string(size) +
                  " were acted on within " + FormatDuration(guard.group_within_us()),
              recent[recent.size() - allowed] + guard.group_within_us());
}

// Another signal of the group that a newer sample was asked for.
const v1::Signal* BeingConfirmed(const Question& q) {
  for (const std::string& id : q.state.index.confirms_of_group.Of(q.group)) {
    auto signal = q.state.signals.find(q.state.watches.at(id).signal_key());
    if (signal != q.state.signals.end() && signal->first != q.signal.key()) return &signal->second;
  }
  return nullptr;
}

const v1::Plan* OpenPlan(const Question& q) {
  for (const auto& [id, plan] : q.state.plans) {
    if (incidents::IsOpen(plan) && GroupOf(q.state, plan) == q.group) return &plan;
  }
  return nullptr;
}

Ruling OneAtATime(const Question& q) {
  if (const auto& others = q.state.index.in_flight_of_group.Of(q.group); !others.empty()) {
    return Wait("another one of the group is under way, on " + q.state.commands.at(*others.begin()).host(),
                0);
  }
  if (const v1::Plan* plan = OpenPlan(q))
    return Wait("a plan of the group is open: " + incidents::PlanName(q.state, *plan), 0);
  if (const v1::Signal* asked = BeingConfirmed(q)) {
    return Wait("another one of the group is being looked at: " + asked->key(), 0);
  }
  return {};
}

Ruling Share(const Question& q) {
  const size_t size = GroupSize(q.state, q.group, q.now);
  return size < kSmallGroup ? SmallGroup(q) : Window(q, size);
}

Ruling Unhealthy(const Question& q) {
  if (!TooManyIll(q.state, q.policy, q.group, q.now)) return {};
  return Withhold(std::to_string(GroupUnhealthy(q.state, q.group)) + " of " +
                  std::to_string(GroupSize(q.state, q.group, q.now)) +
                  " hosts of the group are ill: this is not one host's fault");
}

Ruling Taken(const Question& q) {
  if (q.incident.taken_by().empty()) return {};
  return Ask(q.incident.taken_by() + " has taken the incident");
}

Ruling Provenance(const Question& q) {
  std::string why = WhyNotTrusted(q.state.config, q.signal, q.action);
  return why.empty() ? Ruling{} : Ask(std::move(why));
}

Ruling Fresh(const Question& q) {
  const Micros age = q.now - q.signal.sample_us();
  if (q.policy.guard().fresh_us() == 0 || age <= q.policy.guard().fresh_us()) return {};
  return {Verdict::kConfirm, "the evidence is " + FormatAge(age) + " old", 0};
}

}  // namespace

const std::vector<GuardRow>& Guards() {
  static const auto& rows = *new std::vector<GuardRow>{
      {"self", &OwnTarget, true},
      {"hold", &OnHold, true},
      {"host", &HostActs, true},
      {"change", &RunningChange, true},
      {"security", &Security, true},
      {"steps", &OtherSteps},
      {"group", &OneAtATime, true},
      {"earlier", &Earlier, true},
      {"attempts", &Attempts, true},
      {"breaker", &Breaker, true},
      {"cooldown", &Cooldown, true},
      {"fleet", &Unhealthy},
      {"group", &Share},
      {"taken", &Taken},
      {"provenance", &Provenance},
      {"stale", &Fresh},
  };
  return rows;
}

std::string HostWontAct(const v1::Host* host, const std::string& action) {
  if (host == nullptr) return "it names no host that is known";
  if (host->revoked() || host->deleted()) return host->name() + " is revoked";
  if (host->liveness() != v1::CONNECTED) return host->name() + " is not connected";
  if (!host->executor_connected()) return host->name() + " has no executor at work";
  if (host->held()) return host->name() + " is held by its own stop file";
  if (!host->sanctions_error().empty())
    return "the sanctions of " + host->name() + " refuse everything: " + host->sanctions_error();
  if (host->results_full()) return host->name() + " takes no command: its results are not collected";
  const auto& actions = host->actions();
  if (std::find(actions.begin(), actions.end(), action) == actions.end())
    return host->name() + " does not know " + action;
  return "";
}

bool TooManyIll(const engine::State& state, const v1::Policy& policy, const std::string& group, Micros now) {
  const double stop = policy.guard().stop_above_unhealthy();
  const size_t size = GroupSize(state, group, now);
  if (stop <= 0 || size < kSmallGroup) return false;
  return static_cast<double>(GroupUnhealthy(state, group)) > stop * static_cast<double>(size);
}

}  // namespace quell::policy
