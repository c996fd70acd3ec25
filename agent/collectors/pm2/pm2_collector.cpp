#include "agent/collectors/pm2/pm2_collector.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kJob[] = "pm2";

// What an event carries of its app, too: all that follows from state alone. `put(metric, value)`.
void StateSeries(const AppState& s, Micros now, const std::function<void(std::string_view, double)>& put) {
  put("pm2_app_online", s.online() ? 1 : 0);
  // Whichever process the rest is about: a command is bound to it.
  put("pm2_app_pid", static_cast<double>(s.app.pid()));
  if (s.app.started_ms() != 0) put("pm2_app_started_seconds", static_cast<double>(s.app.started_ms()) / 1e3);
  put("pm2_app_unplanned_exits_total", static_cast<double>(s.unplanned));
  put("pm2_app_unplanned_exits_5m", static_cast<double>(s.recent_exits(now)));
  put("pm2_app_given_up", s.given_up ? 1 : 0);
  put("pm2_app_stopped_by_hand", s.by_hand ? 1 : 0);
  put("pm2_app_waiting", s.down_since != 0 ? 1 : 0);
  put("pm2_app_down_seconds", s.down_since != 0 ? static_cast<double>(now - s.down_since) / 1e6 : 0);
}

// pm2-prom-module's numbers: 0 unknown, 1 running, 2 pending, 3 stopped, 4 errored.
double StatusNumber(std::string_view status) {
  if (status == "online" || status == "one-launch-status") return 1;
  if (status == "launching" || status == "stopping" || status == "waiting restart") return 2;
  if (status == "stopped") return 3;
  return status == "errored" ? 4 : 0;
}

struct Reported {
  std::string_view name;  // PM2's
  std::string_view metric;
  double factor;
};
constexpr double kMiB = 1 << 20;
constexpr Reported kReported[] = {{"Event Loop Latency", "pm2_app_event_loop_lag_seconds", 1e-3},
                                  {"Event Loop Latency p95", "pm2_app_event_loop_lag_p95_seconds", 1e-3},
                                  {"Used Heap Size", "pm2_app_heap_used_bytes", kMiB},
                                  {"Heap Size", "pm2_app_heap_size_bytes", kMiB},
                                  {"Active handles", "pm2_app_active_handles", 1},
                                  {"Active requests", "pm2_app_active_requests", 1},
                                  {"HTTP", "pm2_app_http_requests_per_minute", 1},
                                  {"HTTP Mean Latency", "pm2_app_http_latency_mean_seconds", 1e-3},
                                  {"HTTP P95 Latency", "pm2_app_http_latency_p95_seconds", 1e-3}};

void AddLabel(v1::SeriesDefinition& series, const char* name, const std::string& value) {
  if (value.empty()) return;
  v1::Label* label = series.add_labels();
  label->set_name(name);
  label->set_value(value);
}

}  // namespace

Pm2Collector::Pm2Collector(std::string root, std::vector<std::string> users, Micros every, Clock& clock,
                           CollectorSink& sink)
    : root_(std::move(root)),
      every_(every),
      clock_(clock),
      sink_(sink),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Require(wake_fd_ >= 0, "making an eventfd for the PM2 collector");
  for (const std::string& user : users) users_.emplace(user, root_).first->second.heard = clock.Monotonic();
  thread_ = NamedThread("pm2-frames", [this] { Listen(); });
}

Pm2Collector::~Pm2Collector() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  Wake();
  thread_.Join();
  close(wake_fd_);
}

