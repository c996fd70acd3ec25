#include "agent/collectors/pm2/pm2_collector.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/collectors/pm2/app_series.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kJob[] = "pm2";

void AddLabel(v1::SeriesDefinition& series, const char* name, const std::string& value) {
  if (value.empty()) return;
  v1::Label* label = series.add_labels();
  label->set_name(name);
  label->set_value(value);
}

}  // namespace

Pm2Collector::Pm2Collector(std::string root, std::vector<std::string> users, Micros every, Clock& clock,
                           CollectorSink& sink, Disk& disk, std::string memory)
    : root_(std::move(root)),
      every_(every),
      clock_(clock),
      sink_(sink),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      memory_(disk, std::move(memory)) {
  Require(wake_fd_ >= 0, "making an eventfd for the PM2 collector");
  absl::MutexLock lock(&mutex_);
  for (const std::string& name : users) {
    User& user = users_.emplace(name, root_).first->second;
    user.heard = clock.Monotonic();
    Recall(name, user);
  }
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
  const PutValue put = [&](std::string_view metric, double value) {
    v1::EventSample* sample = event.add_samples();
    *sample->mutable_series() = labels;
    sample->mutable_series()->set_name(std::string(metric));
    sample->set_value(value);
    sample->set_job(kJob);
  };
  const auto app = user.state.apps().find(change.pm_id);
  if (change.pm_id < 0) {
    DaemonSeries(user.state, put);
  } else if (app != user.state.apps().end()) {
    StateSeries(app->second, now, put);
  }
  sink_.Add(std::move(event));
}

// ---- what outlives the process

void Pm2Collector::Recall(const std::string& name, User& user) {
  const std::string prefix = absl::StrCat(name, "/");
  for (const auto& [key, value] : memory_.Under(prefix)) {
    const std::vector<std::string> parts = absl::StrSplit(value, absl::MaxSplits(' ', 2));
    GivenUpApp app;
    int64_t pm_id = 0;
    if (parts.size() == 3 && absl::SimpleAtoi(key.substr(prefix.size()), &pm_id) &&
        absl::SimpleAtoi(parts[0], &app.daemon_pid) && absl::SimpleAtoi(parts[1], &app.started_ms)) {
      app.name = parts[2];
      user.state.Recall(pm_id, std::move(app));
    }
  }
}

void Pm2Collector::Remember(const std::string& name, const User& user) {
  std::map<std::string, std::string> gone = memory_.Under(absl::StrCat(name, "/"));
  for (const auto& [pm_id, app] : user.state.given_up()) {
    const std::string key = absl::StrCat(name, "/", pm_id);
    // Beyond the bound it counts as stopped by hand after a start: nothing is done that was not asked for.
    memory_.Set(key, absl::StrCat(app.daemon_pid, " ", app.started_ms, " ", app.name));
    gone.erase(key);
  }
  for (const auto& [key, value] : gone) memory_.Erase(key);
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
      if (user.state.up()) Remember(name, user);
    }
  }
  sink.Add(table_.Finish(kJob, now));
  if (!missing.empty()) return absl::UnavailableError(missing);
  return Annotate(memory_.Save(), "remembering what PM2 gave up");
}

void Pm2Collector::PutUser(const std::string& name, User& user, Micros now) {
  if (!user.state.known()) return;
  DaemonSeries(user.state, [&](std::string_view metric, double value) {
    mutex_.AssertHeld();
    table_.Put(metric, {{"user", name}}, value);
  });
  table_.Put("pm2_reader_events_dropped_total", {{"user", name}},
             static_cast<double>(user.dropped + user.withheld));
  if (!user.state.up()) return;  // its apps' series end: nothing is known of them now
  user.processes.Begin();
  for (const auto& [pm_id, state] : user.state.apps()) {
    const v1::Pm2App& app = state.app;
    const std::string id = std::to_string(pm_id);
    const PutValue put = [&](std::string_view metric, double value) {
      mutex_.AssertHeld();
      table_.Put(metric, {{"app", app.name()}, {"pm_id", id}, {"user", name}}, value);
    };
    StateSeries(state, now, put);
    ListSeries(app, put);
    ProcessReading process;
    if (app.pid() > 0) process = user.processes.Read(app.pid());
    const bool vanished = app.status() == "online" && process.seen && !process.alive;
    put("pm2_app_without_process", state.without_process() || vanished ? 1 : 0);
    if (process.alive) {
      put("pm2_app_cpu_seconds_total", process.cpu_seconds);
      put("pm2_app_resident_memory_bytes", process.resident_bytes);
      put("pm2_app_threads", process.threads);
    }
  }
  user.processes.End();
}

}  // namespace quell::agent
