#include "controller/notify/paging.h"

#include <algorithm>
#include <optional>
#include <set>

#include "controller/commands/plan.h"
#include "controller/commands/plan_text.h"
#include "controller/incidents/correlate.h"
#include "controller/incidents/find.h"
#include "controller/notify/text.h"
#include "controller/policy/match.h"
#include "controller/signals/correlation.h"
#include "controller/verify/verify.h"

namespace quell::notify {
namespace {

using engine::FindOrNull;
using engine::IncidentEdit;
using engine::Outcome;
using engine::State;
using v1::Incident;

constexpr int kSignalsInNotice = 50;

const v1::Receiver* FindReceiver(const State& state, const std::string& name) {
  for (const v1::Receiver& receiver : state.config.receivers()) {
    if (receiver.name() == name) return &receiver;
  }
  return nullptr;
}

// The receivers walked for this severity, in order. Without a configured audience: whoever wakes.
std::vector<std::string> Steps(const State& state, v1::Severity severity) {
  std::vector<std::string> steps;
  if (severity == v1::P3) return steps;
  for (const v1::Audience& audience : state.config.audience()) {
    if (audience.severity() != severity) continue;
    for (const std::string& name : audience.steps()) {
      if (FindReceiver(state, name) != nullptr) steps.push_back(name);
    }
  }
  if (!steps.empty()) return steps;
  for (const v1::Receiver& receiver : state.config.receivers()) {
    if (receiver.wakes()) steps.push_back(receiver.name());
  }
  return steps;
}

Micros AcknowledgeWithin(const State& state, v1::Severity severity) {
  for (const v1::SeverityDeadlines& deadlines : state.config.deadlines()) {
    if (deadlines.severity() == severity && deadlines.acknowledge_us() != 0)
      return deadlines.acknowledge_us();
  }
  return kAcknowledgeWithin;
}

std::vector<std::string> Routed(const State& state, const Incident& incident) {
  std::vector<std::string> names;
  if (incident.category() == "security") return names;
  for (const v1::Route& route : state.config.routes()) {
    const auto& wanted = route.severities();
    const bool meant =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), incident.severity()) != wanted.end();
    if (!meant) continue;
    for (const std::string& name : route.to()) {
      const bool known = std::find(names.begin(), names.end(), name) != names.end();
      if (!known && FindReceiver(state, name) != nullptr) names.push_back(name);
    }
    break;  // the first that fits, as in the file's order
  }
  return names;
}

std::string Key(const Incident& incident, const std::string& receiver, const std::string& transition) {
  return incident.id() + "/" + receiver + "/" + transition;
}

// False: that one was queued before, and one key is one notice for ever.
bool Queue(const State& state, const Incident& incident, const std::string& receiver,
           const std::string& transition, bool page, Micros now, Outcome& out) {
  const std::string key = Key(incident, receiver, transition);
  if (state.notices.contains(key)) return false;
  v1::Payload payload;
  v1::Notice* notice = payload.mutable_notice_queued()->mutable_notice();
  Text text = Render(state, incident, transition);
  notice->set_key(key);
  notice->set_incident(incident.id());
  notice->set_receiver(receiver);
  notice->set_transition(transition);
  notice->set_page(page);
  notice->set_subject(std::move(text.subject));
  notice->set_text(std::move(text.text));
  notice->set_state(v1::QUEUED);
  notice->set_queued_us(now);
  notice->set_next_us(now);
  notice->set_severity(incident.severity());
  notice->set_resolved(incident.status() == v1::RESOLVED);
  for (int i = 0; i < incident.signals_size() && i < kSignalsInNotice; ++i) {
    const v1::Signal* signal = FindOrNull(state.signals, incident.signals(i));
    const bool hidden =
        signal != nullptr && signals::IsSecurity(*signal) && incident.category() != "security";
    if (signal != nullptr && !hidden) *notice->add_signals() = *signal;
  }
  out.Add(std::move(payload));
  return true;
}

