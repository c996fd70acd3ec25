#include "controller/fleet/people.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"

namespace quell::fleet {
namespace {

using engine::FindOrNull;
using engine::Outcome;
using engine::Refuse;
using engine::State;

bool IsAdmin(const v1::Person& person) { return !person.revoked() && person.role() == "admin"; }

// Of "person:NAME"; nullptr: it is no person, or was never given a role.
const v1::Person* PersonOf(const State& state, std::string_view who) {
  constexpr std::string_view kPerson = "person:";
  return who.starts_with(kPerson) ? FindOrNull(state.people, std::string(who.substr(kPerson.size())))
                                  : nullptr;
}

// Whether `name` is the only admin, and somebody with a certificate asks.
bool IsLastAdmin(const State& state, const std::string& name, const v1::PersonAct& act) {
  if (act.break_glass()) return false;
  const v1::Person* person = FindOrNull(state.people, name);
  if (person == nullptr || !IsAdmin(*person)) return false;
  return std::count_if(state.people.begin(), state.people.end(),
                       [](const auto& entry) { return IsAdmin(entry.second); }) == 1;
}

Outcome Changed(v1::Person person, std::string message) {
  Outcome out;
  out.reply = engine::Reply{0, std::move(message), "person", person.name()};
  v1::Payload payload;
  *payload.mutable_person_changed()->mutable_person() = std::move(person);
  out.Add(std::move(payload));
  return out;
}

Outcome LastAdmin(const std::string& name) {
  return Refuse(5, name + " is the only admin: give somebody else the role admin first");
}

}  // namespace

bool IsRole(std::string_view role) {
  return role == "viewer" || role == "responder" || role == "approver" || role == "admin";
}

Outcome SetPerson(const State& state, const v1::PersonAct& act, const std::string& who, Micros now) {
  const std::string& name = act.person_set().name();
  const std::string& role = act.person_set().role();
  if (!IsPersonName(name)) return Refuse(1, "a person's name has 1 to 64 of a-z, 0-9 and -");
  if (name == "root") return Refuse(1, "root is who comes by the controller's own socket, and nobody else");
  if (!IsRole(role)) return Refuse(1, "a role is viewer, responder, approver or admin");
  const v1::Person* known = FindOrNull(state.people, name);
  if (known == nullptr && state.people.size() >= kMostPeople)
    return Refuse(1, absl::StrCat("there are ", kMostPeople, " people already"));
  if (known != nullptr && known->revoked() && known->since_us() + kRevokedNameRests > now)
    return Refuse(5, absl::StrCat(name, " was revoked at ", FormatRfc3339(known->since_us()),
                                  ", and a certificate that was made before may be good until ",
                                  FormatRfc3339(known->since_us() + kRevokedNameRests),
                                  ": until then they need another name"));
  if (known != nullptr && !known->revoked() && known->role() == role)
    return Refuse(1, name + " has the role " + role + " already");
  if (role != "admin" && IsLastAdmin(state, name, act)) return LastAdmin(name);
  v1::Person person;
  person.set_name(name);
  person.set_role(role);
  person.set_since_us(now);
  person.set_by(who);
  return Changed(std::move(person), name + " has the role " + role + " from now on");
}

Outcome RevokePerson(const State& state, const v1::PersonAct& act, const std::string& who, Micros now) {
  const std::string& name = act.person_revoke().name();
  const v1::Person* known = FindOrNull(state.people, name);
  if (known == nullptr) return Refuse(3, "there is nobody of the name " + name);
  if (known->revoked()) return Refuse(1, name + " is revoked already");
  if (IsLastAdmin(state, name, act)) return LastAdmin(name);
  v1::Person person = *known;
  person.set_revoked(true);
  person.set_since_us(now);
  person.set_by(who);
  return Changed(std::move(person), name + " may do nothing from now on, with whatever certificate");
}

bool IsRevoked(const State& state, std::string_view who) {
  const v1::Person* person = PersonOf(state, who);
  return person != nullptr && person->revoked();
}

bool StillCounts(const State& state, std::string_view who, std::string_view requested_by) {
  const v1::Person* person = PersonOf(state, who);
  if (person == nullptr) return true;
  if (person->revoked()) return false;
  return person->role() == "approver" || person->role() == "admin" ||
         (person->role() == "responder" && who == requested_by);
}

std::string WhyNoLonger(const State& state, const v1::PersonAct& act) {
  if (act.via() != "certificate") return "";
  const v1::Person* person = FindOrNull(state.people, act.person());
  if (person == nullptr || person->revoked()) return act.person() + " is revoked";
  if (person->role() != act.role())
    return act.person() + " has the role " + person->role() + " now; it was " + act.role() + " a moment ago";
  return "";
}

bool AnybodyHasARole(const State& state) {
  return std::any_of(state.people.begin(), state.people.end(),
                     [](const auto& entry) { return !entry.second.revoked(); });
}

}  // namespace quell::fleet
