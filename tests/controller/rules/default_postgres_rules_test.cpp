// deploy/rules/default.yml, group postgres: when each alert fires, for whom, and when not.
#include <fstream>
#include <map>
#include <sstream>

#include "tests/controller/rules/fixture.h"

namespace quell::rules {
namespace {

class DefaultPostgresRules : public ShardFixture {
 protected:
  void SetUp() override {
    std::ostringstream text;
    text << std::ifstream(QUELL_SOURCE_DIR "/deploy/rules/default.yml").rdbuf();
    Start(text.str());
    Up("h1", "db-1");
  }
  struct Given {
    std::string name;
    Labels labels;
    double value;
  };
  // These series, with a sample a second.
  void For(Micros d, const std::vector<Given>& given) {
    for (Micros t = 0; t < d; t += kSecond) {
      for (const Given& g : given) Put("h1", g.name, g.labels, g.value);
      Run(kSecond);
    }
  }
  // Alert -> how often it began and ended to fire, as "F" and "C".
  std::map<std::string, std::string> Fired() {
    Collect();
    std::map<std::string, std::string> out;
    for (const v1::SignalEdge& edge : signals)
      out[edge.signal().alert()] += edge.signal().state() == v1::FIRING ? "F" : "C";
    return out;
  }
  std::string LabelOf(const std::string& alert, const std::string& name) {
    for (const v1::SignalEdge& edge : signals)
      for (const v1::Label& label : edge.signal().labels())
        if (edge.signal().alert() == alert && label.name() == name) return label.value();
    return "";
  }
};
using Alerts = std::map<std::string, std::string>;

const Labels kMain = {{"server", "main"}};
const Labels kRoot = {{"backend_start", "1795403704314159"},
                      {"datname", "boutique"},
                      {"pid", "4711"},
                      {"server", "main"},
                      {"usename", "shop"},
                      {"xact_start", "1795403704999999"}};

TEST_F(DefaultPostgresRules, ARestartIsNotDownAndAnOutageIs) {
  For(20 * kSecond, {{"pg_up", kMain, 0}});
  For(10 * kSecond, {{"pg_up", kMain, 1}});
  EXPECT_EQ(Fired(), Alerts{});
  For(40 * kSecond, {{"pg_up", kMain, 0}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresDown", "F"}}));
  For(10 * kSecond, {{"pg_up", kMain, 1}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresDown", "FC"}}));
}

TEST_F(DefaultPostgresRules, ABlockingRootWithWhatARemedyIsBoundTo) {
  For(kMinute, {{"pg_blocking_root_victims", kRoot, 4}});
  EXPECT_EQ(Fired(), Alerts{}) << "four is not many";
  For(10 * kSecond, {{"pg_blocking_root_victims", kRoot, 7}});
  EXPECT_EQ(Fired(), Alerts{}) << "a moment is not long";
  For(20 * kSecond, {{"pg_blocking_root_victims", kRoot, 7}});
  ASSERT_EQ(Fired(), (Alerts{{"PostgresBlocked", "F"}}));
  for (const auto& [name, value] : kRoot) EXPECT_EQ(LabelOf("PostgresBlocked", name), value) << name;
  EXPECT_EQ(LabelOf("PostgresBlocked", "category"), "database");
  EXPECT_EQ(signals[0].signal().severity(), v1::P1);
  For(10 * kSecond, {{"pg_blocking_root_victims", kRoot, 0}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresBlocked", "FC"}}));
}

TEST_F(DefaultPostgresRules, ASparedRootIsAnAlertOfItsOwn) {
  Labels spared = kRoot;
  spared.Set("why", "superuser");
  For(30 * kSecond, {{"pg_blocking_root_spared_victims", spared, 7}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresBlockedBySpared", "F"}}));
}

TEST_F(DefaultPostgresRules, ConnectionsAreCountedByServer) {
  const auto state = [](const char* server, const char* name) {
    return Labels{{"datname", "boutique"}, {"server", server}, {"state", name}};
  };
  const Labels other = {{"server", "other"}};
  For(kMinute, {{"pg_settings_max_connections", kMain, 40},
                {"pg_settings_superuser_reserved_connections", kMain, 3},
                {"pg_settings_max_connections", other, 40},
                {"pg_settings_superuser_reserved_connections", other, 3},
                {"pg_stat_activity_count", state("main", "idle"), 30},
                {"pg_stat_activity_count", state("main", "active"), 4},
                {"pg_stat_activity_count", state("other", "idle"), 33}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresConnectionsNearLimit", "F"}}));
  EXPECT_EQ(LabelOf("PostgresConnectionsNearLimit", "server"), "main");
}

TEST_F(DefaultPostgresRules, SlowThingsAndReplicas) {
  Labels statement = kRoot;
  statement.Set("query_start", "1795403705111111");
  For(2 * kMinute, {{"pg_long_query_seconds", statement, 301},
                    {"pg_longest_transaction_seconds", kMain, 901},
                    {"pg_replication_lag_seconds", kMain, 61},
                    {"pg_replication_is_replica", kMain, 1}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresLongQuery", "F"},
                             {"PostgresLongTransaction", "F"},
                             {"PostgresReplicationLag", "F"}}));
  for (const auto& [name, value] : statement) EXPECT_EQ(LabelOf("PostgresLongQuery", name), value) << name;
}

TEST_F(DefaultPostgresRules, CountersThatRise) {
  const Labels database = {{"datid", "5"}, {"datname", "boutique"}, {"server", "main"}};
  const Labels panic = {{"server", "main"}, {"severity", "PANIC"}};
  const auto at = [&](double deadlocks, double failed, double panics) {
    return std::vector<Given>{{"pg_stat_database_deadlocks", database, deadlocks},
                              {"pg_stat_archiver_failed_count", kMain, failed},
                              {"pg_stat_archiver_archived_count", kMain, 12},
                              {"pg_log_errors_total", panic, panics}};
  };
  For(11 * kMinute, at(3, 0, 0));
  EXPECT_EQ(Fired(), Alerts{});
  For(kMinute, at(7, 2, 1));
  EXPECT_EQ(Fired(), (Alerts{{"PostgresDeadlocks", "F"}, {"PostgresPanic", "F"}}));
  For(5 * kMinute, at(7, 3, 1));
  EXPECT_EQ(Fired()["PostgresArchivingFails"], "F");
}

TEST_F(DefaultPostgresRules, ASlotThatKeepsTheLog) {
  const Labels slot = {{"server", "main"}, {"slot_name", "copy"}};
  For(6 * kMinute,
      {{"pg_replication_slots_active", slot, 0}, {"pg_replication_slots_pg_wal_lsn_diff", slot, 1e9}});
  EXPECT_EQ(Fired(), Alerts{});
  For(6 * kMinute,
      {{"pg_replication_slots_active", slot, 0}, {"pg_replication_slots_pg_wal_lsn_diff", slot, 2e9}});
  EXPECT_EQ(Fired(), (Alerts{{"PostgresReplicationSlotUnused", "F"}}));
}

}  // namespace
}  // namespace quell::rules
