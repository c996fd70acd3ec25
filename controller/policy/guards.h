// The guards: each may stand between a policy and its act. Asked in order; the first that doesn't let pass
// decides, and its name and reason are recorded. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "controller/engine/state.h"

namespace quell::policy {

inline constexpr char kConfirmPrefix[] = "confirm/";  // of the watches that ask for a newer sample

enum class Verdict {
  kPass,
  kAsk,       // a person has to agree first
  kWait,      // not now; looked at again by itself
  kConfirm,   // the evidence is too old: a newer sample is asked for
  kWithhold,  // not while things stand as they do
  kGiveUp     // automation ends here for this incident
};

struct Ruling {
  Verdict verdict = Verdict::kPass;
  std::string reason;
  Micros retry = 0;  // of kWait: when time alone may change it; 0: something else does
};

struct Question {
  const engine::State& state;
  const v1::Incident& incident;
  const v1::Signal& signal;
  const v1::Policy& policy;
  const v1::Host* host;  // nullptr: the signal names none that is known
  const v1::Action& action;
  std::string group;
  Micros now;
};

struct GuardRow {
  std::string_view name;
  Ruling (*rule)(const Question& question);
};
const std::vector<GuardRow>& Guards();

// What keeps anybody, a person too, from having this done on this host; "" when nothing does.
std::string HostWontAct(const v1::Host* host, const std::string& action);
// Commands of this group, the newest first.
std::vector<const v1::CommandEntry*> OfGroup(const engine::State& state, const std::string& group);

}  // namespace quell::policy
