// What the PostgreSQL collector's tests share: a real server, a collector over it, and what it told of, as
// text.
#pragma once
#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/collectors/postgres/postgres_collector.h"
#include "common/base/clock.h"
#include "common/config/postgres_dsn.h"
#include "common/model/sample.h"
#include "tests/support/files.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/wait.h"

namespace quell::agent {

// Keeps the live series of a collector that sends several lists. One thread.
class LiveSeries final : public CollectorSink {
 public:
  void Add(Collection collection) override {
    ASSERT_EQ(collection.series->size(), collection.values.size());
    std::map<std::string, double> now;
    for (size_t i = 0; i < collection.values.size(); ++i) {
      const Series& series = (*collection.series)[i];
      const std::string text = absl::StrCat(series.name, series.labels.ToString());
      if (IsStale(collection.values[i])) {
        values_.erase(text);
      } else {
        EXPECT_TRUE(now.emplace(text, collection.values[i]).second) << "twice: " << text;
      }
      all_.push_back(series);
    }
    for (const auto& [text, value] : now) values_[text] = value;
  }
  void Add(v1::Event event) override { events_.push_back(std::move(event)); }

  // The value of the one live series whose text begins so; -1 when there is none or several.
  double Value(const std::string& begin) const {
    const auto found = values_.lower_bound(begin);
    if (found == values_.end() || !found->first.starts_with(begin)) return -1;
    const auto next = std::next(found);
    return next != values_.end() && next->first.starts_with(begin) ? -1 : found->second;
  }
  std::vector<std::string> Names(const std::string& begin) const {
    std::vector<std::string> out;
    for (const auto& [text, value] : values_)
      if (text.starts_with(begin)) out.push_back(text);
    return out;
  }
  const std::map<std::string, double>& values() const { return values_; }
  const std::vector<Series>& all() const { return all_; }  // ever told of
  const std::vector<v1::Event>& events() const { return events_; }
  int EventsOf(std::string_view kind) const {
    int n = 0;
    for (const v1::Event& event : events_) n += event.kind() == kind;
    return n;
  }

 private:
  std::map<std::string, double> values_;
  std::vector<Series> all_;
  std::vector<v1::Event> events_;
};

// Time that moves with the real one, and by hand.
class ShiftedClock final : public Clock {
 public:
  Micros Wall() override { return RealClock().Wall() + shift_; }
  Micros Monotonic() override { return RealClock().Monotonic() + shift_; }
  Micros Boot() override { return RealClock().Boot() + shift_; }
  void Advance(Micros d) { shift_ += d; }

 private:
  Micros shift_ = 0;
};

class PostgresTest : public testing::Test {
 protected:
  // Starts the server, with quell's roles, a database boutique and an application's role shop.
  void StartServer(const test::PostgresCluster::Options& options = {}) {
    ASSERT_TRUE(test::PostgresCluster::Available()) << "run deploy/dependencies test";
    auto cluster = test::PostgresCluster::Start(directory_.path(), options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    Psql("CREATE DATABASE boutique");
    Psql("CREATE ROLE shop LOGIN PASSWORD 'shop'");
    ASSERT_TRUE(cluster_->RunFile(QUELL_SOURCE_DIR "/deploy/postgres/quell.sql", "boutique").ok());
    Psql(
        "CREATE TABLE orders(id int PRIMARY KEY, x int); INSERT INTO orders SELECT i, 0 FROM "
        "generate_series(1, 9) i; "
        "GRANT ALL ON orders TO shop",
        "boutique");
  }
  void Psql(const std::string& text, const std::string& database = "postgres") {
    const absl::Status status = cluster_->Psql(text, database).status();
    ASSERT_TRUE(status.ok()) << text << ": " << status;
  }
  PostgresConfig Config(const std::string& more = "") const {
    PostgresConfig config;
    config.name = "main";
    auto dsn = config::ParsePostgresDsn(absl::StrCat(
        "host=", directory_.path(), "/s user=quell_monitor dbname=boutique connect_timeout=2 ", more));
    EXPECT_TRUE(dsn.ok()) << dsn.status();
    if (dsn.ok()) config.dsn = *dsn;
    return config;
  }
  absl::Status Collect() {
    if (collector_ == nullptr) collector_ = MakePostgresCollector(Config());
    return collector_->Collect(clock_, sink_);
  }
  std::unique_ptr<test::PostgresSession> Session(std::string_view user = "shop",
                                                 std::string_view database = "boutique") {
    auto session = cluster_->Connect(user, database);
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? *std::move(session) : nullptr;
  }
  bool WaitForUngranted(int n) {
    return test::WaitFor([&] {
      auto rows = cluster_->Psql("SELECT count(*) FROM pg_locks WHERE NOT granted");
      return rows.ok() && (*rows)[0][0] == absl::StrCat(n);
    });
  }

  test::TempDir directory_;
  std::unique_ptr<test::PostgresCluster> cluster_;
  ShiftedClock clock_;
  LiveSeries sink_;
  std::unique_ptr<Collector> collector_;
};

}  // namespace quell::agent
