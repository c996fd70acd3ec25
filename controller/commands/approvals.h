// What a person's approval comes to, of a command and of a plan alike, and when a host's refusal makes a
// command wait for one. Pure.
//
// The controller does not know what a host's sanctions ask for: the host says so by refusing. Then the
// command waits for a signature, with that reason, and goes out again once somebody other than who asked has
// signed. It goes back at most as often as there are signatures to come, and no sanction asks for more than
// two.
#pragma once
#include <optional>
#include <string>

#include "controller/engine/outcome.h"

namespace quell::commands {

inline constexpr int kMostSigned = 2;

// Something that waits for approval.
struct Asked {
  std::string name;          // "417.2"
  std::string requested_by;  // "policy:NAME" or "person:NAME"
  std::string intent;
  google::protobuf::RepeatedPtrField<v1::Approval> approvals;  // in force
  std::string host_wants;  // not empty: a host refused it without (more) signatures, and said so
};

// Without those of people who were revoked since, or may not approve any more.
google::protobuf::RepeatedPtrField<v1::Approval> InForce(
    const engine::State& state, const google::protobuf::RepeatedPtrField<v1::Approval>& approvals,
    std::string_view requested_by);

// Why this approval does not count, for who gave it; nullopt: it does.
std::optional<engine::Outcome> RefuseApproval(const Asked& asked, const v1::CommandAct& act,
                                              const std::string& who);
// Whether it goes on with this approval; otherwise it waits for somebody who did not ask for it.
bool GoesOn(const Asked& asked, const std::string& who);
// With the approval that came, if it is signed.
google::protobuf::RepeatedPtrField<v1::Approval> With(const Asked& asked, const v1::CommandAct& act);
// For people: "approved 417.2", or what is still missing.
std::string Said(const Asked& asked, const v1::CommandAct& act, const std::string& who);

// Whether a command that the host refused for want of approvals may wait for another one.
bool MayAsk(const v1::CommandEntry& command, v1::RefusalKind refusal);
// It waits again, for a signed approval; `reason` is the host's. Cancelled when what it was for is over.
engine::Outcome AskFor(const engine::State& state, const v1::CommandEntry& command, const std::string& reason,
                       Micros now);

}  // namespace quell::commands
