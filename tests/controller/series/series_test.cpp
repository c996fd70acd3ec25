#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <random>

#include "controller/series/store.h"

namespace quell::series {
namespace {

constexpr Micros kStart = 1'700'000'000 * kSecond;

std::vector<Sample> ReadAll(const SeriesStore& store, const Matchers& matchers, Micros from = 0,
                            Micros to = 3 * kStart, Read read = Read::kAll) {
  std::vector<Sample> out;
  store.Select(matchers, from, to, read, [&](const Labels&, std::span<const Sample> samples) {
    out.insert(out.end(), samples.begin(), samples.end());
    return true;
  });
  return out;
}

bool SameBits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

// Values as telemetry has them, and as a hostile agent might.
double AnyValue(std::mt19937_64& random, double last) {
  switch (random() % 8) {
    case 0:
      return last;
    case 1:
      return last + 1;
    case 2:
      return static_cast<double>(random() % 1000);
    case 3:
      return std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 100);
    case 4:
      return StaleMarker();
    case 5:
      return random() % 2 == 0 ? std::numeric_limits<double>::infinity() : OrdinaryNan();
    case 6:
      return std::bit_cast<double>(random());
    default:
      return -last;
  }
}

TEST(Chunk, GivesBackWhatWasPutInBitForBit) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    Chunk chunk;
    std::vector<Sample> naive;
    int64_t ms = static_cast<int64_t>(random() % 4'000'000'000'000) - 2'000'000'000'000;
    double value = 0;
    while (!chunk.full()) {
      const uint64_t kind = random() % 4;
      ms += kind == 0   ? 1000
            : kind == 1 ? 990 + static_cast<int64_t>(random() % 20)
            : kind == 2 ? 1 + static_cast<int64_t>(random() % 100'000)
                        : 1 + static_cast<int64_t>(random() % 4'000'000'000);
      value = AnyValue(random, value);
      chunk.Append(ms, value);
      naive.push_back({ms * kMillisecond, value});
    }
    std::vector<Sample> read;
    chunk.Read(INT64_MIN, INT64_MAX, read);
    ASSERT_EQ(read.size(), naive.size());
    for (size_t i = 0; i < naive.size(); ++i) {
      ASSERT_EQ(read[i].at, naive[i].at) << round << " " << i;
      ASSERT_TRUE(SameBits(read[i].value, naive[i].value)) << round << " " << i;
    }
  }
}

TEST(Store, WindowsEqualThoseOfANaiveStore) {
  std::mt19937_64 random(11);
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}});
  std::vector<Sample> naive;
  Micros at = kStart;
  for (int i = 0; i < 2000; ++i) {
    at += kSecond + static_cast<Micros>(random() % 5) * kMillisecond;
    const double value = AnyValue(random, static_cast<double>(i));
    ASSERT_TRUE(store.Append(id, {at, value}));
    naive.push_back({at, value});
  }
  const Matchers matchers = {Matcher::Equal("__name__", "m")};
  for (int i = 0; i < 300; ++i) {
    const Micros from = kStart + static_cast<Micros>(random() % 2100) * kSecond;
    const Micros to = from + static_cast<Micros>(random() % 600) * kSecond;
    std::vector<Sample> wanted;
    for (const Sample& s : naive)
      if (s.at > from && s.at <= to) wanted.push_back(s);
    const std::vector<Sample> read = ReadAll(store, matchers, from, to);
    ASSERT_EQ(read.size(), wanted.size());
    for (size_t k = 0; k < wanted.size(); ++k)
      ASSERT_TRUE(read[k].at == wanted[k].at && SameBits(read[k].value, wanted[k].value));
    const std::vector<Sample> newest = ReadAll(store, matchers, from, to, Read::kNewest);
    ASSERT_EQ(newest.size(), wanted.empty() ? 0u : 1u);
    if (!wanted.empty()) {
      ASSERT_EQ(newest[0].at, wanted.back().at);
    }
  }
}

TEST(Store, WindowIsOpenOnTheLeft) {
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}});
  for (int i = 0; i < 3; ++i) store.Append(id, {kStart + i * kSecond, static_cast<double>(i)});
  EXPECT_EQ(ReadAll(store, {Matcher::Equal("__name__", "m")}, kStart, kStart + kSecond).size(), 1u);
}

