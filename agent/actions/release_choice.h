// Which recorded release a rollback goes to. Pure.
#pragma once
#include <string>

#include "quell/v1/local.pb.h"

namespace quell::agent {

struct ReleaseChoice {
  std::string reason;  // why there is none; empty: there is
  v1::Release to;
};

// Among `place.recorded()`, oldest first, each name once. `to`: "" or "previous" is the one recorded right
// before `current` (the newest, when `current` is not recorded); a name is that one; a time (RFC 3339) is the
// newest that had been recorded by then. Any other than the previous one needs a person (place.by_person()).
// What `place.never()` names is never gone to.
ReleaseChoice ChooseRelease(const v1::ReleasePlace& place, const std::string& current, const std::string& to);

}  // namespace quell::agent
