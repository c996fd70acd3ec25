#include "agent/collectors/postgres/postgres_collector.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/collectors/postgres/connection.h"
#include "agent/collectors/postgres/log_errors.h"
#include "agent/collectors/postgres/queries.h"
#include "agent/collectors/postgres/sections.h"
#include "agent/collectors/series_table.h"
#include "common/base/status.h"
#include "common/config/secret.h"

namespace quell::agent {
namespace {

constexpr char kJob[] = "postgres";
constexpr Micros kTablesEvery = 15 * kSecond;
constexpr Micros kNamesEvery = kMinute;
constexpr Micros kSizesEvery = kMinute, kSizesAfterTrouble = 10 * kMinute;
constexpr Micros kSoonest =
    250 * kMillisecond;  // two collections are at least that far apart, where `every` is longer
constexpr Micros kAfter = 2 * kMillisecond;  // so that the statement is past it by the server's clock too
constexpr size_t kMostEvents = 5;            // of long statements, in one collection
constexpr Micros kRefusedEvery = 30 * kSecond;
constexpr Micros kBudget = 8 * kSecond;  // for one collection's statements; what comes later is left out

class PostgresCollector final : public Collector {
 public:
  explicit PostgresCollector(PostgresConfig config)
      : config_(std::move(config)), name_(absl::StrCat("postgres/", config_.name)), log_(config_.log_file) {
    scope_.server = config_.name;
    scope_.user = config_.dsn.user;
    scope_.own_database = config_.dsn.dbname;
    scope_.long_after = config_.long_query_after;
  }

  std::string_view name() const override { return name_; }
  // Sooner, when a statement is about to run for too long: it is met when it does, at no cost while none
  // does.
  Micros every() const override {
    if (scope_.next_long < 0) return config_.every;
    return std::min(config_.every, std::max(scope_.next_long, std::min(config_.every, kSoonest)) + kAfter);
  }
  Micros patience() const override {
    return config_.every + 2 * config_.dsn.connect_timeout * kSecond + kBudget + 4 * kSecond;
  }

  absl::Status Collect(Clock& clock, CollectorSink& sink) override {
    absl::Status connected = Connect(clock);
    absl::Status read;
    // A connection that turns out to be lost is made anew once: the server may be back already.
    for (int attempt = 0; connected.ok() && attempt < 2; ++attempt) {
      read = ReadAll(clock);
      if (connection_ != nullptr && !connection_->broken()) break;
      connection_.reset();
      connected = Connect(clock);
    }
    const Micros now = clock.Monotonic();
    if (!connected.ok()) {
      Clear();
      scope_.next_long = -1;
    }
    if (connected.ok() || absl::IsUnavailable(connected)) TellWhetherUp(connected, now, sink);
    for (Part* part : {&fast_, &tables_, &names_, &sizes_}) Send(*part, now + 1, sink);
    TellLongQueries(now, sink);
    if (connected.ok()) return read;
    return absl::IsUnavailable(connected) ? absl::OkStatus() : connected;
  }

 private:
  // Series that are read, and sent, at one pace.
  struct Part {
    SeriesTable table;
    Micros due = 0;      // monotonic
    bool fresh = false;  // put in this collection
    bool shown = false;  // its last collection had series
  };

  absl::Status Connect(Clock& clock) {
    if (connection_ != nullptr && !connection_->broken()) return absl::OkStatus();
    connection_.reset();
    if (!refused_.ok() && clock.Monotonic() < refused_until_) return refused_;
    refused_ = absl::OkStatus();
    absl::Status status = Open();
    if (!status.ok() && !absl::IsUnavailable(status)) {
      refused_ = status;
      refused_until_ = clock.Monotonic() + kRefusedEvery;
    }
    return status;
  }

