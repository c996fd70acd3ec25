// The guards: each may stand between a policy and its act. Asked in order; the first that doesn't let pass
// decides, and its name and reason are recorded. Pure.
#pragma once
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/engine/state.h"

namespace quell::policy {

inline constexpr size_t kSmallGroup = 5;  // below it shares mean nothing: one target at a time

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
  uint32_t step = 0;  // of the policy
};

struct GuardRow {
  std::string_view name;
  Ruling (*rule)(const Question& question);
  bool of_plans =
      false;  // stands before a plan's proposal too; the others are about one target, or about asking
};
const std::vector<GuardRow>& Guards();

// What keeps anybody, a person too, from having this done on this host; "" when nothing does.
std::string HostWontAct(const v1::Host* host, const std::string& action);
// So many of the group's hosts are ill that the policy acts on none of them.
bool TooManyIll(const engine::State& state, const v1::Policy& policy, const std::string& group, Micros now);

// Commands of one group, the newest first: for (const v1::CommandEntry* command : OfGroup(state, group)).
// Looks each one up as it gets there, so that who stops early pays for no more; the state outlives it.
class OfGroup {
 public:
  using Ids = std::set<std::pair<Micros, std::string>>;
  class Iterator {
   public:
    Iterator(const engine::State& state, Ids::const_reverse_iterator at) : state_(state), at_(at) {}
    const v1::CommandEntry* operator*() const { return &state_.commands.at(at_->second); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const engine::State& state_;
    Ids::const_reverse_iterator at_;
  };
  OfGroup(const engine::State& state, const std::string& group)
      : state_(state), ids_(state.index.commands_of_group.Of(group)) {}
  Iterator begin() const { return {state_, ids_.rbegin()}; }
  Iterator end() const { return {state_, ids_.rend()}; }

 private:
  const engine::State& state_;
  const Ids& ids_;
};

}  // namespace quell::policy
