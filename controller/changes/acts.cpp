#include <algorithm>

#include "common/base/utf8.h"
#include "controller/changes/changes.h"

namespace quell::changes {
namespace {

using engine::Outcome;
using engine::Refuse;
using engine::State;

constexpr size_t kLongestSummary = 300;
constexpr size_t kLongestService = 128;

// Whether a host, a rule or a signal has ever named it: a slip of the pen would keep automation from nothing.
bool IsKnown(const State& state, const std::string& service) {
  for (const auto& [id, host] : state.hosts) {
    for (const std::string& app : host.apps()) {
      if (app == service || app.substr(app.find('/') + 1) == service) return true;
    }
  }
  for (const v1::AlertRule& alert : state.config.alerts()) {
    if (alert.service() == service) return true;
  }
  for (const auto& [key, signal] : state.signals) {
    for (const v1::Label& label : signal.labels()) {
      if (label.name() == "service" && label.value() == service) return true;
    }
  }
  return std::any_of(state.incidents.begin(), state.incidents.end(), [&](const auto& entry) {
    const auto& services = entry.second.services();
    return std::find(services.begin(), services.end(), service) != services.end();
  });
}

std::string WrongStart(const State& state, const v1::Change& asked, Micros now) {
  if (asked.summary().empty()) return "a change needs a title: what is being changed";
  if (asked.service().empty()) return "a change needs the service that it changes";
  if (asked.service().size() > kLongestService) return "that is too long for a service's name";
  if (asked.until_us() != 0 && asked.until_us() <= now) return "the change would have ended already";
  if (asked.until_us() > now + kLongest) {
    return "a change runs for " + FormatDuration(kLongest) + " at most; begin another one then";
  }
  const auto running = std::count_if(state.changes.begin(), state.changes.end(),
                                     [&](const auto& entry) { return IsRunning(entry.second, now); });
  if (static_cast<size_t>(running) >= kMostRunning) {
    return std::to_string(running) + " changes are under way already; finish some first";
  }
  return "";
}

bool MayFinish(const v1::Change& change, const std::string& who) {
  return who.compare(0, 3, "ci:") != 0 || change.by() == who;
}

// Those under way that `who` may finish, the newest first.
std::vector<const v1::Change*> Running(const State& state, const std::string& service, const std::string& who,
                                       Micros now) {
  std::vector<const v1::Change*> found;
  for (const auto& [id, change] : state.changes) {
    if (!IsRunning(change, now) || !MayFinish(change, who)) continue;
    if (service.empty() || change.service() == service) found.push_back(&change);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto* a, const auto* b) { return a->at_us() > b->at_us(); });
  return found;
}

Outcome End(const v1::Change& change, bool failed, Micros now, const std::string& more) {
  v1::Payload payload;
  v1::Change* ended = payload.mutable_change_recorded()->mutable_change();
  *ended = change;
  ended->set_finished_us(now);
  ended->set_failed(failed);
  Outcome out;
  out.reply =
      engine::Reply{0, (failed ? "failed: " : "finished: ") + Describe(change) + more, "change", change.id()};
  out.Add(std::move(payload));
  return out;
}

}  // namespace

Outcome Start(const State& state, const v1::Change& asked, const std::string& who, Micros now) {
  if (std::string wrong = WrongStart(state, asked, now); !wrong.empty()) return Refuse(1, std::move(wrong));
  v1::Payload payload;
  v1::Change* change = payload.mutable_change_recorded()->mutable_change();
  change->set_id("CH-" + std::to_string(state.seq));  // the seq of the act's own record
  change->set_kind("deploy");
  change->set_service(asked.service());
  change->set_summary(std::string(CutUtf8(asked.summary(), kLongestSummary)));
  change->set_author(who.substr(who.find(':') + 1));
  change->set_at_us(now);
  change->set_until_us(asked.until_us() == 0 ? now + kDefaultLength : asked.until_us());
  change->set_by(who);
  std::string message = change->id() + " is under way: no automation for " + change->service() + " until " +
                        FormatClock(change->until_us()) + " UTC";
  if (!IsKnown(state, change->service())) message += "; no host, rule or signal has named that service yet";
  Outcome out;
  out.reply = engine::Reply{0, std::move(message), "change", change->id()};
  out.Add(std::move(payload));
  return out;
}

Outcome Finish(const State& state, const v1::ChangeFinish& asked, const std::string& who, Micros now) {
  if (!asked.change().empty()) {
    const v1::Change* change = engine::FindOrNull(state.changes, asked.change());
    if (change == nullptr) return Refuse(3, "there is no change " + asked.change());
    if (!MayFinish(*change, who)) return Refuse(4, change->id() + " was begun by " + change->by());
    if (!IsRunning(*change, now)) return Refuse(1, change->id() + " is not under way");
    return End(*change, asked.failed(), now, "");
  }
  const auto running = Running(state, asked.service(), who, now);
  const std::string of = asked.service().empty() ? "" : " for " + asked.service();
  if (running.empty()) return Refuse(3, "no change is under way" + of);
  if (running.size() > 1 && asked.service().empty()) {
    return Refuse(1, std::to_string(running.size()) + " changes are under way: name one, or its service");
  }
  std::string more;
  if (running.size() > 1) more = "; " + running[1]->id() + " is still under way" + of;
  return End(*running[0], asked.failed(), now, more);
}

}  // namespace quell::changes
