#include "agent/collectors/runner.h"

#include <pthread.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kWatchEvery = 100 * kMillisecond;
constexpr Micros kTellEvery = 5 * kSecond;

enum class Health { kNew, kUp, kFailed, kHanging };

v1::Event MakeEvent(std::string_view kind, std::string_view collector, std::string text) {
  v1::Event event;
  event.set_kind(std::string(kind));
  v1::Label* label = event.add_labels();
  label->set_name("collector");
  label->set_value(std::string(collector));
  event.set_text(std::move(text));
  return event;
}

}  // namespace

// One collector, its thread and how it fares. Passes on what the collector produces until it is closed.
class CollectorRunner::Entry final : public CollectorSink, public std::enable_shared_from_this<Entry> {
 public:
  Entry(std::unique_ptr<Collector> collector, Clock& clock, CollectorSink& sink)
      : collector_(std::move(collector)), name_(collector_->name()), clock_(clock), sink_(&sink) {}

  void Start() {
    absl::MutexLock lock(&mutex_);
    running_ = true;
    busy_since_ = clock_.Monotonic();
    std::thread([self = shared_from_this()] { self->Run(); }).detach();
  }
  // True when its thread has ended within `patience`; afterwards nothing reaches the sink any more.
  bool Stop(Micros patience) {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    const auto ended = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !running_; };
    const bool in_time = mutex_.AwaitWithTimeout(absl::Condition(&ended), absl::Microseconds(patience));
    absl::MutexLock sink_lock(&sink_mutex_);
    sink_ = nullptr;
    return in_time;
  }

  // Looks at it now; returns the event that tells of a change, if there is one.
  bool Look(Micros now, std::optional<v1::Event>* event) {
    absl::MutexLock lock(&mutex_);
    Health health = last_;
    std::string text = last_error_;
    if (busy_since_ != 0 && now - busy_since_ > collector_->patience()) {
      health = Health::kHanging;
      text = absl::StrCat("has not come back for ", FormatAge(now - busy_since_));
    }
    if (health == told_) return false;
    const Health before = std::exchange(told_, health);
    if (health == Health::kFailed) *event = MakeEvent("collector.failed", name_, text);
    if (health == Health::kHanging) *event = MakeEvent("collector.hanging", name_, text);
    if (health == Health::kUp && before != Health::kNew)
      *event = MakeEvent("collector.recovered", name_, "collects again");
    return true;
  }
  const std::string& name() const { return name_; }
  bool up() {
    absl::MutexLock lock(&mutex_);
    return told_ == Health::kUp;
  }
  bool hangs() {
    absl::MutexLock lock(&mutex_);
    return told_ == Health::kHanging;
  }
  bool known() {
    absl::MutexLock lock(&mutex_);
    return told_ != Health::kNew;
  }

  void Add(Collection collection) override {
    absl::MutexLock lock(&sink_mutex_);
    if (sink_ != nullptr) sink_->Add(std::move(collection));
  }
  void Add(v1::Event event) override {
    absl::MutexLock lock(&sink_mutex_);
    if (sink_ != nullptr) sink_->Add(std::move(event));
  }

 private:
  void Run() {
    pthread_setname_np(pthread_self(), ("c-" + name_).substr(0, 15).c_str());
    Micros due = clock_.Monotonic();
    for (;;) {
      const absl::Status status = collector_->Collect(clock_, *this);
      const Micros now = clock_.Monotonic();
      due = std::max(due + collector_->every(), now);
      absl::MutexLock lock(&mutex_);
      last_ = status.ok() ? Health::kUp : Health::kFailed;
      last_error_ = std::string(status.message());
      busy_since_ = 0;
      if (mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Microseconds(due - now))) break;
      busy_since_ = clock_.Monotonic();
    }
    absl::MutexLock lock(&mutex_);
    running_ = false;
  }

  const std::unique_ptr<Collector> collector_;
  const std::string name_;
  Clock& clock_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  Micros busy_since_ ABSL_GUARDED_BY(mutex_) = 0;  // monotonic; 0: waiting for its turn
  Health last_ ABSL_GUARDED_BY(mutex_) = Health::kNew;
  Health told_ ABSL_GUARDED_BY(mutex_) = Health::kNew;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex sink_mutex_ ABSL_ACQUIRED_AFTER(mutex_);
  CollectorSink* sink_ ABSL_GUARDED_BY(sink_mutex_);
};

CollectorRunner::CollectorRunner(Clock& clock, CollectorSink& sink, Micros stop_patience)
    : clock_(clock), sink_(sink), stop_patience_(stop_patience) {}

CollectorRunner::~CollectorRunner() { Stop(); }

void CollectorRunner::Add(std::unique_ptr<Collector> collector) {
  Require(!started_, "a collector is added before the runner starts");
  entries_.push_back(std::make_shared<Entry>(std::move(collector), clock_, sink_));
}

void CollectorRunner::Start() {
  Require(!started_, "the collectors' runner is started once");
  started_ = true;
  for (const auto& entry : entries_) entry->Start();
  watch_ = NamedThread("collectors", [this] { Watch(); });
}

void CollectorRunner::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(stop_, true) || !started_) return;
  }
  watch_.Join();
  const Micros until = clock_.Monotonic() + stop_patience_;
  for (const auto& entry : entries_) {
    if (!entry->Stop(std::max<Micros>(until - clock_.Monotonic(), 0)))
      LogWarning("the collector %s still hangs: its thread is left behind", entry->name());
  }
}

void CollectorRunner::Watch() {
  for (;;) {
    bool changed = false;
    for (const auto& entry : entries_) {
      std::optional<v1::Event> event;
      changed = entry->Look(clock_.Monotonic(), &event) || changed;
      if (!event) continue;
      LogLine(event->kind() == "collector.recovered" ? LogLevel::kInfo : LogLevel::kWarning,
              absl::StrCat(event->kind(), " ", entry->name(), ": ", event->text()));
      sink_.Add(*std::move(event));
    }
    Report(clock_.Monotonic(), changed);
    const auto goes_on = [](const std::shared_ptr<Entry>& entry) { return !entry->hangs(); };
    if (on_cycle_ && std::any_of(entries_.begin(), entries_.end(), goes_on)) on_cycle_();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Microseconds(kWatchEvery))) return;
  }
}

void CollectorRunner::Report(Micros now, bool changed) {
  if (!changed && told_ != 0 && now - told_ < kTellEvery) return;
  told_ = now;
  table_.Begin();
  for (const auto& entry : entries_)
    if (entry->known()) table_.Put("quell_collector_up", {{"collector", entry->name()}}, entry->up() ? 1 : 0);
  Collection collection = table_.Finish("agent", now);
  if (!collection.values.empty()) sink_.Add(std::move(collection));
}

}  // namespace quell::agent
