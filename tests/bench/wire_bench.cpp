// Encoding and decoding of batches of 200 series: time a sample, and bytes a sample, by how much changes.
#include <benchmark/benchmark.h>

#include <random>

#include "common/wire/decoder.h"
#include "common/wire/encoder.h"

namespace quell::wire {
namespace {

constexpr size_t kSeries = 200;

// `changing` of 100 values change; whole numbers, or not.
class Values {
 public:
  Values(int changing, bool whole)
      : changing_(changing), whole_(whole), values_(kSeries, whole ? 1000.0 : 1000.5) {}
  const std::vector<double>& Next() {
    for (double& v : values_)
      if (static_cast<int>(random_() % 100) < changing_)
        v += static_cast<double>(random_() % 500) * (whole_ ? 1.0 : 0.37);
    return values_;
  }

 private:
  const int changing_;
  const bool whole_;
  std::mt19937 random_{7};
  std::vector<double> values_;
};

void BM_Encode(benchmark::State& state) {
  Values values(static_cast<int>(state.range(0)), state.range(1) != 0);
  BatchEncoder encoder(1, kSeries);
  v1::Batch batch;
  uint64_t number = 0;
  size_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const std::vector<double>& next = values.Next();
    state.ResumeTiming();
    encoder.Encode(next, 1, ++number, &batch);
    bytes += batch.ByteSizeLong();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
  state.counters["bytes/sample"] = static_cast<double>(bytes) / static_cast<double>(number) / kSeries;
}
BENCHMARK(BM_Encode)->Args({10, 1})->Args({40, 1})->Args({10, 0})->Args({40, 0})->ArgNames({"changing",
                                                                                            "whole"});

void BM_Decode(benchmark::State& state) {
  Values values(static_cast<int>(state.range(0)), state.range(1) != 0);
  v1::Layout layout;
  layout.set_id(1);
  for (size_t i = 0; i < kSeries; ++i) layout.add_series()->set_name("m");
  BatchEncoder encoder(1, kSeries);
  StreamDecoder decoder;
  uint32_t forgotten = 0;
  (void)decoder.Define(layout, false, &forgotten);
  uint64_t number = 0;
  v1::Batch batch;
  for (auto _ : state) {
    state.PauseTiming();
    encoder.Encode(values.Next(), 1, ++number, &batch);
    state.ResumeTiming();
    DecodedBatch out;
    if (!decoder.Decode(batch, &out).ok()) state.SkipWithError("a batch is refused");
    benchmark::DoNotOptimize(out.values.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kSeries));
}
BENCHMARK(BM_Decode)->Args({10, 1})->Args({40, 1})->Args({10, 0})->Args({40, 0})->ArgNames({"changing",
                                                                                            "whole"});

}  // namespace
}  // namespace quell::wire
