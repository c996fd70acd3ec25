// What quell costs a host, beside node_exporter and postgres_exporter in the same minutes.
//
//   footprint_bench PEERS [SECONDS] [EVERY_S]      (default: 120 s, one collection and one scrape a second)
//
// PEERS is the directory into which `deploy/dependencies bench` unpacks Debian's two exporters. Agent,
// executor and PM2 reader watch this host, a PM2 with five apps and a PostgreSQL server; the exporters are
// scraped, compressed, each EVERY_S on a kept connection, the second over a PostgreSQL server of its own that
// is made like the first. A third server is watched by nobody: what it spends in the same time is taken off
// both. Times are of the processes' own clocks; what the scraper spends is nobody's.
#include <gtest/gtest.h>
#include <httplib.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/status.h"
#include "tests/bench/process_cost.h"
#include "tests/integration/world.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr int kApps = 5;
constexpr Micros kWarmUp = 10 * kSecond;

std::unique_ptr<PostgresCluster> MakeCluster(const std::string& directory) {
  auto cluster = PostgresCluster::Start(directory);
  Require(cluster.ok(), cluster.status().ToString());
  Require((*cluster)->Psql("CREATE DATABASE boutique").ok(), "CREATE DATABASE");
  Require((*cluster)->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "boutique").ok(), "quell.sql");
  return *std::move(cluster);
}

WorldOptions Options(const PostgresCluster& watched, const std::string& every) {
  WorldOptions options;
  for (int i = 0; i < kApps; ++i)
    options.apps.push_back({.name = absl::StrCat("app-", i), .source = "setInterval(() => {}, 1e9);"});
  options.rules = "groups: []\n";
  options.policies = "policies: []\n";
  options.every = every;
  options.collectors = absl::StrCat("  postgres: [{name: main, dsn: \"host=", watched.socket_directory(),
                                    " user=quell_monitor dbname=boutique\", every: ", every, "}]\n");
  return options;
}

class Exporter {
 public:
  Exporter(const std::string& program, std::vector<std::string> arguments,
           std::vector<std::string> environment)
      : port_(FreePort()) {
    SpawnOptions options;
    options.program = program;
    options.argv = {program, absl::StrCat("--web.listen-address=127.0.0.1:", port_)};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = std::move(environment);
    options.memory_limit = 0;
    options.deadline = kHour;
    auto child = RealProcess().Start(options);
    Require(child.ok(), child.status().ToString());
    child_ = *std::move(child);
    client_ = std::make_unique<httplib::Client>("127.0.0.1", port_);
    client_->set_keep_alive(true);
    client_->set_decompress(false);
    Require(WaitFor([this] { return Scrape(false) > 0; }), absl::StrCat(program, " does not answer"));
  }
  // Bytes of the answer; with `plain`, samples in it.
  size_t Scrape(bool plain) {
    const auto result = client_->Get("/metrics", {{"Accept-Encoding", plain ? "identity" : "gzip"}});
    if (!result || result->status != 200) return 0;
    if (!plain) return result->body.size();
    size_t samples = 0;
    bool begins = true;
    for (const char c : result->body) {
      samples += begins && c != '#' && c != '\n';
      begins = c == '\n';
    }
    return samples;
  }
  pid_t pid() const { return child_->pid(); }

 private:
  const uint16_t port_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<httplib::Client> client_;
};

struct Line {
  const char* what;
  pid_t pid;
  bool tree;
  ProcessCost before = {};
  ProcessCost Now() const { return tree ? CostOfTree(pid) : CostOf(pid); }
  // Seconds of processor a minute since `before`.
  double Spent(const ProcessCost& now, double minutes) const {
    return (now.seconds - before.seconds + now.reaped - before.reaped) / minutes;
  }
};

