// What people approved: whether the intent that a command carries is this very command, who signed it, and
// whether that is what the host's sanctions ask for. Pure.
//
// Times are wall time: certificates and intents have no other, and the nonce's thirty seconds of boot time
// bound the command itself.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "agent/executor/sanctions.h"
#include "common/base/time.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/trust.pb.h"

namespace quell::agent {

// An intent is remembered in the journal until it expires, and longer than this nothing is.
inline constexpr Micros kLongestIntent = 2 * kDay;

// Why the intent is not this command's: another action or parameter, not for this host, another cause or
// requester, expired, or not readable to the last bit. "" when it is, or when the command carries neither
// intent nor approvals.
std::string CheckIntent(const v1::CommandBody& body, Micros wall_now);

// Of the approvals that a command carries, those that hold.
struct Consent {
  std::set<std::string> persons;   // each once, whatever number of certificates they have
  std::string requester;           // a person's name; "": a policy asked
  std::vector<std::string> flaws;  // of approvals that do not count, a sentence each
  bool tried = false;              // a dry run: nothing will be done, so nobody has to approve it
};
Consent ConsentOf(const v1::CommandBody& body, const v1::TrustBundle* trust, Micros wall_now);

// The most that an entry asks for.
ApprovalNeeded Strictest(const std::vector<SanctionEntry>& entries);
// What is missing of what the entries ask for; "" when nothing is. `one` is a person who didn't ask. `two`
// are two persons: the requester and another, or two when a policy asked.
std::string ApprovalRefusal(const std::vector<SanctionEntry>& entries, const Consent& consent);

}  // namespace quell::agent
