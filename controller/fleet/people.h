// Who the people are, and what each may do: a role is a record, a certificate only says a name. Pure
// functions over a State; the engine writes down what they return.
//
// A name that was revoked gets no role again while a certificate that was made before may still be good: the
// controller does not see them made, so it could not tell an old one from a new one.
#pragma once
#include <string>
#include <string_view>

#include "common/base/time.h"
#include "controller/engine/outcome.h"

namespace quell::fleet {

inline constexpr Micros kRevokedNameRests = 30 * kDay;  // as long as a person's certificate can last
inline constexpr size_t kMostPeople = 10'000;           // revoked ones too

bool IsRole(std::string_view role);  // viewer, responder, approver, admin

// `act` is the whole act: who asks, how they came, and person_set or person_revoke. Whoever came by the
// controller's own socket may do either to anybody; an admin who came with a certificate may not leave the
// installation without an admin.
engine::Outcome SetPerson(const engine::State& state, const v1::PersonAct& act, const std::string& who,
                          Micros now);
engine::Outcome RevokePerson(const engine::State& state, const v1::PersonAct& act, const std::string& who,
                             Micros now);

// Whether what this person approved or signed still counts: they are not revoked, and still may approve, or
// (a responder) sign what they asked for themselves. Who was never given a role came by the controller's own
// socket. `who` and `requested_by` are "person:NAME".
bool IsRevoked(const engine::State& state, std::string_view who);
bool StillCounts(const engine::State& state, std::string_view who, std::string_view requested_by);

// Of an act by somebody who came with a certificate: why it is not theirs to do any more, though it was when
// they asked; "" when it is.
std::string WhyNoLonger(const engine::State& state, const v1::PersonAct& act);
// Somebody has a role: from then on whoever comes by the controller's own socket breaks the glass.
bool AnybodyHasARole(const engine::State& state);

}  // namespace quell::fleet
