// Cost of keeping and judging one host's series: 200 series at one sample a second, as an agent sends them.
//   append_ns: CPU per sample; bytes_per_sample, bytes_per_series: memory after 10 min of windows.
#include <benchmark/benchmark.h>

#include <random>

#include "controller/promql/parser.h"
#include "controller/rules/shard.h"
#include "controller/series/store.h"

namespace quell {
namespace {

constexpr int kSeries = 200;
constexpr Micros kStart = 1'700'000'000 * kSecond;

// A third counters that move, a third gauges with noise, a third values that stand still.
double ValueOf(int series, int second, std::mt19937_64& random) {
  if (series % 3 == 0) return 1000.0 * series + second * 17.0 + static_cast<double>(random() % 5);
  if (series % 3 == 1) return 0.5 + static_cast<double>(random() % 100) / 100;
  return series;
}

Labels LabelsOf(int series) {
  return {
      {"app", "app-" + std::to_string(series % 20)}, {"user", "deploy"}, {"pm_id", std::to_string(series)}};
}

std::string NameOf(int series) { return "metric_" + std::to_string(series / 20); }

void AppendToStore(benchmark::State& state) {
  series::SeriesStore store;
  series::Retention retention;
  std::vector<series::SeriesId> ids;
  for (int i = 0; i < kSeries; ++i) {
    Labels labels = LabelsOf(i);
    labels.Set(kMetricName, NameOf(i));
    ids.push_back(store.SeriesFor(labels));
  }
  std::mt19937_64 random(1);
  int second = 0;
  for (auto _ : state) {
    for (int i = 0; i < kSeries; ++i)
      store.Append(ids[static_cast<size_t>(i)],
                   {kStart + second * kSecond + 137, ValueOf(i, second, random)});
    if (++second % 60 == 0) store.Trim(kStart + second * kSecond, retention);
  }
  state.SetItemsProcessed(state.iterations() * kSeries);
}
BENCHMARK(AppendToStore);

void Memory(benchmark::State& state) {
  for (auto _ : state) {
    series::SeriesStore store;
    std::mt19937_64 random(1);
    std::vector<series::SeriesId> ids;
    for (int i = 0; i < kSeries; ++i) {
      Labels labels = LabelsOf(i);
      labels.Set(kMetricName, NameOf(i));
      labels.Set("instance", "web-1");
      labels.Set("job", "pm2");
      ids.push_back(store.SeriesFor(labels));
    }
    const double empty = static_cast<double>(store.stats().bytes);
    for (int second = 0; second < 600; ++second)
      for (int i = 0; i < kSeries; ++i)
        store.Append(
            ids[static_cast<size_t>(i)],
            {kStart + second * kSecond + static_cast<Micros>(random() % 900), ValueOf(i, second, random)});
    const double bytes = static_cast<double>(store.stats().bytes);
    state.counters["bytes_per_series"] = bytes / kSeries;
    state.counters["bytes_per_sample"] = (bytes - empty) / (600.0 * kSeries);
  }
}
BENCHMARK(Memory)->Iterations(3);

std::shared_ptr<const rules::RuleSet> Rules() {
  config::Problems problems;
  return rules::LoadRules(
      {{"r.yml",
        "groups:\n- name: g\n  interval: 1s\n  rules:\n"
        "  - {alert: A, expr: metric_0 == -1}\n"
        "  - {alert: B, expr: 'rate(metric_1[5m]) > 1e9'}\n"
        "  - {alert: C, expr: 'sum by (instance, app) (metric_2) > 1e9'}\n"
        "  - {alert: D, expr: 'metric_3 / on (instance, pm_id) metric_3 > 2'}\n"}},
      [](std::string_view) { return std::string(); }, problems);
}

struct Loaded {
  explicit Loaded(int hosts) : shard(Rules(), {}) {
    for (int h = 0; h < hosts; ++h) {
      const std::string id = "host-" + std::to_string(h);
      shard.HostUp({id, id, Labels()}, false, kStart);
      ids.push_back(id);
      for (int i = 0; i < kSeries; ++i) handles.push_back(shard.SeriesFor(id, NameOf(i), LabelsOf(i), "pm2"));
    }
  }
  void Second() {
    for (size_t h = 0; h < ids.size(); ++h)
      for (int i = 0; i < kSeries; ++i)
        shard.Append(ids[h], handles[h * kSeries + static_cast<size_t>(i)],
                     {kStart + second * kSecond, ValueOf(i, second, random)});
    ++second;
  }
  rules::Shard shard;
  std::vector<std::string> ids;
  std::vector<uint32_t> handles;
  std::mt19937_64 random{1};
  int second = 0;
};

void AppendToShard(benchmark::State& state) {
  Loaded loaded(10);
  for (auto _ : state) loaded.Second();
  state.SetItemsProcessed(state.iterations() * kSeries * 10);
}
BENCHMARK(AppendToShard);

// One tick of four rules over one host of 200 series with 5 min of samples; items are rule evaluations.
void EvaluateRules(benchmark::State& state) {
  Loaded loaded(1);
  for (int i = 0; i < 300; ++i) loaded.Second();
  Micros now = kStart + 300 * kSecond;
  loaded.shard.Tick(now);
  for (auto _ : state) {
    now += kSecond;
    loaded.shard.Tick(now);
    state.PauseTiming();
    loaded.Second();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * 4);
}
BENCHMARK(EvaluateRules);

// A pushed event to its signal: append, evaluate the rules that read it.
void Push(benchmark::State& state) {
  Loaded loaded(1);
  for (int i = 0; i < 300; ++i) loaded.Second();
  Micros now = kStart + 300 * kSecond;
  for (auto _ : state) {
    now += 20 * kMillisecond;
    loaded.shard.Push("host-0", loaded.handles[0], {now, 1});
    loaded.shard.EvaluatePushed("host-0", now);
  }
}
BENCHMARK(Push);

}  // namespace
}  // namespace quell

BENCHMARK_MAIN();