void Pm2Collector::Wake() {
  const uint64_t one = 1;
  // Full means it is awake already.
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void Pm2Collector::Attach(const std::string& user, int fd) {
  auto reader = std::make_unique<FrameReader>(fd);
  {
    absl::MutexLock lock(&mutex_);
    const auto found = users_.find(user);
    if (found == users_.end()) {
      LogWarning("a PM2 reader came for %s, whom the configuration doesn't name: it is let go", user);
      return;
    }
    found->second.reader = std::move(reader);
    found->second.heard = clock_.Monotonic();
    found->second.error.clear();
  }
  Wake();
}

// ---- frames

void Pm2Collector::Listen() {
  for (;;) {
    std::vector<pollfd> entries{{wake_fd_, POLLIN, 0}};
    std::vector<std::string> names;
    {
      absl::MutexLock lock(&mutex_);
      if (stop_) return;
      for (const auto& [name, user] : users_) {
        if (user.reader == nullptr) continue;
        entries.push_back({user.reader->fd(), POLLIN, 0});
        names.push_back(name);
      }
    }
    if (poll(entries.data(), entries.size(), -1) < 0) continue;
    uint64_t count = 0;
    if (entries[0].revents != 0) [[maybe_unused]]
      const ssize_t n = read(wake_fd_, &count, sizeof(count));
    absl::MutexLock lock(&mutex_);
    // A descriptor replaced meanwhile is not read at its old number: Serve reads the user's own, and never
    // waits.
    for (size_t i = 0; i < names.size(); ++i)
      if (entries[i + 1].revents != 0) Serve(names[i], users_.at(names[i]), clock_.Monotonic());
  }
}

void Pm2Collector::Serve(const std::string& name, User& user, Micros now) {
  if (user.reader == nullptr) return;
  const absl::Status status = user.reader->Read([&](const v1::ReaderFrame& frame) {
    mutex_.AssertHeld();
    Take(name, user, frame, now);
  });
  if (status.ok()) return;
  LogWarning("the PM2 reader of %s: %s", name, std::string(status.message()));
  user.reader.reset();
  user.heard = now;
  user.error = std::string(status.message());
}

void Pm2Collector::Take(const std::string& name, User& user, const v1::ReaderFrame& frame, Micros now) {
  user.heard = now;
  user.dropped = std::max<uint64_t>(user.dropped, frame.events_dropped());
  for (const AppChange& change : user.state.Take(frame, now)) Push(name, user, change, now);
}

bool Pm2Collector::MayPush(User& user, Micros now) {
  const double gained = static_cast<double>(now - user.budget_at) / kSecond * kEventsPerSecond;
  user.budget = std::min(kEventBurst, user.budget + gained);
  user.budget_at = now;
  if (user.budget < 1) return false;
  user.budget -= 1;
  return true;
}

void Pm2Collector::Push(const std::string& name, User& user, const AppChange& change, Micros now) {
  if (!MayPush(user, now)) {
    ++user.withheld;
    return;
  }
  v1::Event event;
  event.set_kind(change.kind);
  event.set_text(change.text);
  // Later than the last collection, whose samples these follow.
  event.set_monotonic_us(std::max(now, collected_ + 1));
  v1::SeriesDefinition labels;
  AddLabel(labels, "app", change.app);
  if (change.pm_id >= 0) AddLabel(labels, "pm_id", std::to_string(change.pm_id));
  AddLabel(labels, "user", name);
  *event.mutable_labels() = labels.labels();
  const auto put = [&](std::string_view metric, double value) {
    v1::EventSample* sample = event.add_samples();
    *sample->mutable_series() = labels;
    sample->mutable_series()->set_name(std::string(metric));
    sample->set_value(value);
    sample->set_job(kJob);
  };
  const auto app = user.state.apps().find(change.pm_id);
  if (change.pm_id < 0) {
    put("pm2_up", user.state.up() ? 1 : 0);
    put("pm2_daemon_stopped_by_hand", user.state.stopped_by_hand() ? 1 : 0);
  } else if (app != user.state.apps().end()) {
    StateSeries(app->second, now, put);
  }
  sink_.Add(std::move(event));
}

// ---- series

absl::Status Pm2Collector::Collect(Clock& clock, CollectorSink& sink) {
  absl::MutexLock lock(&mutex_);
  const Micros now = clock.Monotonic();
  collected_ = now;
  std::string missing;
  table_.Begin();
  for (auto& [name, user] : users_) {
    const Micros allowed = user.reader == nullptr ? kReaderGrace : kSilence;
    user.blind = now - user.heard > allowed;
    if (user.blind) {
      const std::string why = user.reader != nullptr ? "it says nothing" : user.error;
      absl::StrAppend(&missing, missing.empty() ? "" : "; ", "no PM2 reader tells of user ", name,
                      why.empty() ? "" : ": ", why);
    } else {
      PutUser(name, user, now);
    }
  }
  sink.Add(table_.Finish(kJob, now));
  return missing.empty() ? absl::OkStatus() : absl::UnavailableError(missing);
}

void Pm2Collector::PutUser(const std::string& name, User& user, Micros now) {
  if (!user.state.known()) return;
  table_.Put("pm2_up", {{"user", name}}, user.state.up() ? 1 : 0);
  table_.Put("pm2_daemon_stopped_by_hand", {{"user", name}}, user.state.stopped_by_hand() ? 1 : 0);
  table_.Put("pm2_reader_events_dropped_total", {{"user", name}},
             static_cast<double>(user.dropped + user.withheld));
  user.processes.Begin();
  for (const auto& [pm_id, state] : user.state.apps()) {
    const v1::Pm2App& app = state.app;
    const std::string id = std::to_string(pm_id);
    const auto put = [&](std::string_view metric, double value) {
      mutex_.AssertHeld();
      table_.Put(metric, {{"app", app.name()}, {"pm_id", id}, {"user", name}}, value);
    };
    StateSeries(state, now, put);
    put("pm2_app_status", StatusNumber(app.status()));
    put("pm2_app_restarts", static_cast<double>(app.restarts()));
    put("pm2_app_restart_delay_seconds", static_cast<double>(app.restart_delay_ms()) / 1e3);
    ProcessReading process;
    if (app.pid() > 0) process = user.processes.Read(app.pid());
    const bool vanished = app.status() == "online" && process.seen && !process.alive;
    put("pm2_app_without_process", state.without_process() || vanished ? 1 : 0);
    if (process.alive) {
      put("pm2_app_cpu_seconds_total", process.cpu_seconds);
      put("pm2_app_resident_memory_bytes", process.resident_bytes);
      put("pm2_app_threads", process.threads);
    }
    if (app.max_memory_bytes() > 0)
      put("pm2_app_max_memory_bytes", static_cast<double>(app.max_memory_bytes()));
    for (const Reported& row : kReported)
      for (const v1::Pm2Metric& metric : app.metrics())
        if (metric.name() == row.name) put(row.metric, metric.value() * row.factor);
  }
  user.processes.End();
}

}  // namespace quell::agent
