// Challenges: what a host signs to show that it holds a key now. They say themselves when they were made and
// by whom, so nothing is kept for those that never come back. Owned by main; const and thread-safe.
#pragma once
#include <string>
#include <string_view>

#include "common/base/time.h"
#include "common/security/secret.h"

namespace quell::security {

class Challenges {
 public:
  static constexpr Micros kGoodFor = kMinute;

  Challenges();  // with a secret of its own: what another start made is not known
  std::string Make(Micros monotonic) const;
  bool Check(std::string_view challenge, Micros monotonic) const;  // made here, and within kGoodFor

 private:
  const Secret key_;
};

}  // namespace quell::security
