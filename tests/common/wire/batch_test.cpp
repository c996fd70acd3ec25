// Batches: what is encoded is decoded, whatever the values; and what is damaged is refused.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "common/model/sample.h"
#include "common/wire/decoder.h"
#include "common/wire/encoder.h"
#include "common/wire/limits.h"

namespace quell::wire {
namespace {

v1::Layout MakeLayout(uint32_t id, int series) {
  v1::Layout layout;
  layout.set_id(id);
  layout.set_collector("host");
  for (int i = 0; i < series; ++i) layout.add_series()->set_name("m" + std::to_string(i));
  return layout;
}

bool SameBits(std::span<const double> a, const std::vector<double>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (std::bit_cast<uint64_t>(a[i]) != std::bit_cast<uint64_t>(b[i])) return false;
  return true;
}

class Batches : public testing::Test {
 protected:
  void Define(int series) {
    uint32_t forgotten = 0;
    ASSERT_TRUE(decoder_.Define(MakeLayout(1, series), false, &forgotten).ok());
    encoder_ = BatchEncoder(1, static_cast<size_t>(series));
  }
  v1::Batch Encode(const std::vector<double>& values, Micros offset = 0) {
    v1::Batch batch;
    encoder_.Encode(values, offset, ++number_, &batch);
    return batch;
  }
  void RoundTrip(const std::vector<double>& values, Micros offset = 0) {
    const v1::Batch batch = Encode(values, offset);
    DecodedBatch decoded;
    const absl::Status status = decoder_.Decode(batch, &decoded);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(decoded.offset, offset);
    EXPECT_TRUE(SameBits(decoded.values, values));
  }

