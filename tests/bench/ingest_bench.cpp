// Agents that stream to a controller's listener over TLS: what a sample costs there, and on the wire.
//
//   ingest_bench [AGENTS [SERIES [SECONDS [RULES.yml]]]]     (default: 1000 200 10, without rules)
//
// A child process plays the agents: each its own connection and certificate, one batch a second and a
// heartbeat each five, values from this machine's own /proc by the host collector. This process is the
// controller: listener, decoding, and one shard thread with the compressed series windows (and the rules,
// when given). CPU is this process's alone, user and system, over the window after all are connected.
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "agent/collectors/host/host.h"
#include "agent/link/layouts.h"
#include "common/base/ids.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "controller/ingest/server.h"
#include "controller/rules/rule_set.h"
#include "controller/rules/shard.h"
#include "quell/v1/link.grpc.pb.h"
#include "tests/common/security/test_pki.h"
#include "tests/controller/ingest/fakes.h"

namespace quell {
namespace {

using testing_support::TestLeaf;
using testing_support::TestPki;

struct Plan {
  int agents = 1000;
  int series = 200;
  int seconds = 10;
  std::string rules;
};

// ---- the agents
// The newest collection of this machine, thinned out to the wanted number of series.
class Source final : public agent::CollectorSink {
 public:
  explicit Source(int series)
      : series_(series), collector_(agent::MakeHostCollector("", kSecond, RealClock())) {}
  void Add(agent::Collection collection) override {
    if (collection.series != list_) Thin(collection);
    newest_.values.clear();
    for (size_t pick : picks_) newest_.values.push_back(collection.values[pick]);
  }
  void Add(v1::Event) override {}
  void Collect() { (void)collector_->Collect(RealClock(), *this); }
  const agent::Collection& newest() const { return newest_; }

 private:
  void Thin(const agent::Collection& collection) {
    list_ = collection.series;
    picks_.clear();
    auto thin = std::make_shared<std::vector<agent::Series>>();
    for (int i = 0; i < series_; ++i) {
      picks_.push_back(static_cast<size_t>(i) * list_->size() / static_cast<size_t>(series_) % list_->size());
      agent::Series series = (*list_)[picks_.back()];
      series.labels.Set("zz", std::to_string(i));  // keeps them apart when the host has fewer
      thin->push_back(std::move(series));
    }
    newest_.collector = "host";
    newest_.series = std::move(thin);
  }
  const int series_;
  std::unique_ptr<agent::Collector> collector_;
  agent::SeriesList list_;
  std::vector<size_t> picks_;
  agent::Collection newest_;
};

class Player final : public grpc::ClientBidiReactor<v1::AgentFrame, v1::ControllerFrame> {
 public:
  Player(const TestPki& pki, const TestLeaf& leaf, const std::string& address) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    const security::TlsIdentity own{security::Secret(leaf.key_pem), leaf.certificate_pem};
    stub_ = v1::AgentLink::NewStub(grpc::CreateCustomChannel(
        address,
        security::ControllerChannelCredentials(own, std::make_shared<security::TrustHolder>(pki.bundle()),
                                               "127.0.0.1", RealClock(),
                                               std::make_shared<security::ServerCheck>()),
        args));
    context_.set_wait_for_ready(true);
    stub_->async()->Stream(&context_, this);
    AddHold();
    StartRead(&in_);
    v1::Hello* hello = out_.mutable_hello();
    hello->set_agent_start(std::string(16, 'r'));
    hello->set_monotonic_us(begun_ = RealClock().Monotonic());
    hello->set_wall_us(RealClock().Wall());
    StartWrite(&out_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&in_);
  }
  void OnWriteDone(bool) override { writing_ = false; }
  void OnDone(const grpc::Status&) override {}