  absl::Status Open() {
    config::Secret password;
    if (!config_.password_file.empty()) {
      auto read = config::ReadSecretFile(config_.password_file);
      // A code of its own: an unreadable file says nothing of the server.
      if (!read.ok()) return absl::FailedPreconditionError(read.status().message());
      password = *std::move(read);
    }
    QUELL_ASSIGN_OR_RETURN(auto connection, PgConnection::Open(config_.dsn, password));
    if (connection->version() < sql::kOldestVersion)
      return absl::FailedPreconditionError(
          absl::StrCat("the server's version ", connection->version(), " is older than 12"));
    QUELL_ASSIGN_OR_RETURN(const PgRows rows, connection->Query(sql::kCheck));
    if (rows.size() != 1 || !rows.Bool(0, 0))
      return absl::PermissionDeniedError(
          absl::StrCat("the role ", config_.dsn.user,
                       " is no member of pg_monitor: run deploy/postgres/quell.sql as a superuser"));
    connection_ = std::move(connection);
    scope_.names_wanted = true;
    for (Part* part : {&tables_, &names_, &sizes_}) part->due = 0;
    return absl::OkStatus();
  }

  void Begin(Part& part) {
    part.table.Begin();
    part.fresh = true;
  }

  void Clear() {
    for (Part* part : {&fast_, &tables_, &names_, &sizes_}) Begin(*part);
  }

  static void Send(Part& part, Micros at, CollectorSink& sink) {
    if (!std::exchange(part.fresh, false)) return;
    Collection collection = part.table.Finish(kJob, at);
    const bool any = !collection.values.empty();
    if (any || part.shown) sink.Add(std::move(collection));
    part.shown = any;
  }

  // Runs one section unless the connection or the time is gone; keeps the first thing that went wrong.
  template <typename Read>
  absl::Status Section(const char* what, Clock& clock, Read read) {
    if (connection_->broken()) return absl::OkStatus();
    if (clock.Monotonic() - begun_ > kBudget) {
      if (failed_.ok()) failed_ = absl::ResourceExhaustedError("there was no time left for all that is read");
      return failed_;
    }
    absl::Status status = Annotate(read(), what);
    if (!status.ok() && failed_.ok()) failed_ = status;
    return status;
  }

  absl::Status ReadAll(Clock& clock) {
    begun_ = clock.Monotonic();
    failed_ = absl::OkStatus();
    if (scope_.names_wanted || begun_ >= names_.due) ReadNamesAndSettings(clock);
    Begin(fast_);
    fast_.table.Put("pg_up", {{"server", config_.name}}, 1);
    ReadFast(clock);
    if (begun_ >= tables_.due) {
      tables_.due = begun_ + kTablesEvery;
      Begin(tables_);
      Section("tables", clock, [&] { return ReadTables(*connection_, scope_, tables_.table); }).IgnoreError();
    }
    if (begun_ >= sizes_.due) ReadSizesWhenPossible(clock);
    fast_.table.Put("pg_exporter_last_scrape_error", {{"server", config_.name}}, failed_.ok() ? 0 : 1);
    return failed_.ok() ? absl::OkStatus() : absl::UnavailableError(failed_.message());
  }

  void ReadNamesAndSettings(Clock& clock) {
    names_.due = begun_ + kNamesEvery;
    Begin(names_);
    Section("databases' names", clock, [&] {
      return ReadNames(*connection_, scope_, names_.table);
    }).IgnoreError();
    Section("settings", clock, [&] {
      return ReadSettings(*connection_, scope_, names_.table);
    }).IgnoreError();
  }

  void ReadFast(Clock& clock) {
    using Reader = absl::Status (*)(PgConnection&, PgScope&, SeriesTable&);
    const auto read = [&](const char* what, Reader reader) {
      Section(what, clock, [&] { return reader(*connection_, scope_, fast_.table); }).IgnoreError();
    };
    scope_.waiting = -1;
    scope_.longest = 0;
    read("the server", ReadServer);
    read("activity", ReadActivity);
    read("locks", ReadLocks);
    Section("blocking sessions", clock, [&] {
      return ReadBlocking(*connection_, scope_, fast_.table, begun_);
    }).IgnoreError();
    Section("long statements", clock, [&] {
      return ReadLongQueries(*connection_, scope_, fast_.table, begun_);
    }).IgnoreError();
    read("databases", ReadDatabases);
    read("replication", ReadReplication);
    read("checkpoints", ReadWriter);
    Section("the server's log", clock, [&] {
      return log_.Read(*connection_, config_.name, begun_, fast_.table);
    }).IgnoreError();
  }

