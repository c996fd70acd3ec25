#include "controller/changes/changes.h"

#include <algorithm>

#include "common/base/utf8.h"

namespace quell::changes {
namespace {

using engine::Outcome;
using engine::State;

constexpr std::string_view kPrefix = "change.";
constexpr size_t kLongestSummary = 500;

std::string_view Find(const google::protobuf::RepeatedPtrField<v1::Label>& labels, std::string_view name) {
  for (const v1::Label& label : labels) {
    if (label.name() == name) return label.value();
  }
  return "";
}

bool TooMany(const State& state, const std::string& host_id, Micros now) {
  size_t recent = 0;
  for (const auto& [id, change] : state.changes) {
    recent += change.host_id() == host_id && change.at_us() > now - kHour ? 1 : 0;
  }
  return recent >= kMostPerHost;
}

}  // namespace

Outcome OnAppEvent(const State& state, const v1::AppEvent& event, Micros now) {
  const std::string_view kind = event.kind();
  if (kind.substr(0, kPrefix.size()) != kPrefix || TooMany(state, event.host_id(), now)) return {};
  v1::Payload payload;
  v1::Change* change = payload.mutable_change_recorded()->mutable_change();
  change->set_id("CH-" + std::to_string(state.seq));  // the seq of the event's own record
  change->set_kind(std::string(kind.substr(kPrefix.size())));
  change->set_host_id(event.host_id());
  change->set_host(event.host());
  const std::string_view service = Find(event.labels(), "service");
  change->set_service(std::string(service.empty() ? Find(event.labels(), "app") : service));
  change->set_summary(std::string(CutUtf8(event.text(), kLongestSummary)));
  change->set_author(std::string(Find(event.labels(), "author")));
  change->set_at_us(event.at_us() <= 0 ? now : std::min(event.at_us(), now));
  change->set_by("agent");
  *change->mutable_labels() = event.labels();
  Outcome out;
  out.Add(std::move(payload));
  return out;
}

bool IsRunning(const v1::Change& change, Micros now) {
  return change.until_us() > now && change.finished_us() == 0;
}

const v1::Change* FindRunning(const State& state, const std::vector<std::string>& services, Micros now) {
  const v1::Change* found = nullptr;
  for (const auto& [id, change] : state.changes) {
    if (!IsRunning(change, now) || change.service().empty()) continue;
    if (std::find(services.begin(), services.end(), change.service()) == services.end()) continue;
    if (found == nullptr || change.until_us() > found->until_us()) found = &change;
  }
  return found;
}

std::string_view LabelOf(const v1::Change& change, std::string_view name) {
  return Find(change.labels(), name);
}

std::string Describe(const v1::Change& change) {
  std::string text = std::string(kPrefix) + change.kind();
  if (!change.host().empty()) text += " " + change.host();
  if (change.host().empty() && !change.service().empty()) text += " " + change.service();
  text += " " + change.summary();
  if (change.by() != "agent") text += " (" + change.id() + ")";
  return text;
}

}  // namespace quell::changes