TEST(Store, LateSamplesAreRefusedAndCountedSameTimeReplaces) {
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}});
  EXPECT_TRUE(store.Append(id, {kStart, 1}));
  EXPECT_FALSE(store.Append(id, {kStart - kSecond, 0}));
  EXPECT_TRUE(store.Append(id, {kStart, 2}));
  EXPECT_EQ(store.stats().out_of_order, 1u);
  const auto samples = ReadAll(store, {Matcher::Equal("__name__", "m")});
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].value, 2);
}

TEST(Store, EndWritesOneMarkerThatALateSampleMayComeBefore) {
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}});
  store.Append(id, {kStart, 1});
  store.EndAll(kStart + 15 * kSecond, [](const Labels&) { return true; });
  store.EndAll(kStart + 16 * kSecond, [](const Labels&) { return true; });
  auto samples = ReadAll(store, {Matcher::Equal("__name__", "m")});
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_TRUE(IsStale(samples[1].value));
  EXPECT_TRUE(store.Append(id, {kStart + 5 * kSecond, 2}));
  samples = ReadAll(store, {Matcher::Equal("__name__", "m")});
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1].value, 2);
}

TEST(Store, AMarkerOfTheAgentStays) {
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}});
  store.Append(id, {kStart, 1});
  store.Append(id, {kStart + 10 * kSecond, StaleMarker()});
  EXPECT_FALSE(store.Append(id, {kStart + 5 * kSecond, 2}));
}

TEST(Store, SelectsByNameAndLabels) {
  SeriesStore store;
  for (const char* app : {"a", "b", ""})
    for (const char* name : {"x", "y"})
      store.Append(store.SeriesFor(Labels({{"__name__", name}, {"app", app}})), {kStart, 1});
  auto count = [&](const Matchers& matchers) { return ReadAll(store, matchers).size(); };
  EXPECT_EQ(count({Matcher::Equal("__name__", "x")}), 3u);
  EXPECT_EQ(count({Matcher::Equal("__name__", "x"), Matcher::Equal("app", "a")}), 1u);
  EXPECT_EQ(count({Matcher::Equal("__name__", "x"), Matcher::Equal("app", "")}), 1u)
      << "an absent label is an empty one";
  EXPECT_EQ(count({*Matcher::Make(MatchOp::kNotEqual, "app", "a")}), 4u);
  EXPECT_EQ(count({*Matcher::Make(MatchOp::kRegex, "__name__", "x|y"),
                   *Matcher::Make(MatchOp::kRegex, "app", ".+")}),
            4u);
  EXPECT_EQ(count({*Matcher::Make(MatchOp::kNotRegex, "app", "a|b")}), 2u);
}

TEST(Matcher, RegexesAreAnchoredAndADotMatchesANewline) {
  const Matcher m = *Matcher::Make(MatchOp::kRegex, "a", "b.c");
  EXPECT_TRUE(m.Matches("b\nc"));
  EXPECT_FALSE(m.Matches("xb.c"));
  EXPECT_FALSE(m.Matches("b.cx"));
  EXPECT_TRUE(Matcher::Make(MatchOp::kRegex, "a", "(?i:PRO).*")->Matches("production"));
  EXPECT_FALSE(Matcher::Make(MatchOp::kRegex, "a", "(").ok());
  EXPECT_FALSE(Matcher::Make(MatchOp::kRegex, "a", "((((a{100}){100}){100}){100})").ok())
      << "over the memory bound";
}

TEST(Store, TrimKeepsWhatTheMetricNeeds) {
  SeriesStore store;
  Retention retention;
  retention.Need("long", kHour);
  for (const char* name : {"long", "short"}) {
    const SeriesId id = store.SeriesFor(Labels({{"__name__", name}}));
    for (int i = 0; i < 7200; ++i) store.Append(id, {kStart + i * kSecond, static_cast<double>(i)});
  }
  store.Trim(kStart + 7200 * kSecond, retention);
  const size_t kept = ReadAll(store, {Matcher::Equal("__name__", "long")}).size();
  const size_t little = ReadAll(store, {Matcher::Equal("__name__", "short")}).size();
  EXPECT_GE(kept, 3600u);
  EXPECT_LE(kept, 3600u + kChunkSamples);
  EXPECT_GE(little, 600u);
  EXPECT_LE(little, 600u + kChunkSamples);
}

