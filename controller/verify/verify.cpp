#include "controller/verify/verify.h"

#include "controller/incidents/find.h"

namespace quell::verify {
namespace {

using engine::CommandEdit;
using engine::FindOrNull;
using engine::Outcome;
using engine::State;
using Entry = v1::CommandEntry;

constexpr char kPrefix[] = "verify/";

// After a hold's end, for the sample that shows that the condition stayed: four rounds of the slowest
// collector, as it is set up by default.
constexpr Micros kSeenWithin = kMinute;

bool Verifying(const Entry& command) {
  return command.verification() == v1::VERIFYING || command.verification() == v1::HOLDING;
}

Micros HoldEnd(const Entry& command) { return command.holding_since_us() + command.verify().hold_us(); }

// Since when samples show that it stayed: the watch has been set anew for those. 0: the hold is not over yet.
Micros AskedSince(const State& state, const Entry& command) {
  const v1::Watch* watch = FindOrNull(state.watches, command.watch());
  const bool asked = watch != nullptr && watch->newer_than_us() >= HoldEnd(command);
  return asked ? watch->newer_than_us() : 0;
}

void End(const Entry& command, Outcome& out) {
  v1::Payload payload;
  payload.mutable_watch_ended()->set_watch(command.watch());
  out.Add(std::move(payload));
}

Outcome Verified(const Entry& command) {
  Outcome out;
  CommandEdit edit(command.id());
  edit.With(Entry::kVerificationFieldNumber).set_verification(v1::VERIFIED);
  edit.With(Entry::kImprovedFieldNumber).set_improved(true);
  out.Add(edit.Take());
  End(command, out);
  return out;
}

Outcome NotVerified(const Entry& command, std::string why) {
  Outcome out;
  CommandEdit edit(command.id());
  edit.With(Entry::kVerificationFieldNumber).set_verification(v1::NOT_VERIFIED);
  edit.With(Entry::kReasonFieldNumber).set_reason(std::move(why));
  out.Add(edit.Take());
  End(command, out);
  return out;
}

Outcome Holding(const Entry& command, Micros now) {
  Outcome out;
  CommandEdit edit(command.id());
  edit.With(Entry::kVerificationFieldNumber).set_verification(v1::HOLDING);
  edit.With(Entry::kHoldingSinceUsFieldNumber).set_holding_since_us(now);
  out.Add(edit.Take());
  return out;
}

// It did not stay, or nothing showed that it did.
Outcome NotHeld(const Entry& command, std::string why, Micros now) {
  if (now >= command.verify_by_us()) return NotVerified(command, std::move(why));
  Outcome out;
  CommandEdit edit(command.id());
  edit.With(Entry::kVerificationFieldNumber).set_verification(v1::VERIFYING);
  edit.With(Entry::kHoldingSinceUsFieldNumber).set_holding_since_us(0);
  out.Add(edit.Take());
  return out;
}

v1::Watch MakeWatch(const State& state, const Entry& command, Micros now) {
  v1::Watch watch;
  watch.set_id(kPrefix + command.id());
  watch.set_newer_than_us(command.finished_us());
  watch.set_until_us(now + command.verify().within_us() + command.verify().hold_us() + kMinute);
  if (!command.verify().fleet()) {
    watch.set_host_id(command.host_id());
    watch.set_host(command.host());
  }
  if (!command.verify().cleared()) {
    watch.set_expr(command.verify().expr());
    if (command.user().empty()) return watch;
    v1::Label* user = watch.add_labels();  // another user's series on the same host say nothing about it
    user->set_name("user");
    user->set_value(command.user());
    return watch;
  }
  watch.set_signal_key(command.signal());
  if (const v1::Signal* signal = FindOrNull(state.signals, command.signal())) {
    watch.set_alert(signal->alert());
    *watch.mutable_labels() = signal->labels();
    // A rule over many hosts is evaluated over them all, but the signal it yields is the target's own.
    if (signal->host_id().empty()) watch.clear_host_id();
  }
  return watch;
}

// Values alone tell of changes: a collector that hangs after a good sample leaves it true for minutes.
Outcome AskForTheEnd(const State& state, const Entry& command, Micros now) {
  v1::Payload set;
  *set.mutable_watch_set()->mutable_watch() = MakeWatch(state, command, now);
  set.mutable_watch_set()->mutable_watch()->set_newer_than_us(HoldEnd(command));
  Outcome out;
  out.Add(std::move(set));
  return out;
}

Outcome CameTrue(const State& state, const Entry& command, const v1::WatchEdge& edge, Micros now) {
  // What was seen before the outcome says nothing about it.
  if (edge.sample_us() != 0 && edge.sample_us() < command.finished_us()) return {};
  if (command.verification() == v1::VERIFYING)
    return command.verify().hold_us() == 0 ? Verified(command) : Holding(command, now);
  const Micros since = AskedSince(state, command);
  return since != 0 && edge.sample_us() >= since ? Verified(command) : Outcome{};
}

}  // namespace

Outcome OnSucceeded(const State& state, const Entry& command, Micros now) {
  Outcome out;
  if (command.dry_run() || !command.has_verify() ||
      command.verification() != v1::VERIFICATION_STATE_UNSPECIFIED) {
    return out;
  }
  if (command.verify().cleared() && command.signal().empty()) return out;
  v1::Payload set;
  *set.mutable_watch_set()->mutable_watch() = MakeWatch(state, command, now);
  CommandEdit edit(command.id());
  edit.With(Entry::kVerificationFieldNumber).set_verification(v1::VERIFYING);
  edit.With(Entry::kVerifyByUsFieldNumber).set_verify_by_us(now + command.verify().within_us());
  edit.With(Entry::kWatchFieldNumber).set_watch(set.watch_set().watch().id());
  out.Add(edit.Take());
  out.Add(std::move(set));
  return out;
}

Outcome OnWatchEdge(const State& state, const v1::WatchEdge& edge, Micros now) {
  const Entry* command = FindOrNull(state.commands, CommandOf(edge.watch()));
  if (command == nullptr || !Verifying(*command)) return {};
  if (edge.value() == v1::WatchEdge::TRUE) return CameTrue(state, *command, edge, now);
  if (command->verification() != v1::HOLDING) return {};
  const bool awaited = edge.value() == v1::WatchEdge::NO_DATA && AskedSince(state, *command) != 0;
  return awaited ? Outcome{} : NotHeld(*command, "it came true, and did not stay", now);
}

Outcome OnControllerStarted(const State& state, Micros now) {
  Outcome out;
  for (const auto& [id, command] : state.commands) {
    if (!Verifying(command)) continue;
    CommandEdit edit(id);
    edit.With(Entry::kVerificationFieldNumber).set_verification(v1::VERIFYING);
    edit.With(Entry::kHoldingSinceUsFieldNumber).set_holding_since_us(0);
    edit.With(Entry::kVerifyByUsFieldNumber).set_verify_by_us(now + command.verify().within_us());
    out.Add(edit.Take());
    v1::Payload set;
    *set.mutable_watch_set()->mutable_watch() = MakeWatch(state, command, now);
    out.Add(std::move(set));
  }
  return out;
}

Outcome Due(const State& state, Micros now) {
  Outcome out;
  for (const std::string& id : state.index.verifications.Until(now)) {
    const Entry& command = state.commands.at(id);
    if (command.verification() == v1::HOLDING && AskedSince(state, command) == 0) {
      out.Add(AskForTheEnd(state, command, now));
    } else if (command.verification() == v1::HOLDING) {
      out.Add(NotHeld(command, "it came true, and no newer sample showed that it stayed", now));
    } else {
      out.Add(NotVerified(
          command, "its condition did not come true within " + FormatDuration(command.verify().within_us())));
    }
  }
  return out;
}

std::string CommandOf(const std::string& watch) {
  return watch.compare(0, sizeof kPrefix - 1, kPrefix) == 0 ? watch.substr(sizeof kPrefix - 1) : "";
}

Micros NextDue(const State& state) { return state.index.verifications.next(); }

Micros DueAt(const State& state, const Entry& command) {
  if (command.verification() == v1::HOLDING)
    return HoldEnd(command) + (AskedSince(state, command) == 0 ? 0 : kSeenWithin);
  return command.verification() == v1::VERIFYING ? command.verify_by_us() : 0;
}

}  // namespace quell::verify
