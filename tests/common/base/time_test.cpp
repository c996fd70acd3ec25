#include "common/base/time.h"

#include <gtest/gtest.h>

namespace quell {
namespace {

constexpr Micros kT = 1'795'403'527'123'456;  // 2026-11-23T03:12:07.123456Z

TEST(TimeTest, FormatsInUtc) {
  EXPECT_EQ(FormatRfc3339(kT), "2026-11-23T03:12:07.123456Z");
  EXPECT_EQ(FormatRfc3339(0), "");
  EXPECT_EQ(FormatRfc3339(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(FormatClock(kT), "03:12:07.123");
  EXPECT_EQ(FormatCompact(kT), "20261123-031207");
}

TEST(TimeTest, AgesHaveTwoUnitsAtMost) {
  EXPECT_EQ(FormatAge(-kHour), "0s");
  EXPECT_EQ(FormatAge(2 * kSecond + 999'999), "2s");
  EXPECT_EQ(FormatAge(6 * kMinute), "6m");
  EXPECT_EQ(FormatAge(6 * kMinute + 5 * kSecond), "6m5s");
  EXPECT_EQ(FormatAge(59 * kMinute + 59 * kSecond), "59m");
  EXPECT_EQ(FormatAge(kHour + 12 * kMinute + 3 * kSecond), "1h12m");
  EXPECT_EQ(FormatAge(41 * kDay + 3 * kHour), "41d");
}

TEST(TimeTest, ParsesPrometheusDurations) {
  const std::pair<std::string_view, Micros> good[] = {
      {"0", 0},
      {"0s", 0},
      {"250ms", 250 * kMillisecond},
      {"30s", 30 * kSecond},
      {"1h30m", 90 * kMinute},
      {"24h", kDay},
      {"7d", 7 * kDay},
      {"1w", 7 * kDay},
      {"1y", 365 * kDay},
      {"1d1ms", kDay + kMillisecond},
  };
  for (const auto& [text, micros] : good) {
    const absl::StatusOr<Micros> parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, micros) << text;
  }
}

TEST(TimeTest, RefusesWhatIsNoDuration) {
  for (const std::string_view bad : {"", "5", "m", "-5m", "5 m", "1m1h", "1m1m", "1.5h", "5M", "1h ",
                                     "99999999999999999999s", "300000y"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(TimeTest, DurationsReadBackAsThemselves) {
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(90 * kSecond), "1m30s");
  EXPECT_EQ(FormatDuration(14 * kDay), "2w");
  EXPECT_EQ(FormatDuration(8 * kDay), "8d");
  EXPECT_EQ(FormatDuration(kHour + 250 * kMillisecond), "1h250ms");
  for (const Micros d : {kMillisecond, kSecond, 59 * kMinute, 25 * kHour, 365 * kDay, 366 * kDay}) {
    const absl::StatusOr<Micros> back = ParseDuration(FormatDuration(d));
    ASSERT_TRUE(back.ok()) << FormatDuration(d);
    EXPECT_EQ(*back, d);
  }
}

}  // namespace
}  // namespace quell
