// From a statement that runs for too long to the end of its session, with the real programs and a real
// PostgreSQL.
//
//   query_bench [ROUNDS] [EVERY]     (default: 50 rounds, one collection each 1s)
//
// In each round a session begins a statement that would run for ten minutes; a rule says that 2 s are too
// long, and its policy ends the session. The times:
//   threshold: the statement's start by the server's clock, and 2 s;
//   declared: engine time of the decision, declared_at;
//   terminated: when the session's client got the server's word that it is over.
// All clocks are this machine's, so they may be subtracted.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "tests/bench/figures.h"
#include "tests/integration/world.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr Micros kTooLong = 2 * kSecond;

constexpr char kRules[] = R"(groups:
- name: database
  interval: 1s
  rules:
  - alert: LongQuery
    expr: pg_long_query_seconds > 2
    labels: {severity: P2}
    annotations: {summary: "{{ $labels.pid }} of {{ $labels.server }} runs one statement for too long"}
)";

constexpr char kPolicies[] = R"(policies:
- name: end-long-query
  mode: automatic
  when: {alert: LongQuery}
  page: {unless_verified_in: 90s}
  steps:
  - action: postgres.terminate
    with:
      connection: $labels.server
      pid: $labels.pid
      backend_start_us: $labels.backend_start
      xact_start_us: $labels.xact_start
      query_start_us: $labels.query_start
    verify: {cleared: true, within: 30s, hold: 1s}
  guard: {cooldown: 0s, attempts: {max: 100, within: 1h}, fresh: 10s}
  otherwise: page
)";

constexpr char kSanctions[] =
    "- {action: postgres.terminate, connection: main, allow: {databases: [boutique]}, "
    "limits: {min_age: 1s, max_targets: 1, per_hour: 1000}}\n";

std::unique_ptr<PostgresCluster> MakeCluster(const std::string& directory) {
  auto cluster = PostgresCluster::Start(directory);
  Require(cluster.ok(), cluster.status().ToString());
  Require((*cluster)->Psql("CREATE DATABASE boutique").ok(), "CREATE DATABASE");
  Require((*cluster)->Psql("CREATE ROLE shop LOGIN").ok(), "CREATE ROLE");
  Require((*cluster)->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "boutique").ok(), "quell.sql");
  return *std::move(cluster);
}

WorldOptions Options(const PostgresCluster& cluster, const std::string& every) {
  WorldOptions options;
  options.rules = kRules;
  options.policies = kPolicies;
  options.sanctions = kSanctions;
  options.monitoring = "1s";
  options.collectors =
      absl::StrCat("  postgres: [{name: main, dsn: \"host=", cluster.socket_directory(),
                   " user=quell_monitor dbname=boutique\", every: ", every, ", long_query_after: 2s}]\n");
  options.executor = {"--monitor-user", "nobody", "--remedy-user", "nobody"};
  return options;
}

class Bench {
 public:
  Bench(int rounds, const std::string& every)
      : rounds_(rounds), cluster_(MakeCluster(directory_.path())), world_(Options(*cluster_, every)) {
    world_.StartAll();
  }

  int Run() {
    const auto watched = [&] {
      const Json up = world_.Quell({"query", "pg_up == 1"});
      return up.is_object() && up.contains("result") && !up["result"].empty();
    };
    Require(WaitFor(watched, kMinute), world_.Log("agent"));
    for (int i = 0; i < rounds_; ++i) {
      if (!Round()) {
        fprintf(stderr, "%s\n%s\n%s\n", world_.Log("controller").c_str(), world_.Log("executor").c_str(),
                world_.Quell({"get", "commands", "--all"}).dump(1).c_str());
        return 1;
      }
    }
    printf("%-44s %8s %8s %6s\n", "ms", "p50", "p99", "n");
    Line("threshold -> declared", declared_);
    Line("declared -> terminated", ended_);
    Line("  declared -> handed over", delivered_);
    Line("  handed over -> the effect's worker starts", started_);
    Line("    of it the evidence", evidence_);
    Line("  that worker -> terminated", effect_);
    Line("threshold -> terminated", all_);
    return 0;
  }

 private:
  static void Line(const char* what, Percentiles& taken) {
    printf("%-44s %8.1f %8.1f %6zu\n", what, taken.Milliseconds(0.5), taken.Milliseconds(0.99),
           taken.count());
  }

  Micros StatementStart(int pid) {
    auto rows =
        cluster_->Psql(absl::StrCat("SELECT (extract(epoch FROM query_start) * 1000000)::bigint FROM "
                                    "pg_stat_activity WHERE state = 'active' AND "
                                    "query LIKE 'SELECT pg_sleep%' AND pid = ",
                                    pid));
    Micros start = 0;
    return rows.ok() && rows->size() == 1 && absl::SimpleAtoi((*rows)[0][0], &start) ? start : 0;
  }

  bool Round() {
    auto session = cluster_->Connect("shop", "boutique");
    if (!session.ok()) return false;
    const int pid = (*session)->pid();
    (*session)->Begin("SELECT pg_sleep(600)");
    Micros threshold = 0;
    if (!WaitFor([&] { return (threshold = StatementStart(pid)) != 0; })) return false;
    threshold += kTooLong;
    return End(**session) && Resolved(threshold);
  }

  // A statement that nobody ends is cancelled, so that the bench ends too. Nobody asks the server meanwhile:
  // that would be part of what is measured.
  bool End(PostgresSession& session) {
    const bool ended = WaitFor([&] { return session.ended(); }, 30 * kSecond);
    if (!ended) session.Cancel();
    const absl::Status status = session.End();
    at_ = session.ended_at();
    return ended && !status.ok();
  }

  bool Resolved(Micros threshold) {
    Json newest;
    const auto resolved = [&] {
      const std::vector<Json> all = world_.Items("incidents");
      if (all.empty() || all[0]["id"] == last_) return false;
      newest = all[0];
      return newest["status"] == "resolved";
    };
    if (!WaitFor(resolved, kMinute)) return false;
    last_ = newest["id"].get<std::string>();
    const Micros declared = TimeOf(newest, "declared_at");
    declared_.Add(declared - threshold);
    ended_.Add(at_ - declared);
    all_.Add(at_ - threshold);
    const std::vector<Json> commands = world_.Items("commands");
    if (commands.empty()) return false;
    const Micros delivered = TimeOf(commands[0], "delivered_at");
    const Micros started = TimeOf(commands[0], "started_at");
    delivered_.Add(delivered - declared);
    evidence_.Add(static_cast<Micros>(commands[0]["evidence_seconds"].get<double>() * kSecond));
    started_.Add(started - delivered);
    effect_.Add(at_ - started);
    return true;
  }

  const int rounds_;
  TempDir directory_;
  std::unique_ptr<PostgresCluster> cluster_;
  World world_;
  std::string last_;  // the incident of the round before
  Micros at_ = 0;
  Percentiles declared_, delivered_, evidence_, started_, effect_, ended_, all_;
};

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int rounds = argc > 1 ? atoi(argv[1]) : 50;
  if (rounds < 1 || rounds > 500) {
    fprintf(stderr, "usage: query_bench [ROUNDS] [EVERY], 1 to 500 rounds\n");
    return 2;
  }
  return quell::test::Bench(rounds, argc > 2 ? argv[2] : "1s").Run();
}
