#include "controller/fleet/enrolment.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/ids.h"

namespace quell::fleet {
namespace {

using engine::FindOrNull;
using engine::Outcome;
using engine::Refuse;
using engine::State;

constexpr size_t kHash = 32;

// As a label of a series may be; "" when it is right.
std::string WrongLabel(const std::string& name, const std::string& value) {
  const auto letter = [](char c) { return absl::ascii_isalnum(c) || c == '_'; };
  if (name.empty() || name.size() > kLongestLabel || absl::ascii_isdigit(name[0]) ||
      !std::all_of(name.begin(), name.end(), letter) || name.substr(0, 2) == "__")
    return "a label's name is made of letters, digits and _, and begins with no digit";
  if (name == "instance" || name == "job" || name == "alertname")
    return "the label " + name + " is set by quell itself";
  if (value.empty() || value.size() > kLongestLabel)
    return absl::StrCat("the label ", name, " needs a value of at most ", kLongestLabel, " bytes");
  return "";
}

template <typename Map>
std::string WrongLabels(const Map& labels) {
  if (labels.size() > kMostLabels) return absl::StrCat("a host has at most ", kMostLabels, " labels");
  for (const auto& [name, value] : labels)
    if (std::string wrong = WrongLabel(name, value); !wrong.empty()) return wrong;
  return "";
}

const v1::Host* NameInForce(const State& state, const std::string& name) {
  for (const auto& [id, host] : state.hosts)
    if (host.name() == name && InForce(host)) return &host;
  return nullptr;
}

size_t HostsInForce(const State& state) {
  return static_cast<size_t>(std::count_if(state.hosts.begin(), state.hosts.end(),
                                           [](const auto& entry) { return InForce(entry.second); }));
}

v1::Payload Changed(const v1::Host& host) {
  v1::Payload payload;
  *payload.mutable_host_changed()->mutable_host() = host;
  return payload;
}

// Nothing is expected of it any more.
v1::Host Out(const v1::Host& host, Micros now) {
  v1::Host out = host;
  out.set_revoked(true);
  if (out.revoked_us() == 0) out.set_revoked_us(now);
  out.set_liveness(v1::GONE);
  out.set_liveness_since_us(now);
  out.set_executor_connected(false);
  return out;
}

// What is left of a host for good.
v1::Host Tombstone(const v1::Host& host, Micros now) {
  v1::Host stone;
  stone.set_id(host.id());
  stone.set_name(host.name());
  stone.set_liveness(v1::GONE);
  stone.set_revoked(true);
  stone.set_revoked_us(host.revoked_us() == 0 ? now : host.revoked_us());
  stone.set_deleted(true);
  stone.set_key_sha256(host.key_sha256());
  stone.set_first_seen_us(host.first_seen_us());
  stone.set_seen_us(host.seen_us());
  stone.set_enrolled_us(host.enrolled_us());
  stone.set_token(host.token());
  return stone;
}

bool Good(const v1::JoinToken& token, Micros now) { return token.used_us() == 0 && token.expires_us() > now; }

// Why this token gives no certificate; "" when it does.
std::string WhyTokenNot(const v1::JoinToken* token, Micros now) {
  if (token == nullptr) return "there is no such token";
  if (token->used_us() != 0)
    return absl::StrCat("the token was used already, at ", FormatRfc3339(token->used_us()));
  if (token->expires_us() <= now)
    return absl::StrCat("the token expired at ", FormatRfc3339(token->expires_us()));
  return "";
}

// Why this host may not be what it asks to be; "" when it may.
std::string WhyHostNot(const State& state, const v1::JoinToken& token, const v1::HostEnrolled& request) {
  const v1::Host& host = request.host();
  if (!IsUuid(host.id()) || state.hosts.contains(host.id())) return "the id that was made is not a new one";
  if (host.name() != token.host()) return absl::StrCat("the token is for the host ", token.host());
  for (const auto& [id, other] : state.hosts)
    if (!other.key_sha256().empty() && other.key_sha256() == request.key_sha256())
      return absl::StrCat("its key is that of the host ", other.name(), " already");
  if (!token.replace() && NameInForce(state, token.host()) != nullptr)
    return absl::StrCat(token.host(),
                        " has an agent already; an admin may make a token that replaces it (--replace)");
  if (HostsInForce(state) >= kMostHosts) return absl::StrCat("there are ", kMostHosts, " hosts already");
  return "";
}

bool IsRepetition(const v1::JoinToken& token, const v1::HostEnrolled& request, Micros now) {
  return token.used_us() != 0 && token.key_sha256() == request.key_sha256() &&
         now - token.used_us() <= kRepeatWithin;
}

}  // namespace

const v1::Host* FindHost(const State& state, std::string_view name_or_id) {
  const v1::Host* revoked = nullptr;
  for (const auto& [id, host] : state.hosts) {
    if (host.deleted() || (id != name_or_id && host.name() != name_or_id)) continue;
    if (InForce(host)) return &host;
    revoked = &host;
  }
  return revoked;
}

Outcome MakeToken(const State& state, const v1::JoinToken& act, const std::string& who, Micros now) {
  if (!IsHostName(act.host()))
    return Refuse(1, "that is no host's name: lower-case letters, digits, . and -");
  if (std::string wrong = WrongLabels(act.labels()); !wrong.empty()) return Refuse(1, wrong);
  if (act.sha256().size() != kHash || state.tokens.contains(act.id()))
    return Refuse(1, "the token that was made is none");
  if (act.expires_us() < now + kShortestToken || act.expires_us() > now + kLongestToken)
    return Refuse(1, absl::StrCat("a token is good for ", FormatDuration(kShortestToken), " to ",
                                  FormatDuration(kLongestToken)));
  const auto good = std::count_if(state.tokens.begin(), state.tokens.end(),
                                  [now](const auto& entry) { return Good(entry.second, now); });
  if (static_cast<size_t>(good) >= kMostTokens)
    return Refuse(1, absl::StrCat(kMostTokens, " tokens wait to be used already"));
  if (!act.replace() && NameInForce(state, act.host()) != nullptr)
    return Refuse(5, act.host() + " has an agent already; --replace lets a new one take its place");
  v1::Payload payload;
  v1::JoinToken* token = payload.mutable_token_changed()->mutable_token();
  token->set_id(act.id());
  token->set_sha256(act.sha256());
  token->set_host(act.host());
  *token->mutable_labels() = act.labels();
  token->set_replace(act.replace());
  token->set_expires_us(act.expires_us());
  token->set_made_by(who);
  token->set_made_us(now);
  Outcome out;
  out.Add(std::move(payload));
  out.reply = engine::Reply{0,
                            absl::StrCat("token ", act.id(), " lets one host enrol as ", act.host(),
                                         " until ", FormatRfc3339(act.expires_us())),
                            "token", act.id()};
  return out;
}

Outcome RevokeToken(const State& state, const v1::TokenRevoke& act, Micros now) {
  const v1::JoinToken* token = FindOrNull(state.tokens, act.token());
  if (token == nullptr) return Refuse(3, "there is no token " + act.token());
  if (const std::string why = WhyTokenNot(token, now); !why.empty()) return Refuse(1, why);
  v1::Payload payload;
  *payload.mutable_token_changed()->mutable_token() = *token;
  payload.mutable_token_changed()->mutable_token()->set_expires_us(now);
  Outcome out;
  out.Add(std::move(payload));
  out.reply = engine::Reply{0, "token " + act.token() + " is worth nothing any more", "token", act.token()};
  return out;
}

Outcome RevokeAgent(const State& state, const v1::AgentAct& act, Micros now) {
  const v1::Host* host = FindHost(state, act.host());
  if (host == nullptr) return Refuse(3, "there is no host " + act.host());
  Outcome out;
  const bool in_force = InForce(*host);
  out.Add(Changed(in_force ? Out(*host, now) : Tombstone(*host, now)));
  const std::string done = in_force ? "revoked the agent of " : "deleted the host ";
  out.reply = engine::Reply{0, done + host->name(), "host", host->id()};
  return out;
}

Outcome LabelAgent(const State& state, const v1::AgentLabels& act) {
  const v1::Host* host = FindHost(state, act.host());
  if (host == nullptr) return Refuse(3, "there is no host " + act.host());
  if (!InForce(*host)) return Refuse(1, host->name() + " is revoked");
  if (host->enrolled_us() == 0)
    return Refuse(1, "the certificate of " + host->name() +
                         " was made by `pki`; its labels stand in controller.yaml (host_labels)");
  v1::Host changed = *host;
  for (const std::string& name : act.remove()) changed.mutable_labels()->erase(name);
  for (const auto& [name, value] : act.set()) (*changed.mutable_labels())[name] = value;
  if (std::string wrong = WrongLabels(changed.labels()); !wrong.empty()) return Refuse(1, wrong);
  Outcome out;
  out.Add(Changed(changed));
  out.reply = engine::Reply{0, "labelled " + host->name(), "host", host->id()};
  return out;
}

EnrolVerdict Enrol(const State& state, const v1::HostEnrolled& request, Micros now) {
  EnrolVerdict verdict;
  const v1::JoinToken* token = FindOrNull(state.tokens, request.token());
  const auto refuse = [&](std::string why) {
    verdict.reply = engine::Reply{4, std::move(why), "", ""};
    return verdict;
  };
  if (request.key_sha256().size() != kHash || request.certificate().empty())
    return refuse("what was to be recorded is not whole");
  if (token != nullptr && IsRepetition(*token, request, now)) {
    verdict.reply = engine::Reply{0, "the same certificate again", "token", token->id()};
    return verdict;
  }
  if (std::string why = WhyTokenNot(token, now); !why.empty()) return refuse(std::move(why));
  if (std::string why = WhyHostNot(state, *token, request); !why.empty()) return refuse(std::move(why));
  verdict.accepted = true;
  for (const auto& [id, host] : state.hosts)
    if (host.name() == token->host() && !host.deleted()) verdict.after.Add(Changed(Tombstone(host, now)));
  verdict.reply = engine::Reply{0, "enrolled " + token->host(), "token", token->id()};
  return verdict;
}

bool MayRenew(const State& state, const std::string& host_id) {
  const v1::Host* host = FindOrNull(state.hosts, host_id);
  return host != nullptr && InForce(*host);
}

}  // namespace quell::fleet
