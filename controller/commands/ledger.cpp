#include "controller/commands/ledger.h"

#include <algorithm>

#include "common/base/ids.h"
#include "common/base/utf8.h"
#include "controller/commands/approvals.h"
#include "controller/incidents/find.h"
#include "controller/policy/command.h"
#include "controller/policy/hold.h"

namespace quell::commands {
namespace {

using engine::CommandEdit;
using engine::FindOrNull;
using engine::Outcome;
using engine::State;
using Entry = v1::CommandEntry;

constexpr size_t kLongestText = 2000;  // of what could not be had

bool Before(v1::CommandState state) {  // no word from the executor yet
  return state == v1::ISSUED || state == v1::DELIVERED;
}

bool Over(v1::CommandState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::UNDONE;
}

Outcome One(CommandEdit& edit) {
  Outcome out;
  out.Add(edit.Take());
  return out;
}

// Asks the rim to hand it over again: the state goes back to issued.
Outcome SendAgain(const Entry& command, std::string why) {
  CommandEdit edit(command.id());
  edit.State(v1::ISSUED, std::move(why));
  edit.With(Entry::kRetryUsFieldNumber).set_retry_us(0);
  return One(edit);
}

Outcome Expire(const Entry& command, std::string why, Micros now) {
  CommandEdit edit(command.id());
  edit.State(v1::EXPIRED, std::move(why));
  edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
  return One(edit);
}

Outcome Unknown(const Entry& command, std::string why, Micros now) {
  CommandEdit edit(command.id());
  edit.State(v1::COMMAND_UNKNOWN, std::move(why));
  edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
  return One(edit);
}

// When it happened at the host: not before the command was issued, however wrong the host's clock is.
Micros TimeOf(const Entry& command, const v1::CommandReported& input, Micros now) {
  if (input.at_us() == 0) return now;
  return std::clamp(input.at_us(), std::min(command.issued_us(), now), now);
}

// After its start a host still refuses when the worker's last look says so; what was said before the start
// and comes late is no word about it. A duplicate that is refused has this outcome in the host's journal.
bool MayRefuse(const Entry& command, const v1::CommandReported& input, Micros now) {
  if (Before(command.state())) return true;
  if (command.state() != v1::RUNNING) return false;
  return input.report().refusal() == v1::REFUSAL_DUPLICATE ||
         (input.report().refusal() == v1::REFUSAL_CHECK &&
          TimeOf(command, input, now) > command.started_us());
}

Outcome Refused(const State& state, const Entry& command, const v1::CommandReported& input, Micros now) {
  const v1::CommandReport& report = input.report();
  if (!MayRefuse(command, input, now)) return {};
  if (report.refusal() == v1::REFUSAL_STALE_NONCE) {
    if (command.expires_us() > now && command.deliveries() < kMostDeliveries) {
      CommandEdit edit(command.id());
      edit.State(v1::ISSUED, "the nonce was stale");
      edit.With(Entry::kRetryUsFieldNumber).set_retry_us(now + kRetryDelivery);
      edit.With(Entry::kDeliveredUsFieldNumber).set_delivered_us(0);  // the host has it no more
      return One(edit);
    }
    return Expire(command, "no nonce that the host takes: " + report.reason(), now);
  }
  // A plan is approved as a whole.
  if (command.plan().empty() && MayAsk(command, report.refusal()))
    return AskFor(state, command, report.reason(), now);
  CommandEdit edit(command.id());
  edit.State(v1::REFUSED, report.reason());
  edit.With(Entry::kRefusalFieldNumber).set_refusal(report.refusal());
  if (!report.sessions().empty())
    *edit.With(Entry::kSessionsFieldNumber).mutable_sessions() = report.sessions();
  edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
  return One(edit);
}

void CopyReport(const v1::CommandReported& input, Micros finished, CommandEdit& edit) {
  const v1::CommandReport& report = input.report();
  edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(finished);
  if (!report.before().empty()) *edit.With(Entry::kBeforeFieldNumber).mutable_before() = report.before();
  if (!report.after().empty()) *edit.With(Entry::kAfterFieldNumber).mutable_after() = report.after();
  if (!report.sessions().empty())
    *edit.With(Entry::kSessionsFieldNumber).mutable_sessions() = report.sessions();
  if (report.has_release()) *edit.With(Entry::kReleaseFieldNumber).mutable_release() = report.release();
  if (report.evidence_ms() != 0)
    edit.With(Entry::kEvidenceMsFieldNumber).set_evidence_ms(report.evidence_ms());
}

Outcome Finished(const State& state, const Entry& command, const v1::CommandReported& input,
                 v1::CommandState to, Micros now) {
  CommandEdit edit(command.id());
  edit.State(to);
  edit.With(Entry::kReasonFieldNumber).set_reason(input.report().reason());
  CopyReport(input, TimeOf(command, input, now), edit);
  if (command.started_us() == 0)
    edit.With(Entry::kStartedUsFieldNumber).set_started_us(TimeOf(command, input, now));
  const v1::Signal* cause = FindOrNull(state.signals, command.signal());
  const bool helped = to == v1::SUCCEEDED && cause != nullptr && cause->state() == v1::CLEARED;
  if (helped) edit.With(Entry::kImprovedFieldNumber).set_improved(true);
  return One(edit);
}

Outcome Started(const Entry& command, const v1::CommandReported& input, Micros now) {
  if (Over(command.state()) || command.state() == v1::RUNNING) return {};
  CommandEdit edit(command.id());
  edit.State(v1::RUNNING);
  edit.With(Entry::kStartedUsFieldNumber).set_started_us(TimeOf(command, input, now));
  return One(edit);
}

// What could not be had of the evidence is listed, with the reason.
void TellMissing(const State& state, const Entry& command, const v1::CommandReported& input, Outcome& out) {
  if (input.evidence_missing().empty() || !state.incidents.contains(command.incident())) return;
  std::string text = "evidence of " + incidents::CommandName(state, command) + " that could not be had: ";
  for (int i = 0; i < input.evidence_missing_size(); ++i)
    text += (i == 0 ? "" : "; ") + input.evidence_missing(i);
  engine::IncidentEdit edit(command.incident());
  edit.Entry("quell", "evidence", std::string(CutUtf8(text, kLongestText)));
  out.Add(edit.Take());
}

v1::CommandState Target(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_STARTED:
      return v1::RUNNING;
    case v1::OUTCOME_SUCCEEDED:
    case v1::OUTCOME_DRY_RUN:
      return v1::SUCCEEDED;
    case v1::OUTCOME_FAILED:
      return v1::FAILED;
    case v1::OUTCOME_UNKNOWN:
      return v1::COMMAND_UNKNOWN;
    case v1::OUTCOME_CANCELLED:
      return v1::CANCELLED;
    case v1::OUTCOME_REFUSED:
      return v1::REFUSED;
    default:
      return v1::COMMAND_STATE_UNSPECIFIED;
  }
}

// Of one that is issued: whether a host may have it all the same. Either the rim has not said what became of
// it, or a stream of the host took it and ended (or may have: the process that would have said so was
// killed).
bool MayBeDelivered(const Entry& command) { return command.retry_us() == 0 || command.delivered_us() != 0; }

Outcome DueOne(const Entry& command, Micros now) {
  switch (command.state()) {
    case v1::AWAITING_APPROVAL:
      if (command.approval_expires_us() > now) return {};
      return Expire(command, "nobody approved it in time", now);
    case v1::ISSUED:
      if (command.expires_us() <= now && MayBeDelivered(command))
        return Unknown(command, "it may have reached the host, which said nothing about it", now);
      if (command.expires_us() <= now) return Expire(command, "it could not be delivered in time", now);
      if (command.retry_us() != 0 && command.retry_us() <= now) return SendAgain(command, command.reason());
      return {};
    case v1::DELIVERED:
      if (command.delivered_us() + kReportWithin > now) return {};
      return Unknown(command, "the host said nothing about it", now);
    case v1::RUNNING:
      if (command.started_us() + kReportWithin > now) return {};
      return Unknown(command, "it started, and the host never said how it ended", now);
    default:
      return {};
  }
}

}  // namespace

