// Where a signal stands in its policy's steps. Pure.
//
// A policy of several steps takes each once per firing of a signal, in order: the next one when the one
// before it ended without helping, or did not apply. The only step of a policy is taken again, as often as
// its guards allow.
#pragma once
#include <string>

#include "controller/engine/state.h"

namespace quell::policy {

// One try of a step for this firing: a command about the signal, or a plan that has its host among its
// targets.
struct Try {
  const v1::CommandEntry* command = nullptr;
  const v1::Plan* plan = nullptr;
  bool any() const { return command != nullptr || plan != nullptr; }
  uint64_t number() const;  // within the incident, in the order of their making
  Micros finished() const;  // 0: it has not
};

// The newest try in this firing of the signal, by whomever; and that of one step of a policy.
Try LastTry(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal);
Try LastTryOf(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
              const std::string& policy, uint32_t step);
// The newest decision on this signal by this policy, of all its steps; nullptr: none.
const v1::Decision* Newest(const engine::State& state, const std::string& signal, const std::string& policy);
// How often a person was asked for this step in this firing, and did not answer.
int Unanswered(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
               const std::string& policy, uint32_t step);
// Something is on its way for this signal: a command, a plan, or a question to the shards.
bool UnderWay(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal);

struct Standing {
  uint32_t step = 0;      // to be considered; the number of steps: none is left
  Micros since = 0;       // when the try before it ended: evidence has to be newer than that. 0: none before
  Micros settles_us = 0;  // not 0: the last one helped, by its own condition; the signal has time until then
  std::string why;        // what became of the try before it
};
Standing StandingOf(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
                    const v1::Policy& policy, Micros now);

enum class Applies { kYes, kNo, kUnknown };  // unknown: the shards have to be asked
struct Condition {
  Applies applies = Applies::kYes;
  std::string reason;  // of kNo
};
// The step's only_if, for this firing.
Condition OnlyIf(const engine::State& state, const v1::Incident& incident, const v1::Signal& signal,
                 const v1::Policy& policy, uint32_t step, Micros now);

// Watches that ask for a newer sample, and those that ask for a step's only_if.
inline constexpr char kConfirmPrefix[] = "confirm/";
inline constexpr char kOnlyIfPrefix[] = "onlyif/";
inline constexpr Micros kAnswerWithin = 45 * kSecond;  // three ticks of the default rules
bool IsConfirm(const std::string& watch);
std::string ConfirmedSignal(const std::string& watch);  // of such a one: the signal's key
bool IsOnlyIf(const std::string& watch);
std::string OnlyIfWatch(const std::string& signal, uint32_t step);
uint32_t StepOf(const std::string& only_if_watch);
std::string SignalOf(const std::string& only_if_watch);  // its key
// Narrowed to the signal's host; samples have to be newer than `newer_than`.
v1::Watch ConfirmWatch(const engine::State& state, const v1::Signal& signal, Micros newer_than, Micros now);
v1::Watch ConditionWatch(const engine::State& state, const v1::Signal& signal, const v1::PolicyStep& step,
                         uint32_t number, Micros newer_than, Micros now);

}  // namespace quell::policy
