#include "controller/http/changes.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::http {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kPatience = absl::Seconds(3);  // within the connection's own five
constexpr size_t kLongestId = 64;

std::string Text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// The text of a member; "" when it isn't there.
absl::StatusOr<std::string> StringOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return std::string();
  if (!found->is_string()) return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" must be a text"));
  return found->get<std::string>();
}

absl::Status CheckKeys(const Json& json, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return absl::InvalidArgumentError("the body has a key that is none of those that are known here");
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> ParseBody(std::string_view body) {
  bool deep = false;
  const Json json = Json::parse(
      body.begin(), body.end(),
      [&](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > ChangeReceiver::kMostLevels;
        return !deep;
      },
      false);
  if (deep) return absl::InvalidArgumentError("the body is nested too deeply");
  if (json.is_discarded()) return absl::InvalidArgumentError("the body is not JSON");
  if (!json.is_object()) return absl::InvalidArgumentError("the body must be one JSON object");
  return json;
}

absl::Status FillStart(const Json& json, Micros now, v1::Change& change) {
  QUELL_RETURN_IF_ERROR(CheckKeys(json, {"change", "summary", "service", "for"}));
  QUELL_ASSIGN_OR_RETURN(*change.mutable_summary(), StringOf(json, "summary"));
  QUELL_ASSIGN_OR_RETURN(*change.mutable_service(), StringOf(json, "service"));
  QUELL_ASSIGN_OR_RETURN(const std::string length, StringOf(json, "for"));
  if (change.summary().empty())
    return absl::InvalidArgumentError("\"summary\" is missing: what is being changed");
  if (change.service().empty()) return absl::InvalidArgumentError("\"service\" is missing: what it changes");
  if (length.empty()) return absl::OkStatus();
  const auto duration = ParseDuration(length);
  if (!duration.ok() || *duration <= 0)
    return absl::InvalidArgumentError("\"for\" must be a time as in 15m or 1h30m");
  change.set_until_us(now + *duration);
  return absl::OkStatus();
}

absl::Status FillFinish(const Json& json, v1::ChangeFinish& finish) {
  QUELL_RETURN_IF_ERROR(CheckKeys(json, {"change", "service", "id", "failed"}));
  QUELL_ASSIGN_OR_RETURN(*finish.mutable_service(), StringOf(json, "service"));
  QUELL_ASSIGN_OR_RETURN(*finish.mutable_change(), StringOf(json, "id"));
  if (finish.change().size() > kLongestId) return absl::InvalidArgumentError("\"id\" is no change's id");
  const auto failed = json.find("failed");
  if (failed == json.end()) return absl::OkStatus();
  if (!failed->is_boolean()) return absl::InvalidArgumentError("\"failed\" must be true or false");
  finish.set_failed(failed->get<bool>());
  return absl::OkStatus();
}

absl::Status Fill(std::string_view body, Micros now, v1::PersonAct& act) {
  QUELL_ASSIGN_OR_RETURN(const Json json, ParseBody(body));
  QUELL_ASSIGN_OR_RETURN(const std::string change, StringOf(json, "change"));
  if (change == "start") return FillStart(json, now, *act.mutable_change_start());
  if (change == "finish") return FillFinish(json, *act.mutable_change_finish());
  return absl::InvalidArgumentError("\"change\" must be \"start\" or \"finish\"");
}

// A source that may speak of some services names one of them. A finish by id is checked by the engine: a
// source ends only what it began.
bool MaySpeakOf(const ChangeSource& source, const v1::PersonAct& act) {
  if (source.services.empty()) return true;
  const std::string& service =
      act.has_change_start() ? act.change_start().service() : act.change_finish().service();
  if (act.has_change_finish() && service.empty()) return true;
  return std::find(source.services.begin(), source.services.end(), service) != source.services.end();
}

int StatusOf(uint32_t exit, bool start) {
  switch (exit) {
    case 0:
      return start ? 201 : 200;
    case 3:
      return 404;
    case 4:
      return 403;
    default:
      return 409;
  }
}

}  // namespace

WebAnswer WebError(int status, std::string_view sentence) {
  return {status, Text(Json{{"error", std::string(sentence)}})};
}

ChangeReceiver::ChangeReceiver(Parts parts, std::vector<ChangeSource> sources)
    : parts_(std::move(parts)),
      refused_(parts_.metrics.AddCounter("quell_http_refused_writes_total",
                                         "Writes refused for their credential or their rate.")) {
  SetSources(std::move(sources));
}

void ChangeReceiver::SetSources(std::vector<ChangeSource> sources) {
  absl::MutexLock lock(&mutex_);
  sources_.clear();
  for (ChangeSource& source : sources) {
    std::string digest = Sha256("Bearer " + source.token.Reveal());
    sources_.push_back({std::move(source), std::move(digest), 0, 0});
  }
}

ChangeReceiver::Known* ChangeReceiver::Find(std::string_view authorization) {
  const std::string digest = Sha256(authorization);
  Known* found = nullptr;
  for (Known& known : sources_) {
    if (CRYPTO_memcmp(known.digest.data(), digest.data(), digest.size()) == 0) found = &known;
  }
  return found;
}

std::optional<WebAnswer> ChangeReceiver::Admit(std::string_view authorization) {
  absl::MutexLock lock(&mutex_);
  Known* known = Find(authorization);
  if (known == nullptr) {
    refused_.Add();
    return WebError(401, "this takes the token of a source in controller.yaml: Authorization: Bearer TOKEN");
  }
  if (!known->source.changes) {
    refused_.Add();
    return WebError(403, "this source may not tell of changes; controller.yaml would say changes: true");
  }
  const Micros now = parts_.clock.Monotonic();
  if (known->taken == 0 || now - known->since >= kMinute) known->since = now, known->taken = 0;
  if (known->taken >= known->source.per_minute) {
    refused_.Add();
    return WebError(429,
                    absl::StrCat("this source has told ", known->taken, " times within a minute already"));
  }
  ++known->taken;
  return std::nullopt;
}

WebAnswer ChangeReceiver::Take(std::string_view authorization, std::string_view body) {
  v1::PersonAct act;
  if (const absl::Status filled = Fill(body, parts_.now(), act); !filled.ok())
    return WebError(400, std::string(filled.message()));
  {
    absl::MutexLock lock(&mutex_);
    const Known* known = Find(authorization);
    if (known == nullptr) return WebError(401, "this source is no longer known");
    if (!MaySpeakOf(known->source, act))
      return WebError(403, "this source may not speak of that service; controller.yaml says of which");
    act.set_person(known->source.name);
  }
  act.set_via("source");
  return Submit(std::move(act));
}

WebAnswer ChangeReceiver::Submit(v1::PersonAct act) {
  const bool start = act.has_change_start();
  const auto answer = parts_.submit(std::move(act), kPatience);
  if (absl::IsDeadlineExceeded(answer.status()))
    return WebError(504, "no answer came in time; it may have been done all the same");
  if (!answer.ok()) return WebError(503, std::string(answer.status().message()));
  if (answer->exit != 0) return WebError(StatusOf(answer->exit, start), answer->message);
  return {StatusOf(0, start), Text(Json{{"id", answer->id}, {"message", answer->message}})};
}

}  // namespace quell::http