  // Sizes walk through the databases' directories. A server where that takes too long is asked seldom, and
  // that is no failure of the collector.
  void ReadSizesWhenPossible(Clock& clock) {
    Begin(sizes_);
    const absl::Status before = failed_;
    const absl::Status status =
        Section("sizes", clock, [&] { return ReadSizes(*connection_, scope_, sizes_.table); });
    if (absl::IsResourceExhausted(status)) failed_ = before;
    sizes_.due = begun_ + (status.ok() ? kSizesEvery : kSizesAfterTrouble);
  }

  // Those that were met in this collection, after their samples: their rules look at once.
  void TellLongQueries(Micros now, CollectorSink& sink) {
    size_t told = 0;
    for (const auto& [key, one] : scope_.long_queries.told()) {
      if (one.since != begun_ || one.gone_since != 0 || ++told > kMostEvents) continue;
      const PgSession& s = one.notable.session;
      v1::Event event;
      event.set_kind("postgres.long_query");
      event.set_monotonic_us(now + 1);
      v1::EventSample* sample = event.add_samples();
      sample->mutable_series()->set_name("pg_long_query_seconds");
      const std::pair<const char*, std::string> labels[] = {
          {"backend_start", absl::StrCat(s.backend_start_us)},
          {"datname", one.notable.datname},
          {"pid", absl::StrCat(s.pid)},
          {"query_start", absl::StrCat(s.query_start_us)},
          {"server", config_.name},
          {"usename", one.notable.usename},
          {"xact_start", absl::StrCat(s.xact_start_us)}};
      for (const auto& [name, value] : labels) {
        if (value.empty()) continue;
        for (v1::Label* label : {event.add_labels(), sample->mutable_series()->add_labels()}) {
          label->set_name(name);
          label->set_value(value);
        }
      }
      sample->set_value(s.seconds);
      sample->set_job(kJob);
      sink.Add(std::move(event));
    }
  }

  void TellWhetherUp(const absl::Status& connected, Micros now, CollectorSink& sink) {
    const bool up = connected.ok();
    if (!up) {
      fast_.table.Put("pg_up", {{"server", config_.name}}, 0);
      fast_.table.Put("pg_exporter_last_scrape_error", {{"server", config_.name}}, 1);
    }
    const bool edge = up_ ? *up_ != up : !up;
    up_ = up;
    if (!edge) return;
    v1::Event event;
    event.set_kind(up ? "postgres.up" : "postgres.down");
    event.set_monotonic_us(now);
    event.set_text(up ? "answers" : std::string(connected.message()));
    v1::EventSample* sample = event.add_samples();
    sample->mutable_series()->set_name("pg_up");
    for (v1::Label* label : {event.add_labels(), sample->mutable_series()->add_labels()}) {
      label->set_name("server");
      label->set_value(config_.name);
    }
    sample->set_value(up ? 1 : 0);
    sample->set_job(kJob);
    sink.Add(std::move(event));
  }

  const PostgresConfig config_;
  const std::string name_;
  std::unique_ptr<PgConnection> connection_;
  PgScope scope_;
  PgLogErrors log_;
  Part fast_, tables_, names_, sizes_;
  std::optional<bool> up_;
  absl::Status refused_;  // why the server takes us not, until it is tried again
  Micros refused_until_ = 0;
  Micros begun_ = 0;     // of this collection
  absl::Status failed_;  // the first section that went wrong in it
};

}  // namespace

std::unique_ptr<Collector> MakePostgresCollector(PostgresConfig config) {
  return std::make_unique<PostgresCollector>(std::move(config));
}

}  // namespace quell::agent