Micros DueAt(const Entry& command) {
  switch (command.state()) {
    case v1::AWAITING_APPROVAL:
      return command.approval_expires_us();
    case v1::ISSUED:
      return engine::Earlier(command.expires_us(), command.retry_us());
    case v1::DELIVERED:
      return command.delivered_us() + kReportWithin;
    case v1::RUNNING:
      return command.started_us() + kReportWithin;
    default:
      return 0;
  }
}

bool WantsSending(const Entry& command) { return command.state() == v1::ISSUED && command.retry_us() == 0; }

Outcome OnDelivered(const State& state, const v1::CommandDelivered& input, Micros now) {
  const Entry* command = FindOrNull(state.commands, input.command());
  if (command == nullptr || command->state() != v1::ISSUED) return {};
  CommandEdit edit(command->id());
  if (!input.handed_over()) {
    edit.With(Entry::kReasonFieldNumber).set_reason(input.why());
    edit.With(Entry::kRetryUsFieldNumber).set_retry_us(now + kRetryDelivery);
    return One(edit);
  }
  edit.State(v1::DELIVERED);
  edit.With(Entry::kDeliveredUsFieldNumber).set_delivered_us(now);
  edit.With(Entry::kDeliveriesFieldNumber).set_deliveries(command->deliveries() + 1);
  edit.With(Entry::kRetryUsFieldNumber).set_retry_us(0);
  return One(edit);
}

