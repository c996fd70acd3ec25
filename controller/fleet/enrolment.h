// Who belongs to the fleet: tokens, enrolment, labels, revocation. Pure functions over a State; the engine
// writes down what they return. Secrets and keys come in as hashes alone.
//
// At most one host of a name is in force. One that is revoked may not speak any more; one that is deleted is
// a tombstone besides: lists leave it out, its name may be given anew, its id never comes back.
#pragma once
#include <string>
#include <string_view>

#include "common/base/time.h"
#include "controller/engine/outcome.h"

namespace quell::fleet {

inline constexpr Micros kShortestToken = kMinute;
inline constexpr Micros kLongestToken = kDay;
inline constexpr Micros kRepeatWithin = kHour;  // a lost reply is given again so long
inline constexpr size_t kMostTokens = 1'000;    // that are neither used nor expired
inline constexpr size_t kMostHosts = 20'000;    // in force
inline constexpr size_t kMostLabels = 32;
inline constexpr size_t kLongestLabel = 256;  // bytes of a value

inline bool InForce(const v1::Host& host) { return !host.revoked() && !host.deleted(); }
// By id, or by name: the one in force, else the one that is revoked. Never a tombstone.
const v1::Host* FindHost(const engine::State& state, std::string_view name_or_id);

// ---- what people ask
engine::Outcome MakeToken(const engine::State& state, const v1::JoinToken& act, const std::string& who,
                          Micros now);
engine::Outcome RevokeToken(const engine::State& state, const v1::TokenRevoke& act, Micros now);
// One step further out: a host in force is revoked, a revoked one is deleted.
engine::Outcome RevokeAgent(const engine::State& state, const v1::AgentAct& act, Micros now);
// Of hosts that enrolled; the labels of others stand in controller.yaml.
engine::Outcome LabelAgent(const engine::State& state, const v1::AgentLabels& act);

// ---- what hosts ask
struct EnrolVerdict {
  bool accepted = false;  // HostEnrolled is to be written, and `after` behind it
  engine::Outcome after;
  engine::Reply reply;  // exit 0: the token (kind, id) says which certificate is the host's; else why not
};
EnrolVerdict Enrol(const engine::State& state, const v1::HostEnrolled& request, Micros now);
bool MayRenew(const engine::State& state, const std::string& host_id);

}  // namespace quell::fleet
