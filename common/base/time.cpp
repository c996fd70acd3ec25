#include "common/base/time.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace quell {
namespace {

struct Split {
  std::tm tm{};
  Micros fraction = 0;
};

Split SplitUtc(Micros t) {
  Split s;
  std::time_t seconds = t / kSecond;
  s.fraction = t % kSecond;
  if (s.fraction < 0) {
    s.fraction += kSecond;
    --seconds;
  }
  gmtime_r(&seconds, &s.tm);
  return s;
}

struct Unit {
  std::string_view name;
  Micros length;
};

// Prometheus' units with its fixed lengths (a year is 365 days), longest first; it allows each once, in this
// order.
constexpr std::array<Unit, 7> kUnits{{{"y", 365 * kDay},
                                      {"w", 7 * kDay},
                                      {"d", kDay},
                                      {"h", kHour},
                                      {"m", kMinute},
                                      {"s", kSecond},
                                      {"ms", kMillisecond}}};

absl::Status BadDuration(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::string_view(text.data(), text.size()),
                   "\" is not a duration: a number with a unit like 30s, 5m, 24h, 7d or 1h30m is needed"));
}

// Reads "12ms" at *at; false when there is none. *unit is its index in kUnits.
bool ReadPart(std::string_view text, size_t* at, Micros* value, size_t* unit) {
  size_t i = *at;
  int64_t number = 0;
  while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
    if (number > std::numeric_limits<int64_t>::max() / 10 - 10) return false;
    number = number * 10 + (text[i++] - '0');
  }
  if (i == *at) return false;
  size_t end = i;
  while (end < text.size() && text[end] >= 'a' && text[end] <= 'z') ++end;
  const std::string_view name = text.substr(i, end - i);
  for (size_t u = 0; u < kUnits.size(); ++u) {
    if (kUnits[u].name != name) continue;
    if (number > std::numeric_limits<int64_t>::max() / kUnits[u].length) return false;
    *value = number * kUnits[u].length;
    *unit = u;
    *at = end;
    return true;
  }
  return false;
}

}  // namespace

std::string FormatRfc3339(Micros t) {
  if (t == 0) return "";
  const Split s = SplitUtc(t);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", s.tm.tm_year + 1900, s.tm.tm_mon + 1,
                         s.tm.tm_mday, s.tm.tm_hour, s.tm.tm_min, s.tm.tm_sec, s.fraction);
}

std::string FormatClock(Micros t) {
  const Split s = SplitUtc(t);
  return absl::StrFormat("%02d:%02d:%02d.%03d", s.tm.tm_hour, s.tm.tm_min, s.tm.tm_sec,
                         s.fraction / kMillisecond);
}

std::string FormatCompact(Micros t) {
  const Split s = SplitUtc(t);
  return absl::StrFormat("%04d%02d%02d-%02d%02d%02d", s.tm.tm_year + 1900, s.tm.tm_mon + 1, s.tm.tm_mday,
                         s.tm.tm_hour, s.tm.tm_min, s.tm.tm_sec);
}

std::string FormatAge(Micros d) {
  if (d < kSecond) return "0s";
  if (d < kMinute) return absl::StrCat(d / kSecond, "s");
  const auto two = [](Micros large, absl::string_view a, Micros small, absl::string_view b) {
    return small == 0 ? absl::StrCat(large, a) : absl::StrCat(large, a, small, b);
  };
  // Seconds matter while something is minutes old, minutes while it is hours old, and so on; past ten of the
  // larger unit only that one is of interest.
  if (d < 10 * kMinute) return two(d / kMinute, "m", d % kMinute / kSecond, "s");
  if (d < kHour) return absl::StrCat(d / kMinute, "m");
  if (d < kDay) return two(d / kHour, "h", d % kHour / kMinute, "m");
  if (d < 10 * kDay) return two(d / kDay, "d", d % kDay / kHour, "h");
  return absl::StrCat(d / kDay, "d");
}

absl::StatusOr<Micros> ParseDuration(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return BadDuration(text);
  Micros sum = 0;
  size_t at = 0;
  size_t least_unit = 0;  // the next part's unit must be this one or a smaller one
  while (at < text.size()) {
    Micros value = 0;
    size_t unit = 0;
    if (!ReadPart(text, &at, &value, &unit) || unit < least_unit) return BadDuration(text);
    if (value > std::numeric_limits<Micros>::max() - sum) return BadDuration(text);
    sum += value;
    least_unit = unit + 1;
  }
  return sum;
}

std::string FormatDuration(Micros d) {
  if (d < 0) return absl::StrCat("-", FormatDuration(-std::max(d, -std::numeric_limits<Micros>::max())));
  std::string out;
  for (const Unit& unit : kUnits) {
    // Weeks and years read badly unless they are all there is to say (Prometheus prints them so too).
    if ((unit.name == "y" || unit.name == "w") && d % unit.length != 0) continue;
    if (d < unit.length) continue;
    absl::StrAppend(&out, d / unit.length, absl::string_view(unit.name.data(), unit.name.size()));
    d %= unit.length;
  }
  return out.empty() ? "0s" : out;
}

}  // namespace quell