class Bench {
 public:
  Bench(const std::string& peers, int seconds, int every)
      : seconds_(seconds),
        every_(every),
        watched_(MakeCluster(first_.path())),
        scraped_(MakeCluster(second_.path())),
        idle_(MakeCluster(third_.path())),
        world_(Options(*watched_, absl::StrCat(every, "s"))),
        node_(absl::StrCat(peers, "/usr/bin/prometheus-node-exporter"), {}, {}),
        postgres_(absl::StrCat(peers, "/usr/bin/prometheus-postgres-exporter"), {},
                  {absl::StrCat("DATA_SOURCE_NAME=host=", scraped_->socket_directory(),
                                " user=quell_monitor dbname=boutique sslmode=disable")}) {
    world_.StartAll();
  }

  int Run() {
    Require(WaitFor(
                [this] {
                  return world_.Quell({"query", "pg_up == 1"})["result"].size() == 1;
                },
                kMinute),
            "the agent does not watch PostgreSQL");
    const size_t theirs = node_.Scrape(true) + postgres_.Scrape(true);
    ScrapeFor(kWarmUp);
    std::vector<Line> lines = {{"quell-agent", world_.Pid("agent"), false},
                               {"quell-executor and PM2 reader", world_.Pid("executor"), true},
                               {"node_exporter", node_.pid(), false},
                               {"postgres_exporter", postgres_.pid(), false},
                               {"PostgreSQL under quell", watched_->pid(), true},
                               {"PostgreSQL under postgres_exporter", scraped_->pid(), true},
                               {"PostgreSQL, nobody watches", idle_->pid(), true}};
    for (Line& line : lines) line.before = line.Now();
    const double samples = Samples();
    const Micros begin = RealClock().Monotonic();
    ScrapeFor(seconds_ * kSecond);
    const double minutes = static_cast<double>(RealClock().Monotonic() - begin) / kMinute;
    return Report(lines, minutes, (Samples() - samples) / (minutes * 60),
                  static_cast<double>(theirs) / every_);
  }

 private:
  void ScrapeFor(Micros time) {
    const Micros end = RealClock().Monotonic() + time;
    for (Micros due = RealClock().Monotonic(); due < end; due += every_ * kSecond) {
      absl::SleepFor(absl::Microseconds(due - RealClock().Monotonic()));
      node_.Scrape(false);
      postgres_.Scrape(false);
    }
    absl::SleepFor(absl::Microseconds(end - RealClock().Monotonic()));
  }

  double Samples() { return atof(world_.Metric("quell_ingest_samples_total").c_str()); }

  static int Report(const std::vector<Line>& lines, double minutes, double ours, double theirs) {
    printf("%-36s %12s %9s %12s %8s\n", "", "CPU s/min", "PSS MiB", "private MiB", "threads");
    double spent[7];
    for (size_t i = 0; i < lines.size(); ++i) {
      const ProcessCost now = lines[i].Now();
      spent[i] = lines[i].Spent(now, minutes);
      printf("%-36s %12.3f %9.1f %12.1f %8d\n", lines[i].what, spent[i], now.pss_mib, now.private_mib,
             now.threads);
    }
    const double our_cpu = spent[0] + spent[1], their_cpu = spent[2] + spent[3];
    printf("samples a second                     quell %.0f, exporters %.0f\n", ours, theirs);
    printf("CPU a minute                         quell %.3f s, exporters %.3f s\n", our_cpu, their_cpu);
    printf("CPU a sample                         quell %.2f us, exporters %.2f us\n",
           our_cpu / 60 / ours * 1e6, their_cpu / 60 / theirs * 1e6);
    printf("CPU in PostgreSQL, a minute          quell %.3f s, postgres_exporter %.3f s\n",
           spent[4] - spent[6], spent[5] - spent[6]);
    return 0;
  }

  const int seconds_, every_;
  TempDir first_, second_, third_;
  std::unique_ptr<PostgresCluster> watched_, scraped_, idle_;
  World world_;
  Exporter node_, postgres_;
};

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int seconds = argc > 2 ? atoi(argv[2]) : 120, every = argc > 3 ? atoi(argv[3]) : 1;
  if (argc < 2 || seconds < 1 || every < 1) {
    fprintf(
        stderr,
        "usage: footprint_bench PEERS [SECONDS] [EVERY_S]; `deploy/dependencies bench` makes build/peers\n");
    return 2;
  }
  return quell::test::Bench(argv[1], seconds, every).Run();
}
