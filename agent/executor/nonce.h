// NonceBook: the nonces that commands must quote. One is made every 5 s of the boot-time clock, each is good
// for 30 s. They live in memory alone, so that all die with the process and with the boot. Owned by the
// Executor, one thread; at most 8 are kept.
#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/time.h"

namespace quell::agent {

inline constexpr Micros kNonceEvery = 5 * kSecond;
inline constexpr Micros kNonceGood = 30 * kSecond;

class NonceBook {
 public:
  // `random` gives that many random bytes.
  explicit NonceBook(std::function<std::string(size_t)> random) : random_(std::move(random)) {}

  // Makes a nonce when one is due, forgets those past their time. True when there is a new one.
  bool Tick(Micros boot_now);
  // When it was made; nullopt when it isn't one of ours, or its time is over.
  std::optional<Micros> MadeAt(std::string_view nonce, Micros boot_now) const;
  const std::string& newest() const { return newest_; }

 private:
  struct Made {
    std::string nonce;
    Micros at;
  };
  std::function<std::string(size_t)> random_;
  std::deque<Made> made_;  // oldest first
  std::string newest_;
};

}  // namespace quell::agent
