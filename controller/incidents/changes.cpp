#include "controller/incidents/changes.h"

#include <algorithm>
#include <tuple>

#include "controller/changes/changes.h"
#include "controller/incidents/find.h"
#include "controller/signals/correlation.h"

namespace quell::incidents {
namespace {

using engine::FindOrNull;
using engine::IncidentEdit;
using engine::Outcome;
using engine::State;

constexpr int kMostTold = 10;  // at once, in the timeline; the list has them all

bool Holds(const google::protobuf::RepeatedPtrField<std::string>& list, const std::string& value) {
  return !value.empty() && std::find(list.begin(), list.end(), value) != list.end();
}

// The signal is about the change's service or app.
bool OfService(const v1::Signal& signal, const v1::Change& change) {
  const std::string_view theirs = signals::LabelOf(signal, "app");
  if (!change.service().empty() &&
      (theirs == change.service() || signals::LabelOf(signal, "service") == change.service()))
    return true;
  const std::string_view app = changes::LabelOf(change, "app"), user = changes::LabelOf(change, "user");
  return !app.empty() && theirs == app && (user.empty() || signals::LabelOf(signal, "user") == user);
}

bool SameService(const State& state, const v1::Incident& incident, const v1::Change& change) {
  if (Holds(incident.services(), change.service())) return true;
  return std::any_of(incident.signals().begin(), incident.signals().end(), [&](const std::string& key) {
    const v1::Signal* signal = FindOrNull(state.signals, key);
    return signal != nullptr && OfService(*signal, change);
  });
}

bool InTime(const v1::Incident& incident, const v1::Change& change) {
  return change.at_us() >= incident.started_us() - kChangesBefore;
}

bool IsAbout(const State& state, const v1::Incident& incident, const v1::Change& change) {
  return InTime(incident, change) &&
         (Holds(incident.hosts(), change.host()) || SameService(state, incident, change));
}

// What speaks for a change as the cause; higher is likelier. Of one app's own before another's on the host, a
// release before a package, a later one before an earlier one.
using Weight = std::tuple<bool, int, bool, Micros>;
Weight WeightOf(const State& state, const v1::Incident& incident, const v1::Change& change) {
  static constexpr std::string_view kKinds[] = {"package", "config", "git", "deploy", "release"};
  const auto* kind = std::find(std::begin(kKinds), std::end(kKinds), change.kind());
  const int rank = kind == std::end(kKinds) ? -1 : static_cast<int>(kind - std::begin(kKinds));
  return {SameService(state, incident, change), rank, Holds(incident.hosts(), change.host()), change.at_us()};
}

bool MayBeCause(const v1::Incident& incident, const v1::Change& change) {
  return change.at_us() <= incident.started_us() && change.at_us() >= incident.started_us() - kCauseBefore;
}

std::string CauseText(const v1::Incident& incident, const v1::Change& change) {
  return changes::Describe(change) + ", " + FormatAge(incident.started_us() - change.at_us()) + " before";
}

// The likeliest of the incident's changes, unless something that knows more has named a cause.
void NameCause(const State& state, const v1::Incident& incident, const std::vector<const v1::Change*>& news,
               IncidentEdit& edit) {
  const std::string& named = incident.probable_cause();
  if (!named.empty() && named.compare(0, 7, "change.") != 0) return;
  const v1::Change* best = nullptr;
  const auto consider = [&](const v1::Change* change) {
    if (change == nullptr || !MayBeCause(incident, *change)) return;
    if (best == nullptr || WeightOf(state, incident, *change) > WeightOf(state, incident, *best))
      best = change;
  };
  for (const std::string& id : incident.changes()) consider(FindOrNull(state.changes, id));
  for (const v1::Change* change : news) consider(change);
  if (best == nullptr) return;
  std::string text = CauseText(incident, *best);
  if (text == named) return;
  edit.Entry("quell", "cause", "probable cause: " + text);
  edit.With(v1::Incident::kProbableCauseFieldNumber).set_probable_cause(std::move(text));
}

std::string When(const v1::Incident& incident, const v1::Change& change) {
  const Micros before = incident.started_us() - change.at_us();
  return before >= 0 ? FormatAge(before) + " before the start" : FormatAge(-before) + " after the start";
}

// Oldest first.
void Link(const State& state, const v1::Incident& incident, std::vector<const v1::Change*> news,
          Outcome& out) {
  std::stable_sort(news.begin(), news.end(),
                   [](const auto* a, const auto* b) { return a->at_us() < b->at_us(); });
  const int room = std::max(0, kMostChanges - incident.changes_size());
  if (static_cast<int>(news.size()) > room) news.erase(news.begin(), news.end() - room);  // the nearest stay
  if (news.empty()) return;
  IncidentEdit edit(incident.id());
  auto* ids = edit.With(v1::Incident::kChangesFieldNumber).mutable_changes();
  *ids = incident.changes();
  const int told = std::min(static_cast<int>(news.size()), kMostTold);
  for (size_t i = 0; i < news.size(); ++i) {
    *ids->Add() = news[i]->id();
    if (static_cast<int>(news.size() - i) > told) continue;
    const std::string& author = news[i]->author();
    edit.Entry("quell", "change",
               changes::Describe(*news[i]) + (author.empty() ? "" : " by " + author) + ", " +
                   When(incident, *news[i]));
  }
  NameCause(state, incident, news, edit);
  out.Add(edit.Take());
}

}  // namespace

Outcome AddChanges(const State& state, const v1::Incident& opened) {
  Outcome out;
  std::vector<const v1::Change*> news;
  for (const auto& [id, change] : state.changes) {
    if (IsAbout(state, opened, change)) news.push_back(&change);
  }
  Link(state, opened, std::move(news), out);
  return out;
}

Outcome AddChangesOf(const State& state, const std::string& id,
                     const google::protobuf::RepeatedPtrField<std::string>& signals) {
  Outcome out;
  const v1::Incident* incident = FindOrNull(state.incidents, id);
  if (incident == nullptr || !IsOpen(*incident) || incident->changes_size() >= kMostChanges) return out;
  std::vector<const v1::Change*> news;
  for (const auto& [change_id, change] : state.changes) {
    const bool about = InTime(*incident, change) &&
                       std::any_of(signals.begin(), signals.end(), [&, &of = change](const std::string& key) {
                         const v1::Signal* signal = FindOrNull(state.signals, key);
                         if (signal == nullptr) return false;
                         const bool host =
                             !of.host().empty() && signals::LabelOf(*signal, "instance") == of.host();
                         return host || OfService(*signal, of);
                       });
    if (about && !Holds(incident->changes(), change_id)) news.push_back(&change);
  }
  Link(state, *incident, std::move(news), out);
  return out;
}

Outcome OnChange(const State& state, const v1::Change& change) {
  Outcome out;
  for (const auto& [id, incident] : state.incidents) {
    if (!IsOpen(incident)) continue;
    if (Holds(incident.changes(), change.id())) {
      if (change.finished_us() == 0) continue;
      IncidentEdit edit(id);
      edit.Entry(change.by(), "change",
                 changes::Describe(change) + (change.failed() ? " failed" : " is finished"));
      out.Add(edit.Take());
    } else if (incident.changes_size() < kMostChanges && IsAbout(state, incident, change)) {
      Link(state, incident, {&change}, out);
    }
  }
  return out;
}

}  // namespace quell::incidents