  void Send(const Source& source, bool heartbeat) {
    if (writing_.exchange(true)) return;
    out_.Clear();
    const Micros now = RealClock().Monotonic();
    for (agent::LayoutPart& part : layouts_.PartsOf(source.newest())) {
      if (!std::exchange(part.defined, true)) *out_.add_layouts() = part.definition;
      std::vector<double> values;
      for (uint32_t pick : part.picks) values.push_back(source.newest().values[pick]);
      part.encoder.Encode(values, now - begun_, ++number_, out_.add_batches());
    }
    if (heartbeat) {
      out_.mutable_heartbeat()->set_monotonic_us(now);
      out_.mutable_heartbeat()->set_wall_us(RealClock().Wall());
    }
    StartWrite(&out_);
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::AgentLink::Stub> stub_;
  v1::AgentFrame out_;
  v1::ControllerFrame in_;
  agent::LayoutBook layouts_;
  std::atomic<bool> writing_{true};
  uint64_t number_ = 0;
  Micros begun_ = 0;
};

[[noreturn]] void PlayAgents(const Plan& plan, const TestPki& pki, const std::vector<TestLeaf>& leaves,
                             int from_parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int port = 0;
  if (read(from_parent, &port, sizeof(port)) != sizeof(port)) _exit(1);
  security::PrepareGrpcProcess();
  Source source(plan.series);
  source.Collect();
  std::vector<std::unique_ptr<Player>> players;
  for (const TestLeaf& leaf : leaves) {
    players.push_back(std::make_unique<Player>(pki, leaf, "127.0.0.1:" + std::to_string(port)));
    absl::SleepFor(absl::Milliseconds(4));  // 250 dials a second
  }
  for (int second = 0;; ++second) {
    const absl::Time begin = absl::Now();
    source.Collect();
    for (size_t i = 0; i < players.size(); ++i) {
      const absl::Time due =
          begin + absl::Seconds(1) * static_cast<double>(i) / static_cast<double>(players.size());
      if (due - absl::Now() > absl::Milliseconds(1)) absl::SleepFor(due - absl::Now());
      players[i]->Send(source, (second + static_cast<int>(i)) % 5 == 0);
    }
    absl::SleepFor(begin + absl::Seconds(1) - absl::Now());
  }
}

// ---- the controller
class OneShard final : public ingest::ShardRouter, public ingest::ShardPort {
 public:
  OneShard(std::shared_ptr<const rules::RuleSet> rules)
      : shard_(std::move(rules), rules::ShardOptions()), thread_("shard", [this] { Run(); }) {}
  ~OneShard() override {
    tasks_.Close();
    thread_.Join();
  }
  ingest::ShardPort& Of(const std::string&) override { return *this; }
  bool Opened(const ingest::HostRecord& host, uint64_t, const v1::Hello&, const std::string&,
              Micros now) override {
    return tasks_.Push([this, host, now] { shard_.HostUp({host.id, host.name, host.labels}, false, now); });
  }
  void Closed(const std::string&, uint64_t, Micros) override {}
  bool Heartbeat(const std::string&, const v1::Heartbeat&, Micros) override { return true; }
  void Goodbye(const std::string&, const std::string&, Micros) override {}
  bool Samples(const std::string& id, std::vector<ingest::SampleBatch> batches) override {
    return tasks_.Push([this, id, batches = std::move(batches)] {
      for (const ingest::SampleBatch& batch : batches) {
        std::vector<uint32_t>& handles = handles_[batch.table->key];
        if (handles.empty())
          for (const auto& row : batch.table->rows)
            handles.push_back(shard_.SeriesFor(id, row.name, row.labels, batch.table->job));
        for (size_t i = 0; i < handles.size(); ++i)
          shard_.Append(id, handles[i], {batch.at, batch.values[i]});
      }
    });
  }
  bool Events(const ingest::HostRecord&, std::vector<ingest::TimedEvent>, uint64_t) override { return true; }
  bool Reports(const ingest::HostRecord&, std::vector<ingest::TimedReport>, uint64_t) override {
    return true;
  }
  void Refused(const ingest::HostRecord&, const std::string&, Micros) override {}
  rules::ShardStats Stats() {
    absl::Mutex mutex;
    std::optional<rules::ShardStats> stats;
    tasks_.Push([&] {
      absl::MutexLock lock(&mutex);
      stats = shard_.stats();
    });
    absl::MutexLock lock(&mutex);
    auto there = [&] { return stats.has_value(); };
    mutex.Await(absl::Condition(&there));
    return *stats;
  }

