// Engine time and durations as plain integers: microseconds, int64. Owned by nobody; pure.
//
// Time is an argument everywhere but at the rim: whoever owns a thread reads a Clock (clock.h) and passes
// `now` on.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quell {

using Micros = int64_t;  // engine time: Unix microseconds that never go back; or a duration

inline constexpr Micros kMillisecond = 1000;
inline constexpr Micros kSecond = 1000 * kMillisecond;
inline constexpr Micros kMinute = 60 * kSecond;
inline constexpr Micros kHour = 60 * kMinute;
inline constexpr Micros kDay = 24 * kHour;

// "2026-11-23T03:12:07.123456Z"; 0 gives "".
std::string FormatRfc3339(Micros t);
// "03:12:07.123" in UTC.
std::string FormatClock(Micros t);
// "20261123-031207", UTC, as incident ids have it.
std::string FormatCompact(Micros t);
// "2s", "6m", "1h12m", "41d": at most two units, truncated; negative durations read as "0s".
std::string FormatAge(Micros d);
// "30s", "5m", "1h30m", "250ms", "24h", "7d", "1w": Prometheus' duration syntax; "0" and "0s" are zero.
absl::StatusOr<Micros> ParseDuration(std::string_view text);
// The same syntax, shortest form: 90s -> "1m30s".
std::string FormatDuration(Micros d);

}  // namespace quell