TEST(Store, ASeriesWithoutNewsIsForgottenAndRevivedByItsHandle) {
  SeriesStore store;
  const SeriesId id = store.SeriesFor({{"__name__", "m"}, {"a", "b"}});
  store.Append(id, {kStart, 1});
  store.Trim(kStart + kHour, Retention());
  EXPECT_EQ(store.stats().series, 0u);
  EXPECT_TRUE(ReadAll(store, {Matcher::Equal("__name__", "m")}).empty());
  EXPECT_TRUE(store.Append(id, {kStart + kHour, 2}));
  EXPECT_EQ(ReadAll(store, {Matcher::Equal("a", "b")}).size(), 1u);
  // Forgotten again and made anew under another id: the old handle finds the new place.
  store.Trim(kStart + 3 * kHour, Retention());
  const SeriesId other = store.SeriesFor({{"__name__", "m"}, {"a", "b"}});
  EXPECT_TRUE(store.Append(other, {kStart + 3 * kHour, 3}));
  EXPECT_TRUE(store.Append(id, {kStart + 3 * kHour + kSecond, 4}));
  EXPECT_EQ(store.stats().series, 1u);
  EXPECT_EQ(ReadAll(store, {Matcher::Equal("a", "b")}).size(), 2u);
}

TEST(Store, AnOldHandleNeverReachesAnotherSeries) {
  SeriesStore store;
  const SeriesId old = store.SeriesFor({{"__name__", "old"}});
  store.Append(old, {kStart, 1});
  Micros now = kStart;
  for (int i = 0; i < 3000; ++i) {
    now += kHour;
    store.Trim(now, Retention());
    const SeriesId id = store.SeriesFor(Labels({{"__name__", "n" + std::to_string(i)}}));
    ASSERT_TRUE(store.Append(id, {now, static_cast<double>(i)}));
  }
  store.Append(old, {now, -1});
  store.Select({*Matcher::Make(MatchOp::kRegex, "__name__", "n.*")}, 0, 2 * now, Read::kAll,
               [](const Labels&, std::span<const Sample> samples) {
                 for (const Sample& s : samples) EXPECT_GE(s.value, 0);
                 return true;
               });
  EXPECT_LE(store.stats().series, 2u);
}

TEST(Store, BoundsAreKeptAndCounted) {
  SeriesStore store({.series = 2, .bytes = 1 << 20});
  EXPECT_NE(store.SeriesFor({{"__name__", "a"}}), kNoSeries);
  EXPECT_NE(store.SeriesFor({{"__name__", "b"}}), kNoSeries);
  EXPECT_EQ(store.SeriesFor({{"__name__", "c"}}), kNoSeries);
  EXPECT_FALSE(store.Append(kNoSeries, {kStart, 1}));
  EXPECT_EQ(store.stats().refused_series, 1u);
  EXPECT_EQ(store.stats().refused_samples, 1u);
}

TEST(Store, OverTheBytesTheOldestChunksGo) {
  SeriesStore store({.series = 100, .bytes = 40'000});
  std::mt19937_64 random(3);
  std::vector<SeriesId> ids;
  for (int i = 0; i < 10; ++i)
    ids.push_back(store.SeriesFor(Labels({{"__name__", "m"}, {"i", std::to_string(i)}})));
  Micros at = kStart;
  for (int i = 0; i < 2000; ++i, at += kSecond)
    for (SeriesId id : ids) ASSERT_TRUE(store.Append(id, {at, std::bit_cast<double>(random() >> 2)}));
  EXPECT_GT(store.stats().evicted_chunks, 0u);
  EXPECT_LT(store.stats().bytes, 60'000u);
  EXPECT_EQ(ReadAll(store, {Matcher::Equal("i", "3")}, at - 10 * kSecond, at).size(), 9u)
      << "the newest are there";
}

}  // namespace
}  // namespace quell::series