bool IsNews(const State& state, const v1::CommandReported& input) {
  const Entry* command = FindOrNull(state.commands, HexEncode(input.report().id()));
  if (command == nullptr || command->host_id() != input.host_id()) return false;
  return command->state() != Target(input.report().outcome()) && !Over(command->state());
}

Outcome OnReported(const State& state, const v1::CommandReported& input, Micros now) {
  const Entry* command = FindOrNull(state.commands, HexEncode(input.report().id()));
  // A host speaks about its own commands alone.
  if (command == nullptr || command->host_id() != input.host_id() || Over(command->state())) return {};
  Outcome out;
  if (!input.evidence_sha256().empty()) {
    CommandEdit edit(command->id());
    auto* list = edit.With(Entry::kEvidenceFieldNumber).mutable_evidence();
    *list = input.evidence_sha256();
    out.Add(edit.Take());
  }
  TellMissing(state, *command, input, out);
  const v1::CommandState target = Target(input.report().outcome());
  switch (target) {
    case v1::REFUSED:
      out.Add(Refused(state, *command, input, now));
      break;
    case v1::RUNNING:
      out.Add(Started(*command, input, now));
      break;
    case v1::SUCCEEDED:
    case v1::FAILED:
    case v1::COMMAND_UNKNOWN:
      out.Add(Finished(state, *command, input, target, now));
      break;
    case v1::CANCELLED:
      if (command->state() != v1::CANCELLED) {
        CommandEdit edit(command->id());
        edit.State(v1::CANCELLED, input.report().reason());
        edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
        out.Add(edit.Take());
      }
      break;
    default:
      break;
  }
  return out;
}

Outcome OnHostConnected(const State& state, const std::string& host_id, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.in_flight_of_host.Of(host_id)) {
    const Entry& command = state.commands.at(id);
    if (!Before(command.state()) || command.expires_us() <= now) continue;
    if (command.deliveries() >= kMostDeliveries) continue;
    out.Add(SendAgain(command, "the host is back"));
  }
  return out;
}

bool IsCalledBack(const Entry& command) {
  return command.state() == v1::CANCELLED && command.issued_us() != 0;
}

std::vector<std::string> ToCallBack(const State& state, const std::string& host_id, Micros now) {
  std::vector<std::string> ids;
  for (const std::string& id : state.index.called_back_of_host.Of(host_id)) {
    if (now < state.commands.at(id).finished_us() + kReportWithin) ids.push_back(id);
  }
  return ids;
}

Outcome OnControllerStarted(const State& state, Micros now) {
  Outcome out;
  for (const auto& [id, command] : state.commands) {
    // Killed between sending it and saying so, or before: nobody knows. It is sent again, under its id; what
    // this process then says of it is no word about the one before.
    if (WantsSending(command) && command.delivered_us() == 0) {
      CommandEdit edit(id);
      edit.With(Entry::kDeliveredUsFieldNumber).set_delivered_us(now);
      out.Add(edit.Take());
      continue;
    }
    if (command.state() != v1::DELIVERED || command.expires_us() <= now) continue;
    if (command.deliveries() < kMostDeliveries) out.Add(SendAgain(command, "the controller was started"));
  }
  return out;
}

Outcome OnHoldSet(const State& state, const v1::Hold& hold, Micros now) {
  Outcome out;
  for (const auto& [id, command] : state.commands) {
    if (!Before(command.state())) continue;
    if (!policy::Covers(state, hold, policy::IntendedBy(state, command))) continue;
    CommandEdit edit(id);
    edit.State(v1::CANCELLED, "on hold: " + hold.why());
    edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
    out.Add(edit.Take());
  }
  return out;
}

Outcome OnSignalCleared(const State& state, const v1::Signal& signal, Micros now) {
  Outcome out;
  if (!state.incidents.contains(signal.incident())) return out;
  for (const std::string& id : state.index.commands_of_signal.Of(signal.key())) {
    const Entry* command = FindOrNull(state.commands, id);
    if (command == nullptr || command->incident() != signal.incident()) continue;
    CommandEdit edit(id);
    const bool by_policy = command->requested_by().compare(0, 7, "policy:") == 0;
    if (command->state() == v1::AWAITING_APPROVAL) {
      edit.State(v1::CANCELLED, "its signal cleared before anybody approved");
    } else if (command->state() == v1::ISSUED && by_policy) {
      edit.State(v1::CANCELLED, "its signal cleared before it was handed over");
      edit.With(Entry::kFinishedUsFieldNumber).set_finished_us(now);
    } else if (command->state() == v1::SUCCEEDED && !command->improved() && !command->dry_run()) {
      edit.With(Entry::kImprovedFieldNumber).set_improved(true);
    } else {
      continue;
    }
    out.Add(edit.Take());
  }
  return out;
}

Outcome Due(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.commands.Until(now)) out.Add(DueOne(state.commands.at(id), now));
  return out;
}

Micros NextDue(const State& state) { return state.index.commands.next(); }

}  // namespace quell::commands
