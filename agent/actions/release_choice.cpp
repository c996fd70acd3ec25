#include "agent/actions/release_choice.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace quell::agent {
namespace {

constexpr char kPrevious[] = "previous";

// Index of the last for which `holds`; -1: none.
template <typename Holds>
int LastWhere(const v1::ReleasePlace& place, Holds holds) {
  for (int i = place.recorded_size() - 1; i >= 0; --i) {
    if (holds(place.recorded(i))) return i;
  }
  return -1;
}

int Named(const v1::ReleasePlace& place, const std::string& name) {
  return LastWhere(place, [&](const v1::Release& r) { return r.name() == name; });
}

// The list ends with the release that was noted as current last. Before a release of the list comes the last
// in front of it that is not newer: what a rollback left is no way back.
int Previous(const v1::ReleasePlace& place, const std::string& current) {
  const int at = Named(place, current);
  if (at < 0) return place.recorded_size() - 1;
  for (int i = at - 1; i >= 0; --i) {
    if (place.recorded(i).recorded_us() <= place.recorded(at).recorded_us()) return i;
  }
  return -1;
}

}  // namespace

ReleaseChoice ChooseRelease(const v1::ReleasePlace& place, const std::string& current,
                            const std::string& to) {
  ReleaseChoice choice;
  const auto none = [&](std::string why) {
    choice.reason = std::move(why);
    return choice;
  };
  const int previous = Previous(place, current);
  int chosen = previous;
  if (!to.empty() && to != kPrevious) {
    chosen = Named(place, to);
    absl::Time then;
    if (chosen < 0 && absl::ParseTime(absl::RFC3339_full, to, &then, nullptr)) {
      chosen =
          LastWhere(place, [&](const v1::Release& r) { return r.recorded_us() <= absl::ToUnixMicros(then); });
      if (chosen < 0) return none(absl::StrCat("no release had been recorded on this host by ", to));
    }
    if (chosen < 0) return none(absl::StrCat("no release called ", to, " was recorded on this host"));
  }
  if (chosen < 0) return none(absl::StrCat("no release before ", current, " was recorded on this host"));
  choice.to = place.recorded(chosen);
  const std::string& name = choice.to.name();
  if (name == current) return none(absl::StrCat(name, " is the current release already"));
  if (std::find(place.never().begin(), place.never().end(), name) != place.never().end()) {
    return none(absl::StrCat(name, " is listed under `never` in this host's sanctions"));
  }
  if (chosen != previous && !place.by_person()) {
    return none(
        absl::StrCat(name, " is not the release right before ", current, ": going there needs a person"));
  }
  return choice;
}

}  // namespace quell::agent
