// Budgets of one agent: what is over them is dropped, counted, and told. Pure; owned by one session; one
// thread.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "common/base/time.h"

namespace quell::ingest {

struct BudgetLimits {
  uint64_t bytes_per_second = 256 << 10;
  uint64_t bytes_burst = 32ull << 20;  // a whole spool sent again fits
  uint64_t series = 20'000;            // over the layouts in use
  uint64_t label_bytes = 8ull << 20;   // names and values, over the layouts in use
  uint64_t events_per_second = 20;
  uint64_t events_burst = 20'000;    // a night without a controller fits
  uint64_t reports_per_second = 20;  // results are never dropped: over this the stream ends
  uint64_t reports_burst = 2'000;
};

// A bucket of tokens that fills at a rate up to a burst.
class TokenBucket {
 public:
  TokenBucket(uint64_t per_second, uint64_t burst)
      : per_second_(static_cast<double>(per_second)), burst_(static_cast<double>(burst)), tokens_(burst_) {}
  // Takes `n`, also when that is more than is there (the rest is a debt of at most one burst); true when they
  // were.
  bool Take(uint64_t n, Micros now);
  // How long until nothing is owed any more.
  Micros Owed() const;

 private:
  double per_second_, burst_, tokens_;
  Micros at_ = 0;
};

enum class Budget { kBytes, kSeries, kLabels, kEvents };
inline constexpr std::array kBudgets = {Budget::kBytes, Budget::kSeries, Budget::kLabels, Budget::kEvents};
std::string_view BudgetName(Budget budget);  // "bytes", …

// Whether an agent is over one budget: from the first excess until a minute without one.
class OverBudget {
 public:
  static constexpr Micros kQuiet = kMinute;
  // True when this begins a new time over budget.
  bool Excess(Micros now) {
    const bool begins = !over(now);
    last_ = now;
    return begins;
  }
  bool over(Micros now) const { return last_ != 0 && now - last_ < kQuiet; }

 private:
  Micros last_ = 0;
};

}  // namespace quell::ingest
