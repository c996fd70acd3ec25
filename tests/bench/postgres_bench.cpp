// What watching a PostgreSQL server costs, in the agent and in the server:
//
//     build/release/bench/postgres_bench [COLLECTIONS]
//
// Starts a cluster of its own with 20 sessions and 60 tables, collects back to back (the slower sections at
// their share of one collection a second), and tells the processor time of one collection: ours, and that of
// the server's process that serves us (/proc/PID/schedstat). The second line is the same while four sessions
// wait for one.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/collectors/postgres/postgres_collector.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "tests/support/files.h"
#include "tests/support/postgres_cluster.h"

namespace quell::agent {
namespace {

class Count final : public CollectorSink {
 public:
  void Add(Collection collection) override { values_ += collection.values.size(); }
  void Add(v1::Event) override {}
  size_t values() const { return values_; }

 private:
  size_t values_ = 0;
};

// A second passes between two collections.
class SteppingClock final : public Clock {
 public:
  Micros Wall() override { return RealClock().Wall(); }
  Micros Monotonic() override { return RealClock().Monotonic() + shift_; }
  Micros Boot() override { return Monotonic(); }
  void Step() { shift_ += kSecond; }

 private:
  Micros shift_ = 0;
};

double OurSeconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double ProcessSeconds(const std::string& pid) {
  double nanoseconds = 0;
  std::ifstream("/proc/" + pid + "/schedstat") >> nanoseconds;
  return nanoseconds / 1e9;
}

void Must(const absl::Status& status) { Require(status.ok(), status.ToString()); }

class Bench {
 public:
  explicit Bench(int collections) : collections_(collections) {
    auto cluster = test::PostgresCluster::Start(directory_.path());
    Must(cluster.status());
    cluster_ = *std::move(cluster);
    Must(cluster_->Psql("CREATE DATABASE boutique").status());
    Must(cluster_->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "boutique"));
    Must(cluster_->Psql("CREATE ROLE shop LOGIN").status());
    Must(cluster_
             ->Psql("DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT g AS id FROM "
                    "generate_series(1, 10) g', i); EXECUTE format('GRANT ALL ON t%s TO shop', i); END LOOP; "
                    "END $$",
                    "boutique")
             .status());
    for (int i = 0; i < 20; ++i) sessions_.push_back(Session());
    PostgresConfig config;
    config.name = "main";
    config.dsn.host = cluster_->socket_directory();
    config.dsn.dbname = "boutique";
    collector_ = MakePostgresCollector(config);
  }

  void Run(const char* what) {
    for (int i = 0; i < 20; ++i) Step();
    const auto rows = cluster_->Psql("SELECT pid FROM pg_stat_activity WHERE usename = 'quell_monitor'");
    Must(rows.status());
    const std::string pid = (*rows)[0][0];
    const size_t values = sink_.values();
    const double ours = OurSeconds(), theirs = ProcessSeconds(pid);
    for (int i = 0; i < collections_; ++i) Step();
    const double n = collections_;
    const double we = (OurSeconds() - ours) / n, they = (ProcessSeconds(pid) - theirs) / n;
    printf(
        "%-28s %6.0f values  agent %7.1f us  server %7.1f us  a minute at 1 s: agent %.3f s, server %.3f s\n",
        what, static_cast<double>(sink_.values() - values) / n, we * 1e6, they * 1e6, we * 60, they * 60);
  }

  void Block() {
    Must(sessions_[0]->Execute("BEGIN; LOCK TABLE t1").status());
    for (int i = 1; i <= 4; ++i) sessions_[i]->Begin("SELECT * FROM t1");
  }

 private:
  std::unique_ptr<test::PostgresSession> Session() {
    auto session = cluster_->Connect("shop", "boutique");
    Must(session.status());
    return *std::move(session);
  }
  void Step() {
    clock_.Step();
    Must(collector_->Collect(clock_, sink_));
  }

  const int collections_;
  test::TempDir directory_;
  std::unique_ptr<test::PostgresCluster> cluster_;
  std::vector<std::unique_ptr<test::PostgresSession>> sessions_;
  std::unique_ptr<Collector> collector_;
  SteppingClock clock_;
  Count sink_;
};

}  // namespace
}  // namespace quell::agent

int main(int argc, char** argv) {
  quell::agent::Bench bench(argc > 1 ? std::max(1, atoi(argv[1])) : 1000);
  bench.Run("20 sessions, 60 tables");
  bench.Block();
  bench.Run("and four wait for one");
  return 0;
}