  StreamDecoder decoder_;
  BatchEncoder encoder_{1, 0};
  uint64_t number_ = 0;
  DecodedBatch out_;
};

TEST_F(Batches, OnlyChangesAreSent) {
  Define(100);
  std::vector<double> values(100, 1.0 / 3);
  RoundTrip(values);
  values[3] = 2.0 / 3;
  const v1::Batch batch = Encode(values);
  EXPECT_EQ(batch.changed().size(), 13u);
  EXPECT_EQ(batch.values().size(), 8u);
  ASSERT_TRUE(decoder_.Decode(batch, &out_).ok());
  EXPECT_TRUE(SameBits(out_.values, values));
}

TEST_F(Batches, WholeNumbersAreSentAsDifferences) {
  Define(3);
  RoundTrip({1e12, 5, -3});
  const v1::Batch batch = Encode({1e12 + 40, 5, -4});
  EXPECT_EQ(batch.encoding(), v1::ENCODING_INT_DELTAS);
  EXPECT_EQ(batch.values().size(), 2u);
  ASSERT_TRUE(decoder_.Decode(batch, &out_).ok());
  EXPECT_TRUE(SameBits(out_.values, {1e12 + 40, 5, -4}));
}

TEST_F(Batches, ThousandthsAreSentAsDifferences) {
  Define(3);
  RoundTrip({12345.67, 0.25, -3.141});
  const v1::Batch batch = Encode({12345.68, 0.25, -3.142});
  EXPECT_EQ(batch.encoding(), v1::ENCODING_MILLI_DELTAS);
  EXPECT_EQ(batch.values().size(), 2u);
  ASSERT_TRUE(decoder_.Decode(batch, &out_).ok());
  EXPECT_TRUE(SameBits(out_.values, {12345.68, 0.25, -3.142}));
  EXPECT_EQ(Encode({1.0 / 3, 0.25, 0}).encoding(), v1::ENCODING_DOUBLES);
}

TEST_F(Batches, EveryNthIsFull) {
  Define(2);
  int full = 0;
  for (int i = 0; i < 3 * kFullEvery; ++i) full += Encode({1.5, 2.5}).changed().empty() ? 1 : 0;
  EXPECT_EQ(full, 3);
}

TEST_F(Batches, OddValuesSurvive) {
  Define(8);
  const double inf = std::numeric_limits<double>::infinity();
  RoundTrip({0.0, -0.0, inf, -inf, StaleMarker(), OrdinaryNan(), 5e-324, 9007199254740992.0});
  RoundTrip({-0.0, 0.0, -inf, inf, OrdinaryNan(), StaleMarker(), 1.0, 9007199254740994.0});
  RoundTrip({1, 2, 3, 4, 5, 6, 7, 8}, -1234567);
}

TEST_F(Batches, StaleForcesDoubles) {
  Define(1);
  RoundTrip({5});
  EXPECT_EQ(Encode({StaleMarker()}).encoding(), v1::ENCODING_DOUBLES);
}

// Values of every kind, at random, over many batches: what is decoded is what was measured, bit by bit.
TEST_F(Batches, RandomValuesSurvive) {
  std::mt19937_64 random(42);
  for (int round = 0; round < 30; ++round) {
    decoder_ = StreamDecoder();
    number_ = 0;
    const int series = 1 + static_cast<int>(random() % 70);
    Define(series);
    std::vector<double> values(static_cast<size_t>(series), 0.0);
    for (int i = 0; i < 50; ++i) {
      for (double& v : values) {
        switch (random() % 6) {
          case 0:
            v = std::bit_cast<double>(random());
            break;
          case 1:
            v = std::trunc(v) + static_cast<double>(random() % 1000);
            break;
          case 3:
            v = static_cast<double>(static_cast<int64_t>(random() % 2'000'000) - 1'000'000) / 1000;
            break;
          case 2:
            v = static_cast<double>(static_cast<int64_t>(random()) >> 11);
            break;
          default:
            break;
        }
      }
      RoundTrip(values, i * kSecond);
    }
  }
}

TEST_F(Batches, BytesPerSampleStayLow) {
  Define(200);
  std::vector<double> values(200, 1000);
  size_t bytes = 0;
  for (int i = 0; i < 100; ++i) {
    for (size_t k = 0; k < values.size(); k += 5) values[k] += static_cast<double>(k + 1);
    bytes += Encode(values).ByteSizeLong();
  }
  EXPECT_LT(static_cast<double>(bytes) / (100 * 200), 2.0);
}

struct Damage {
  const char* name;
  void (*make)(v1::Batch&);
};
class DamagedBatch : public Batches, public testing::WithParamInterface<Damage> {};

TEST_P(DamagedBatch, IsRefused) {
  Define(9);
  RoundTrip({1, 2, 3, 4, 5, 6, 7, 8, 9});
  v1::Batch batch = Encode({1, 2, 3, 4, 5, 6, 7, 8, 10});
  GetParam().make(batch);
  EXPECT_EQ(decoder_.Decode(batch, &out_).code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedBatch,
    testing::Values(Damage{"UnknownLayout", [](v1::Batch& b) { b.set_layout(2); }},
                    Damage{"ShortBitmap", [](v1::Batch& b) { b.mutable_changed()->resize(1); }},
                    Damage{"LongBitmap", [](v1::Batch& b) { b.mutable_changed()->push_back('\0'); }},
                    Damage{"SeriesBeyond", [](v1::Batch& b) { (*b.mutable_changed())[1] = '\x02'; }},
                    Damage{"TooFewValues", [](v1::Batch& b) { b.clear_values(); }},
                    Damage{"TooManyValues", [](v1::Batch& b) { b.mutable_values()->push_back('\x02'); }},
                    Damage{"CutVarint", [](v1::Batch& b) { b.set_values("\xff"); }},
                    Damage{"EndlessVarint", [](v1::Batch& b) { b.set_values(std::string(11, '\xff')); }},
                    Damage{"HugeValue",
                           [](v1::Batch& b) { b.set_values("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); }},
                    Damage{"ShortDoubles",
                           [](v1::Batch& b) {
                             b.set_encoding(v1::ENCODING_DOUBLES);
                             b.set_values("1234567");
                           }},
                    Damage{"SkippedNumber", [](v1::Batch& b) { b.set_number(b.number() + 1); }},
                    Damage{"RepeatedNumber", [](v1::Batch& b) { b.set_number(b.number() - 1); }}),
    [](const auto& info) { return info.param.name; });

TEST_F(Batches, FirstOfALayoutMustBeFull) {
  Define(1);
  v1::Batch batch = Encode({1});
  batch.set_changed(std::string(1, '\x01'));
  EXPECT_EQ(decoder_.Decode(batch, &out_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Batches, DifferenceToNoWholeNumberIsRefused) {
  Define(1);
  RoundTrip({1.5});
  v1::Batch batch;
  batch.set_layout(1);
  batch.set_number(2);
  batch.set_changed(std::string(1, '\x01'));
  batch.set_encoding(v1::ENCODING_INT_DELTAS);
  batch.set_values(std::string(1, '\x02'));
  EXPECT_EQ(decoder_.Decode(batch, &out_).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Layouts, AnIdIsTakenOnce) {
  StreamDecoder decoder;
  uint32_t forgotten = 0;
  ASSERT_TRUE(decoder.Define(MakeLayout(1, 1), false, &forgotten).ok());
  EXPECT_EQ(decoder.Define(MakeLayout(1, 1), false, &forgotten).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Layouts, TheLeastRecentlyUsedIsForgotten) {
  StreamDecoder decoder;
  uint32_t forgotten = 0;
  for (uint32_t id = 1; id <= kMaxLayouts; ++id)
    ASSERT_TRUE(decoder.Define(MakeLayout(id, 1), false, &forgotten).ok());
  EXPECT_EQ(forgotten, 0u);
  BatchEncoder encoder(1, 1);
  v1::Batch batch;
  encoder.Encode(std::vector<double>{1}, 0, 1, &batch);
  DecodedBatch out;
  ASSERT_TRUE(decoder.Decode(batch, &out).ok());  // 1 is used again, so 2 goes
  ASSERT_TRUE(decoder.Define(MakeLayout(1000, 1), false, &forgotten).ok());
  EXPECT_EQ(forgotten, 2u);
  EXPECT_EQ(decoder.layouts(), kMaxLayouts);
}

TEST(Layouts, IgnoredOnesAreReadOver) {
  StreamDecoder decoder;
  uint32_t forgotten = 0;
  ASSERT_TRUE(decoder.Define(MakeLayout(1, 3), true, &forgotten).ok());
  BatchEncoder encoder(1, 3);
  v1::Batch batch;
  encoder.Encode(std::vector<double>{1, 2, 3}, 0, 1, &batch);
  DecodedBatch out;
  ASSERT_TRUE(decoder.Decode(batch, &out).ok());
  EXPECT_TRUE(out.ignored);
  EXPECT_TRUE(out.values.empty());
}

}  // namespace
}  // namespace quell::wire