// Wakes the audience's step that is due; returns whether there was anybody to wake.
bool Page(const State& state, const Incident& incident, uint32_t step, std::string transition, Micros now,
          Outcome& out) {
  const std::vector<std::string> steps = Steps(state, incident.severity());
  if (steps.empty()) return false;
  step = std::min<uint32_t>(step, static_cast<uint32_t>(steps.size()) - 1);
  const std::string& receiver = steps[step];
  if (!Queue(state, incident, receiver, transition, true, now, out)) {
    transition += "-" + std::to_string(incident.pages());  // woken anew for the same reason
    Queue(state, incident, receiver, transition, true, now, out);
  }
  IncidentEdit edit(incident.id());
  edit.With(Incident::kPagedFieldNumber).set_paged(true);
  edit.With(Incident::kPagedUsFieldNumber).set_paged_us(now);
  edit.With(Incident::kPagesFieldNumber).set_pages(incident.pages() + 1);
  edit.With(Incident::kPageAtUsFieldNumber).set_page_at_us(0);
  edit.With(Incident::kEscalationStepFieldNumber).set_escalation_step(step);
  const Micros by = now + AcknowledgeWithin(state, incident.severity());
  edit.With(Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(by);
  edit.Entry("quell", "told",
             "pages " + receiver + " (" + transition + "), to be acknowledged by " + FormatClock(by));
  out.Add(edit.Take());
  return true;
}

void NobodyToWake(const Incident& incident, Outcome& out) {
  IncidentEdit edit(incident.id());
  edit.With(Incident::kPageAtUsFieldNumber).set_page_at_us(0);
  edit.With(Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(0);
  edit.Entry("quell", "told", "there is nobody to wake for this severity");
  out.Add(edit.Take());
}

// Copies, but for those that got a page of the same transition.
void Copies(const State& state, const Incident& incident, const std::string& transition, Micros now,
            Outcome& out) {
  std::set<std::string> paged;
  for (const v1::Payload& payload : out.records) {
    if (payload.has_notice_queued()) paged.insert(payload.notice_queued().notice().receiver());
  }
  for (const std::string& name : Routed(state, incident)) {
    if (!paged.contains(name)) Queue(state, incident, name, transition, false, now, out);
  }
}

// Whoever heard of it hears this too, without being woken.
void TellAllTold(const State& state, const Incident& incident, const std::string& transition,
                 bool also_copies, Micros now, Outcome& out) {
  std::set<std::string> told;
  const std::string prefix = incident.id() + "/";
  for (auto it = state.notices.lower_bound(prefix); it != state.notices.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    const v1::Notice& notice = it->second;
    if (notice.state() == v1::SUPERSEDED || notice.state() == v1::GIVEN_UP) continue;
    if (notice.page() || also_copies) told.insert(notice.receiver());
  }
  for (const std::string& receiver : told) Queue(state, incident, receiver, transition, false, now, out);
}

void SchedulePage(const Incident& incident, Micros at, Outcome& out) {
  if (incident.page_at_us() != 0 && incident.page_at_us() <= at) return;
  IncidentEdit edit(incident.id());
  edit.With(Incident::kPageAtUsFieldNumber).set_page_at_us(at);
  out.Add(edit.Take());
}

Micros GraceOf(const Incident& incident) {
  return incident.severity() <= v1::P1 ? kUnlessVerifiedIn : kGrace;
}

// Somebody is awake and at it already, or a page is on its way to being acknowledged.
bool InHand(const Incident& incident) {
  if (incident.relapses() > 0 && incident.paged_us() == 0) return false;
  return incident.acknowledge_by_us() != 0 || (incident.acknowledged_us() != 0 && incident.page_at_us() == 0);
}

// A host that is over its budget of incidents wakes somebody once, whatever else it comes up with.
bool ToldOnce(const Incident& incident) { return incident.paged() && incidents::IsOverBudget(incident); }

bool Severer(const Mode& a, const Mode& b) {
  if (b.mode == v1::PAGE_MODE_UNSPECIFIED) return a.mode != v1::PAGE_MODE_UNSPECIFIED;
  if (a.mode == v1::PAGE_MODE_UNSPECIFIED) return false;
  if (a.mode != b.mode) return a.mode < b.mode;
  return a.after < b.after;
}

Mode BySeverity(v1::Severity severity) {
  switch (severity) {
    case v1::P0:
      return {v1::PAGE_AT_ONCE, 0};
    case v1::P1:
      return {v1::PAGE_UNLESS_VERIFIED, kUnlessVerifiedIn};
    case v1::P2:
      return {v1::PAGE_ON_FAILURE, kGrace};
    default:
      return {};
  }
}

Mode ByPolicy(const v1::Policy& policy, const Incident& incident) {
  const Mode standard = BySeverity(incident.severity());
  switch (policy.page()) {
    case v1::PAGE_AT_ONCE:
      return {v1::PAGE_AT_ONCE, 0};
    case v1::PAGE_UNLESS_VERIFIED:
      return {v1::PAGE_UNLESS_VERIFIED, policy.page_unless_verified_us()};
    case v1::PAGE_ON_FAILURE:
      return {v1::PAGE_ON_FAILURE, GraceOf(incident)};
    default:
      return standard;
  }
}

Outcome GivenUp(const State& state, const Incident& incident, Micros now) {
  Outcome out;
  if (!Page(state, incident, incident.escalation_step(), "given_up", now, out)) NobodyToWake(incident, out);
  Copies(state, incident, "given_up", now, out);
  return out;
}

Outcome Relapsed(const State& state, const Incident& incident, Micros now) {
  Outcome out;
  const Mode mode = ModeOf(state, incident);
  if (mode.mode == v1::PAGE_MODE_UNSPECIFIED || ToldOnce(incident)) return out;
  Micros at = now + mode.after;
  if (incident.paged()) at = std::max(at, incident.paged_us() + kBetweenPages);
  SchedulePage(incident, at, out);
  return out;
}

// Nobody is to be woken any more: pages that have not gone out yet don't.
void Supersede(const State& state, const Incident& incident, Outcome& out) {
  const std::string prefix = incident.id() + "/";
  for (auto it = state.notices.lower_bound(prefix); it != state.notices.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    const v1::Notice& notice = it->second;
    if (!notice.page() || notice.state() != v1::QUEUED || notice.may_repeat()) continue;
    engine::NoticeEdit edit(notice.key());
    edit.With(v1::Notice::kStateFieldNumber).set_state(v1::SUPERSEDED);
    edit.With(v1::Notice::kErrorFieldNumber).set_error("it was put right before this could be delivered");
    out.Add(edit.Take());
  }
}

Outcome Resolved(const State& state, const Incident& incident, Micros now) {
  Outcome out;
  TellAllTold(state, incident, "resolved", true, now, out);
  Supersede(state, incident, out);
  return out;
}

Outcome StatusChanged(const State& state, const Incident& incident, Micros now) {
  Outcome out;
  switch (incident.status()) {
    case v1::MONITORING:
      TellAllTold(state, incident, "monitoring-" + std::to_string(incident.relapses() + 1), false, now, out);
      return out;
    case v1::RESOLVED:
      return Resolved(state, incident, now);
    default:
      return out;
  }
}

bool Touches(const v1::IncidentChanged& change, int field) {
  return std::find(change.fields().begin(), change.fields().end(), static_cast<uint32_t>(field)) !=
         change.fields().end();
}

// While the remedy's condition is true and only has to stay, a page waits for that.
Micros HoldingUntil(const State& state, const Incident& incident) {
  Micros until = 0;
  for (const std::string& id : incident.commands()) {
    const v1::CommandEntry* command = FindOrNull(state.commands, id);
    if (command == nullptr || command->verification() != v1::HOLDING) continue;
    until = std::max(until, verify::DueAt(state, *command));
  }
  return until;
}

void PageDue(const State& state, const Incident& incident, Micros now, Outcome& out) {
  if (const Micros until = HoldingUntil(state, incident); until > now) {
    IncidentEdit edit(incident.id());
    edit.With(Incident::kPageAtUsFieldNumber).set_page_at_us(until + kSecond);
    out.Add(edit.Take());
    return;
  }
  std::string transition =
      incident.relapses() == 0 ? "page" : "relapse-" + std::to_string(incident.relapses());
  if (incident.relapses() == 0 && incident.paged()) transition += "-" + std::to_string(incident.pages());
  if (!Page(state, incident, 0, transition, now, out)) NobodyToWake(incident, out);
}

void AcknowledgementMissed(const State& state, const Incident& incident, Micros now, Outcome& out) {
  const uint32_t next = incident.escalation_step() + 1;
  if (next < Steps(state, incident.severity()).size()) {
    Page(state, incident, next, "escalated-" + std::to_string(incident.pages()), now, out);
    return;
  }
  IncidentEdit edit(incident.id());
  edit.With(Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(0);
  edit.Entry("quell", "escalated", "nobody acknowledged, and there is nobody further to wake");
  out.Add(edit.Take());
}

// Nobody decided. The next in line hears of it at once, or the same again, as the policy has it.
void ApprovalExpired(const State& state, const Incident& incident, const std::string& policy, Micros now,
                     Outcome& out) {
  const v1::Policy* known = policy::FindPolicy(state.config, policy);
  const uint32_t next = known != nullptr && known->approval_then() == "page" ? 0 : 1;
  Page(state, incident, incident.escalation_step() + next, "escalated-" + std::to_string(incident.pages()),
       now, out);
}

// `again`: a host wants a signature more than these.
void AskedFor(const State& state, const Incident& incident, uint64_t number, std::optional<int> again,
              Micros now, Outcome& out) {
  std::string transition = "approval-" + std::to_string(number);
  if (again) transition += "-signed-" + std::to_string(*again);
  Page(state, incident, incident.escalation_step(), transition, now, out);
  Copies(state, incident, transition, now, out);
}

void GiveUp(const Incident& incident, const std::string& why, const std::string& entry, Outcome& out) {
  if (incident.given_up()) return;
  IncidentEdit edit(incident.id());
  edit.With(Incident::kGivenUpFieldNumber).set_given_up(true);
  edit.With(Incident::kGivenUpWhyFieldNumber).set_given_up_why(why);
  edit.Entry("quell", "given_up", entry);
  out.Add(edit.Take());
}

}  // namespace

Mode ModeOf(const State& state, const Incident& incident) {
  Mode mode;
  for (int i = 0; i < incident.signals_size() && i < kSignalsInNotice; ++i) {
    const v1::Signal* signal = FindOrNull(state.signals, incident.signals(i));
    if (signal == nullptr || signal->state() == v1::CLEARED) continue;
    const v1::Policy* policy = policy::Match(state.config, *signal);
    const Mode its = policy == nullptr ? BySeverity(incident.severity()) : ByPolicy(*policy, incident);
    if (Severer(its, mode)) mode = its;
  }
  if (incident.severity() == v1::P3) return {};
  if (incident.signals().empty()) return {v1::PAGE_AT_ONCE, 0};  // a person declared it
  return mode;
}

Outcome OnIncidentOpened(const State& state, const std::string& id, Micros now) {
  Outcome out;
  const Incident* incident = FindOrNull(state.incidents, id);
  if (incident == nullptr) return out;
  const Mode mode = ModeOf(state, *incident);
  if (mode.mode == v1::PAGE_AT_ONCE) {
    if (!Page(state, *incident, 0, "page", now, out)) NobodyToWake(*incident, out);
  } else if (mode.mode != v1::PAGE_MODE_UNSPECIFIED) {
    SchedulePage(*incident, now + mode.after, out);
  }
  Copies(state, *incident, "declared", now, out);
  return out;
}

Outcome OnIncidentChanged(const State& state, const v1::IncidentChanged& change, Micros now) {
  const Incident* incident = FindOrNull(state.incidents, change.incident());
  if (incident == nullptr) return {};
  if (Touches(change, Incident::kGivenUpFieldNumber) && incident->given_up())
    return GivenUp(state, *incident, now);
  if (Touches(change, Incident::kRelapsesFieldNumber)) return Relapsed(state, *incident, now);
  if (Touches(change, Incident::kStatusFieldNumber)) return StatusChanged(state, *incident, now);
  if (Touches(change, Incident::kSeverityFieldNumber) && !incident->paged() &&
      incident->acknowledged_us() == 0) {
    Outcome out;
    const Mode mode = ModeOf(state, *incident);
    if (mode.mode == v1::PAGE_AT_ONCE) {
      Page(state, *incident, 0, "page", now, out);
    } else if (mode.mode != v1::PAGE_MODE_UNSPECIFIED) {
      SchedulePage(*incident, now + mode.after, out);
    }
    return out;
  }
  return {};
}

Outcome OnDecision(const State& state, const v1::Decision& decision, Micros now) {
  Outcome out;
  const Incident* incident = FindOrNull(state.incidents, decision.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident) || incident->severity() == v1::P3) return out;
  if (decision.verdict() == "withhold") {
    if (!InHand(*incident) && !ToldOnce(*incident)) SchedulePage(*incident, now + GraceOf(*incident), out);
  } else if (decision.verdict() == "act" && incident->page_at_us() != 0 &&
             ModeOf(state, *incident).mode == v1::PAGE_ON_FAILURE) {
    IncidentEdit edit(incident->id());
    edit.With(Incident::kPageAtUsFieldNumber).set_page_at_us(0);
    out.Add(edit.Take());
  }
  return out;
}

Outcome OnCommand(const State& state, const v1::CommandEntry& command, Micros now) {
  Outcome out;
  const Incident* incident = FindOrNull(state.incidents, command.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident)) return out;
  if (command.state() == v1::AWAITING_APPROVAL) {
    std::optional<int> again;
    if (command.refusal() == v1::REFUSAL_APPROVAL) again = command.approvals_size();
    AskedFor(state, *incident, command.number(), again, now, out);
  } else if (command.state() == v1::EXPIRED && command.issued_us() == 0) {
    ApprovalExpired(state, *incident, command.policy(), now, out);
  } else if (command.state() == v1::COMMAND_UNKNOWN) {
    GiveUp(*incident, "nobody can say how " + command.target() + " on " + command.host() + " ended",
           "the outcome is unknown; it is not repeated", out);
  }
  return out;
}

