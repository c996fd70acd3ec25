#include "agent/executor/approvals.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/security/approval.h"

namespace quell::agent {
namespace {

std::string Different(const v1::Intent& intent, const v1::CommandBody& body) {
  if (intent.action().SerializeAsString() != body.action().SerializeAsString())
    return "its action, or a parameter of it";
  const auto& hosts = intent.host_ids();
  if (std::find(hosts.begin(), hosts.end(), body.host_id()) == hosts.end()) return "its hosts";
  if (intent.id() != body.id() && hosts.size() == 1) return "its id";
  if (intent.cause() != body.cause()) return "its cause";
  return intent.requested_by() == body.requested_by() ? "" : "who asked for it";
}

std::string WhoSigned(const Consent& consent) {
  if (consent.persons.empty()) {
    return consent.flaws.empty()
               ? "nobody has signed one: what is approved by the controller's own socket is not signed"
               : "none that came with the command counts";
  }
  if (consent.persons.count(consent.requester) > 0 && consent.persons.size() == 1)
    return absl::StrCat("only ", consent.requester, " has signed, who asked for it");
  return absl::StrCat("only ", absl::StrJoin(consent.persons, ", "), " has signed");
}

bool Suffices(ApprovalNeeded needed, const Consent& consent) {
  if (needed == ApprovalNeeded::kTwo) return consent.persons.size() >= 2;
  return consent.persons.size() > consent.persons.count(consent.requester);
}

}  // namespace

std::string CheckIntent(const v1::CommandBody& body, Micros wall_now) {
  if (body.intent().empty()) {
    return body.approvals().empty() ? "" : "the command carries approvals, and not what they approve";
  }
  const auto intent = security::ParseIntent(body.intent());
  if (!intent.ok()) return std::string(intent.status().message());
  const std::string different = Different(*intent, body);
  if (!different.empty()) {
    return absl::StrCat("what was approved is not what the command says: ", different, " is another");
  }
  if (intent->expires_us() <= wall_now) {
    return absl::StrCat("what was approved had to begin before ", FormatRfc3339(intent->expires_us()));
  }
  if (intent->expires_us() - wall_now > kLongestIntent)
    return "what was approved is good for more than two days";
  return "";
}

Consent ConsentOf(const v1::CommandBody& body, const v1::TrustBundle* trust, Micros wall_now) {
  Consent consent;
  consent.tried = body.dry_run();
  if (absl::StartsWith(body.requested_by(), "person:"))
    consent.requester = std::string(absl::StripPrefix(body.requested_by(), "person:"));
  if (trust == nullptr || body.intent().empty()) return consent;
  for (const v1::Approval& approval : body.approvals()) {
    const absl::Status held = security::VerifyApproval(approval, body.intent(), *trust, wall_now);
    if (held.ok()) {
      consent.persons.insert(approval.person());
    } else {
      consent.flaws.emplace_back(held.message());
    }
  }
  return consent;
}

ApprovalNeeded Strictest(const std::vector<SanctionEntry>& entries) {
  ApprovalNeeded needed = ApprovalNeeded::kNone;
  for (const SanctionEntry& entry : entries) needed = std::max(needed, entry.approval);
  return needed;
}

std::string ApprovalRefusal(const std::vector<SanctionEntry>& entries, const Consent& consent) {
  const ApprovalNeeded needed = Strictest(entries);
  if (needed == ApprovalNeeded::kNone || consent.tried || Suffices(needed, consent)) return "";
  const auto strictest = std::find_if(entries.begin(), entries.end(),
                                      [&](const SanctionEntry& entry) { return entry.approval == needed; });
  std::string why =
      absl::StrCat(strictest->where, " asks for approval: ", needed == ApprovalNeeded::kTwo ? "two" : "one",
                   ", and ", WhoSigned(consent));
  for (const std::string& flaw : consent.flaws) absl::StrAppend(&why, "; ", flaw);
  return why;
}

}  // namespace quell::agent
