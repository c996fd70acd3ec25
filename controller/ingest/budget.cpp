#include "controller/ingest/budget.h"

#include <algorithm>

namespace quell::ingest {

bool TokenBucket::Take(uint64_t n, Micros now) {
  if (at_ != 0 && now > at_)
    tokens_ = std::min(burst_, tokens_ + per_second_ * static_cast<double>(now - at_) / kSecond);
  at_ = now;
  const bool there = tokens_ >= static_cast<double>(n);
  tokens_ = std::max(-burst_, tokens_ - static_cast<double>(n));
  return there;
}

Micros TokenBucket::Owed() const {
  return tokens_ >= 0 ? 0 : static_cast<Micros>(-tokens_ / per_second_ * kSecond);
}

std::string_view BudgetName(Budget budget) {
  switch (budget) {
    case Budget::kBytes:
      return "bytes";
    case Budget::kSeries:
      return "series";
    case Budget::kLabels:
      return "labels";
    case Budget::kEvents:
      return "events";
  }
  return "";
}

}  // namespace quell::ingest
