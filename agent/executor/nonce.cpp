#include "agent/executor/nonce.h"

namespace quell::agent {

bool NonceBook::Tick(Micros boot_now) {
  while (!made_.empty() && boot_now - made_.front().at >= kNonceGood) made_.pop_front();
  if (!made_.empty() && boot_now - made_.back().at < kNonceEvery) return false;
  made_.push_back({random_(16), boot_now});
  newest_ = made_.back().nonce;
  return true;
}

std::optional<Micros> NonceBook::MadeAt(std::string_view nonce, Micros boot_now) const {
  for (const Made& made : made_) {
    if (made.nonce == nonce && boot_now - made.at < kNonceGood) return made.at;
  }
  return std::nullopt;
}

}  // namespace quell::agent
