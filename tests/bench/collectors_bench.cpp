// CPU that the agent's collecting costs, per item:
//   build/release/bin/collectors_bench --benchmark_min_time=2
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <string>

#include "agent/collectors/host/host.h"
#include "agent/collectors/pm2/app_state.h"
#include "agent/collectors/pm2/processes.h"
#include "agent/pm2/messages.h"

namespace quell::agent {
namespace {

class Discard final : public CollectorSink {
 public:
  void Add(Collection collection) override { series_ = collection.values.size(); }
  void Add(v1::Event) override {}
  size_t series() const { return series_; }

 private:
  size_t series_ = 0;
};

// One collection of this machine's host series.
void BM_HostCollection(benchmark::State& state) {
  Discard sink;
  const auto collector = MakeHostCollector("", kSecond, RealClock());
  for (auto _ : state) benchmark::DoNotOptimize(collector->Collect(RealClock(), sink).ok());
  state.counters["series"] = static_cast<double>(sink.series());
}
BENCHMARK(BM_HostCollection)->Unit(benchmark::kMicrosecond);

// One app's reading from /proc.
void BM_ProcessReading(benchmark::State& state) {
  Processes processes("");
  for (auto _ : state) {
    processes.Begin();
    benchmark::DoNotOptimize(processes.Read(getpid()).alive);
    processes.End();
  }
}
BENCHMARK(BM_ProcessReading)->Unit(benchmark::kMicrosecond);

// A daemon's list of 50 apps, about 5 kB each as PM2's are, most of it environment.
void BM_ParseListOf50(benchmark::State& state) {
  std::string json = "{\"args\":[[";
  for (int i = 0; i < 50; ++i) {
    json += i == 0 ? "{" : ",{";
    json += R"("name":"app","pid":1,"pm_id":)" + std::to_string(i) +
            R"(,"pm2_env":{"status":"online","restart_time":3,"pm_uptime":1795403704314,"env":{)";
    for (int k = 0; k < 100; ++k)
      json += (k == 0 ? "\"KEY" : ",\"KEY") + std::to_string(k) + R"(":"some value of thirty bytes....")";
    json += "}}}";
  }
  json += "]]}";
  for (auto _ : state) benchmark::DoNotOptimize(pm2::ParseListReply(json).ok());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * json.size()));
}
BENCHMARK(BM_ParseListOf50)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace quell::agent
