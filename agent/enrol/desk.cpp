#include "agent/enrol/desk.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "agent/enrol/https.h"
#include "agent/link/address.h"
#include "common/base/status.h"
#include "common/security/issue.h"
#include "common/security/trust.h"

namespace quell::agent {
namespace {

using Json = nlohmann::json;

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

// The server is a controller of this installation, made out for the name that is dialled.
CheckServer ControllerAt(const std::string& host, const v1::TrustBundle& bundle, Micros wall_now) {
  return [host, &bundle, wall_now](const std::string& leaf) -> absl::Status {
    const auto check = [&]() -> absl::Status {
      QUELL_ASSIGN_OR_RETURN(const Peer peer, security::PeerFromCertificate(leaf, bundle, wall_now));
      QUELL_RETURN_IF_ERROR(security::IsAllowed(peer, "controller", bundle, wall_now));
      return security::CheckDialledName(leaf, host);
    };
    return Annotate(check(), "this host does not trust who answers there, and has sent nothing");
  };
}

// The controller's answer as JSON; its refusal as the status.
absl::StatusOr<Json> Ask(const HttpsRequest& request, const v1::TrustBundle& bundle, Micros wall_now) {
  QUELL_ASSIGN_OR_RETURN(const std::string host, HostOfAddress(request.address));
  QUELL_ASSIGN_OR_RETURN(const HttpsAnswer answer, Exchange(request, ControllerAt(host, bundle, wall_now)));
  Json json = Json::parse(answer.body, nullptr, false);
  if (!json.is_object())
    return absl::UnavailableError(
        absl::StrCat(request.address, " does not answer as an enrolment port does"));
  if (answer.status == 200) return json;
  const std::string why = absl::StrCat("the controller refuses: ", Text(json, "error"));
  if (answer.status == 503) return absl::UnavailableError(why);
  return answer.status == 400 ? absl::InvalidArgumentError(why) : absl::PermissionDeniedError(why);
}

// That the certificate is what was asked for: of this key, for an agent of this installation.
absl::StatusOr<Certified> Verified(const Json& json, const security::TlsKey& key,
                                   const v1::TrustBundle& bundle, Micros wall_now) {
  Certified certified{Text(json, "id"), Text(json, "name"), Text(json, "certificate")};
  const auto check = [&]() -> absl::Status {
    QUELL_RETURN_IF_ERROR(security::CheckPair(key.ToPem().Reveal(), certified.certificate_pem));
    QUELL_ASSIGN_OR_RETURN(const Peer self,
                           security::PeerFromCertificate(certified.certificate_pem, bundle, wall_now));
    if (self.role != "agent" || self.id != certified.id)
      return absl::PermissionDeniedError("it is made out for somebody else");
    certified.not_after = self.not_after;
    return absl::OkStatus();
  };
  QUELL_RETURN_IF_ERROR(Annotate(check(), "the certificate that the controller made cannot be used"));
  return certified;
}

}  // namespace

absl::StatusOr<FetchedTrust> FetchTrust(const std::string& address, const std::string& pin, Micros wall_now) {
  QUELL_RETURN_IF_ERROR(HostOfAddress(address).status());
  QUELL_ASSIGN_OR_RETURN(const HttpsAnswer answer, Exchange({.address = address, .path = "/v1/trust"}, {}));
  if (answer.status != 200)
    return absl::UnavailableError(absl::StrCat(address, " does not answer as an enrolment port does"));
  FetchedTrust fetched;
  auto bundle = security::OpenTrustBundle(answer.body, pin, wall_now);
  if (!bundle.ok()) return Annotate(bundle.status(), absl::StrCat("what ", address, " sends"));
  fetched.bundle = *std::move(bundle);
  fetched.signed_bytes = answer.body;
  return fetched;
}

absl::StatusOr<Certified> Redeem(const std::string& address, const security::JoinToken& token,
                                 const security::TlsKey& key, const std::string& wish,
                                 const v1::TrustBundle& bundle, Micros wall_now) {
  Json body = {{"token", security::EncodeTokenSecret(token.secret)},
               {"public_key", absl::Base64Escape(key.PublicDer())}};
  if (!wish.empty()) body["host"] = wish;
  QUELL_ASSIGN_OR_RETURN(
      const Json answer,
      Ask({.address = address, .path = "/v1/enrol", .json = body.dump()}, bundle, wall_now));
  return Verified(answer, key, bundle, wall_now);
}

absl::StatusOr<Certified> Recover(const std::string& address, const std::string& host_id,
                                  const security::TlsKey& key, const v1::TrustBundle& bundle,
                                  Micros wall_now) {
  QUELL_ASSIGN_OR_RETURN(const Json asked,
                         Ask({.address = address, .path = "/v1/challenge"}, bundle, wall_now));
  std::string challenge;
  if (!absl::Base64Unescape(Text(asked, "challenge"), &challenge))
    return absl::UnavailableError(absl::StrCat(address, " does not answer as an enrolment port does"));
  const std::string signature = key.Sign(security::kRecoverContext, host_id + challenge);
  const Json body = {{"id", host_id},
                     {"public_key", absl::Base64Escape(key.PublicDer())},
                     {"challenge", absl::Base64Escape(challenge)},
                     {"signature", absl::Base64Escape(signature)}};
  QUELL_ASSIGN_OR_RETURN(
      const Json answer,
      Ask({.address = address, .path = "/v1/recover", .json = body.dump()}, bundle, wall_now));
  QUELL_ASSIGN_OR_RETURN(Certified certified, Verified(answer, key, bundle, wall_now));
  if (certified.id != host_id)
    return absl::PermissionDeniedError("the controller took this host for another");
  return certified;
}

}  // namespace quell::agent