 private:
  void Run() {
    while (true) {
      auto task = tasks_.Pop(absl::Milliseconds(200));
      if (task) (*task)();
      if (!task && tasks_.closed()) return;
      const Micros now = RealClock().Wall();
      if (shard_.NextDue() != 0 && now >= shard_.NextDue()) {
        shard_.Tick(now);
        (void)shard_.TakeEdges();
        (void)shard_.TakeRuleStates();
      }
    }
  }
  rules::Shard shard_;
  std::map<uint64_t, std::vector<uint32_t>> handles_;
  BoundedQueue<std::function<void()>> tasks_{65'536};
  NamedThread thread_;
};

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double ResidentMebibytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::shared_ptr<const rules::RuleSet> LoadRuleFile(const std::string& path) {
  config::Problems problems;
  std::vector<rules::RuleFile> files;
  if (!path.empty()) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    files.push_back({path, text.str()});
  }
  auto set = rules::LoadRules(
      files, [](std::string_view) { return std::string(); }, problems);
  if (set == nullptr) fprintf(stderr, "%s", problems.ToString().c_str());
  return set;
}

int Control(const Plan& plan, const TestPki& pki, const std::vector<std::string>& ids, int to_child) {
  security::PrepareGrpcProcess();
  auto rules = LoadRuleFile(plan.rules);
  if (rules == nullptr) return 2;
  ingest::MemoryDirectory hosts;
  for (size_t i = 0; i < ids.size(); ++i) hosts.Add(ids[i], "host-" + std::to_string(i));
  OneShard shard(rules);
  ingest::SessionRegistry registry;
  ingest::IngestCounters counters;
  ingest::IngestServer server({.version = "bench"}, {hosts,
                                                     shard,
                                                     registry,
                                                     counters,
                                                     RealClock(),
                                                     std::make_shared<security::TrustHolder>(pki.bundle()),
                                                     [] { return RealClock().Wall(); },
                                                     {}});
  const TestLeaf leaf = pki.Controller();
  const absl::Status status =
      server.Start("127.0.0.1:0", {security::Secret(leaf.key_pem), leaf.certificate_pem});
  const int port = server.port();
  if (!status.ok() || write(to_child, &port, sizeof(port)) != sizeof(port)) return 1;
  const double before_mib = ResidentMebibytes();
  const absl::Time give_up = absl::Now() + absl::Seconds(30) + absl::Milliseconds(20) * plan.agents;
  while (registry.open() < ids.size() && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(50));
  absl::SleepFor(absl::Seconds(3));  // every layout is defined, every window begun
  const uint64_t samples = counters.samples, bytes = counters.bytes, frames = counters.frames;
  const double cpu = CpuSeconds();
  const absl::Time begin = absl::Now();
  absl::SleepFor(absl::Seconds(plan.seconds));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double used = CpuSeconds() - cpu;
  const auto taken = static_cast<double>(counters.samples - samples);
  const auto received = static_cast<double>(counters.bytes - bytes);
  const rules::ShardStats stats = shard.Stats();
  printf("agents open                 %zu of %d\n", registry.open(), plan.agents);
  printf("samples a second            %.0f\n", taken / seconds);
  printf("frames a second             %.0f\n", static_cast<double>(counters.frames - frames) / seconds);
  printf("bytes a sample on the wire  %.2f  (frames before TLS and HTTP/2)\n", received / taken);
  printf("CPU a sample                %.3f us  (%.1f %% of one core)\n", used / taken * 1e6,
         used / seconds * 100);
  printf("CPU a frame                 %.1f us\n", used / static_cast<double>(counters.frames - frames) * 1e6);
  printf("series                      %zu, %.0f bytes each in windows and index\n", stats.series.series,
         static_cast<double>(stats.series.bytes) /
             static_cast<double>(std::max<size_t>(stats.series.series, 1)));
  printf("memory                      %.0f MiB, %.0f kB an agent over the empty controller\n",
         ResidentMebibytes(), (ResidentMebibytes() - before_mib) * 1024 / plan.agents);
  printf("shed %lu, over budget %lu, misdated %lu, rule evaluations %lu\n",
         static_cast<unsigned long>(counters.samples_shed),
         static_cast<unsigned long>(counters.samples_over_budget),
         static_cast<unsigned long>(counters.samples_misdated),
         static_cast<unsigned long>(stats.rule_evaluations));
  const bool good = registry.open() == ids.size() && taken > 0;
  fflush(stdout);
  return good ? 0 : 1;
}

int Main(int argc, char** argv) {
  Plan plan;
  if (argc > 1) plan.agents = atoi(argv[1]);
  if (argc > 2) plan.series = atoi(argv[2]);
  if (argc > 3) plan.seconds = atoi(argv[3]);
  if (argc > 4) plan.rules = argv[4];
  if (plan.agents < 1 || plan.series < 1 || plan.seconds < 1) {
    fprintf(stderr, "usage: ingest_bench [AGENTS [SERIES [SECONDS [RULES.yml]]]]\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const TestPki pki(RealClock().Wall());
  std::vector<std::string> ids;
  std::vector<TestLeaf> leaves;
  for (int i = 0; i < plan.agents; ++i) {
    ids.push_back(RandomUuid());
    leaves.push_back(pki.Agent(ids.back()));
  }
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t child = fork();  // before gRPC has begun anything
  if (child == 0) PlayAgents(plan, pki, leaves, ends[0]);
  const int code = Control(plan, pki, ids, ends[1]);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return code;
}

}  // namespace
}  // namespace quell

int main(int argc, char** argv) { return quell::Main(argc, argv); }