Outcome OnPlan(const State& state, const v1::Plan& plan, Micros now) {
  Outcome out;
  const Incident* incident = FindOrNull(state.incidents, plan.incident());
  if (incident == nullptr || !incidents::IsOpen(*incident)) return out;
  if (plan.state() == v1::PLAN_AWAITING_APPROVAL) {
    std::optional<int> again;
    if (!plan.approved_by().empty()) again = plan.approvals_size();
    AskedFor(state, *incident, plan.number(), again, now, out);
  } else if (plan.state() == v1::PLAN_EXPIRED) {
    ApprovalExpired(state, *incident, plan.policy(), now, out);
  } else if (plan.state() == v1::PLAN_STOPPED && commands::Failed(state, plan)) {
    GiveUp(*incident, commands::What(plan) + " was stopped: " + plan.reason(),
           "a plan was stopped; a person goes on", out);
  }
  return out;
}

Outcome NotifyTest(const State& state, const v1::NotifyTest& act, const std::string& who, Micros now) {
  if (FindReceiver(state, act.receiver()) == nullptr) {
    return engine::Refuse(3, "there is no receiver " + act.receiver());
  }
  Outcome out;
  v1::Payload payload;
  v1::Notice* notice = payload.mutable_notice_queued()->mutable_notice();
  Text text = RenderTest(state, act.receiver(), who);
  notice->set_transition("test-" + std::to_string(state.seq));
  notice->set_key("test/" + act.receiver() + "/" + notice->transition());
  notice->set_incident("test");
  notice->set_receiver(act.receiver());
  notice->set_subject(std::move(text.subject));
  notice->set_text(std::move(text.text));
  notice->set_state(v1::QUEUED);
  notice->set_queued_us(now);
  notice->set_next_us(now);
  notice->set_severity(v1::P3);
  out.reply =
      engine::Reply{0, "a test notice to " + act.receiver() + " is on its way", "notice", notice->key()};
  out.Add(std::move(payload));
  return out;
}

Outcome DuePages(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.pages.Until(now)) {
    const Incident& incident = state.incidents.at(id);
    if (incident.page_at_us() != 0 && incident.page_at_us() <= now) {
      PageDue(state, incident, now, out);
    } else {
      AcknowledgementMissed(state, incident, now, out);
    }
  }
  return out;
}

Micros NextPage(const State& state) { return state.index.pages.next(); }

Micros PageAt(const Incident& incident) {
  if (!incidents::IsOpen(incident)) return 0;
  return engine::Earlier(incident.page_at_us(), incident.acknowledge_by_us());
}

}  // namespace quell::notify
