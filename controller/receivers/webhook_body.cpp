#include "controller/receivers/webhook_body.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/time.h"

namespace quell::receivers {
namespace {

using Json = nlohmann::json;
constexpr int kMostAlerts = 100;
constexpr char kOpenEnd[] = "0001-01-01T00:00:00Z";  // Go's zero time: not ended

template <typename Labels>
std::map<std::string, std::string> ToMap(const Labels& labels) {
  std::map<std::string, std::string> map;
  for (const auto& label : labels) map[label.name()] = label.value();
  return map;
}

std::map<std::string, std::string> LabelsOf(const v1::Signal& signal) {
  auto labels = ToMap(signal.labels());
  labels["alertname"] = signal.alert();
  return labels;
}

// A signal's key ends in the hash of its labels.
std::string Fingerprint(const v1::Signal& signal) {
  const size_t slash = signal.key().rfind('/');
  return slash == std::string::npos ? signal.key() : signal.key().substr(slash + 1);
}

Json Alert(const v1::Signal& signal) {
  const bool resolved = signal.state() == v1::CLEARED;
  return {{"status", resolved ? "resolved" : "firing"},
          {"labels", LabelsOf(signal)},
          {"annotations", ToMap(signal.annotations())},
          {"startsAt",
           FormatRfc3339(signal.active_since_us() != 0 ? signal.active_since_us() : signal.fired_us())},
          {"endsAt", resolved ? FormatRfc3339(signal.cleared_us()) : kOpenEnd},
          {"generatorURL", ""},
          {"fingerprint", Fingerprint(signal)}};
}

void KeepCommon(std::map<std::string, std::string>& common, const std::map<std::string, std::string>& other) {
  for (auto it = common.begin(); it != common.end();) {
    const auto found = other.find(it->first);
    it = found != other.end() && found->second == it->second ? std::next(it) : common.erase(it);
  }
}

// What all alerts say alike.
template <typename Get>
std::map<std::string, std::string> Common(const v1::Notice& notice, const Get& get) {
  if (notice.signals().empty()) return {};
  auto common = get(notice.signals(0));
  for (const v1::Signal& signal : notice.signals()) KeepCommon(common, get(signal));
  return common;
}

std::string SeverityText(v1::Severity severity) {
  return severity == v1::SEVERITY_UNSPECIFIED ? "" : v1::Severity_Name(severity);
}

Json Ours(const v1::Notice& notice, std::string_view installation) {
  return {{"key", notice.key()},
          {"installation", std::string(installation)},
          {"incident", notice.incident()},
          {"transition", notice.transition()},
          {"severity", SeverityText(notice.severity())},
          {"page", notice.page()},
          {"resolved", notice.resolved()},
          {"may_repeat", notice.may_repeat()},
          {"subject", notice.subject()},
          {"text", notice.text()}};
}

}  // namespace

std::string WebhookBody(const v1::Notice& notice, std::string_view receiver, std::string_view installation) {
  Json alerts = Json::array();
  for (int i = 0; i < std::min(notice.signals_size(), kMostAlerts); ++i)
    alerts.push_back(Alert(notice.signals(i)));
  const Json body = {
      {"version", "4"},
      {"groupKey", "quell/" + notice.incident()},
      {"truncatedAlerts", std::max(notice.signals_size() - kMostAlerts, 0)},
      {"status", notice.resolved() ? "resolved" : "firing"},
      {"receiver", std::string(receiver)},
      {"groupLabels", {{"incident", notice.incident()}}},
      {"commonLabels", Common(notice, LabelsOf)},
      {"commonAnnotations", Common(notice, [](const v1::Signal& s) { return ToMap(s.annotations()); })},
      {"externalURL", ""},
      {"alerts", alerts},
      {"quell", Ours(notice, installation)}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quell::receivers
