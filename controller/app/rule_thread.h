// RuleThread: one thread that owns one rules::Shard, or the rules::GlobalRules. Everything else reaches its
// subject as a task in its queue.
//
// Bounds: 65,536 tasks, of which telemetry may fill 16,384 (refused beyond: counted, and telemetry is shed
// first); beside them one task for each name that SubmitSurely was given: watches, hosts, rules. What was
// found goes to the engine; while the engine's queue is full the thread keeps what it has, evaluates nothing
// new, and tries again.
#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "common/base/time.h"
#include "controller/app/input_queue.h"

namespace quell::app {

using NowFunction = std::function<Micros()>;  // engine time
using PostFunction = std::function<bool(InputClass, EngineInput)>;

template <typename Subject>
class RuleThread {
 public:
  using Task = std::function<void(Subject& subject, Micros now)>;

  // `tick` is called when the subject's NextDue has come.
  RuleThread(std::string name, std::unique_ptr<Subject> subject, NowFunction now, PostFunction post,
             Task tick)
      : name_(std::move(name)),
        now_(std::move(now)),
        post_(std::move(post)),
        tick_(std::move(tick)),
        subject_(std::move(subject)) {}
  ~RuleThread() { Stop(); }

  // Before Start, by the owner's thread.
  Subject& subject() { return *subject_; }
  void Start() {
    thread_ = NamedThread(name_, [this] { Run(); });
  }
  void Stop() {
    tasks_.Close();
    thread_.Join();
  }

  // False: full (counted) or stopped.
  bool Submit(Task task) {
    if (tasks_.Push(std::move(task))) return true;
    refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // For what a decision waits for: never refused. When the queue is full it waits beside it, the newest of
  // each name in the place of an older one, and runs before the queue's next round.
  void SubmitSurely(const std::string& name, Task task) {
    absl::MutexLock lock(&beside_mutex_);
    if (beside_.erase(name) == 0 && tasks_.Push(Task(task))) return;
    beside_[name] = std::move(task);
  }
  // False: shed.
  bool SubmitTelemetry(Task task) {
    if (tasks_.size() < kTelemetryTasks && tasks_.Push(std::move(task))) return true;
    shed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // Runs the task on the thread and waits; false when it did not get its turn in time (it never runs then).
  bool RunAndWait(Task task, absl::Duration timeout) {
    auto turn = std::make_shared<Turn>();
    const bool queued = tasks_.Push([turn, task = std::move(task)](Subject& subject, Micros now) {
      // Held while the task runs: it uses what lies on the waiting thread's stack.
      absl::MutexLock lock(&turn->mutex);
      if (turn->given_up) return;
      task(subject, now);
      turn->done = true;
    });
    if (!queued) return false;
    absl::MutexLock lock(&turn->mutex);
    auto done = [&turn]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return turn->done; };
    if (turn->mutex.AwaitWithTimeout(absl::Condition(&done), timeout)) return true;
    turn->given_up = true;
    return false;
  }

  uint64_t shed() const { return shed_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kTasks = 65'536;
  static constexpr size_t kTelemetryTasks = 16'384;
  static constexpr size_t kTasksPerRound = 256;

  // Shared by the one who waits and the task that may outlive the wait.
  struct Turn {
    absl::Mutex mutex;
    bool given_up ABSL_GUARDED_BY(mutex) = false;
    bool done ABSL_GUARDED_BY(mutex) = false;
  };

  absl::Duration Wait() const {
    if (!found_.empty()) return absl::Milliseconds(20);
    const Micros due = subject_->NextDue();
    if (due == 0) return absl::Seconds(1);
    return std::clamp(absl::Microseconds(due - now_()), absl::ZeroDuration(), absl::Seconds(1));
  }

  void RunBeside() {
    std::map<std::string, Task> beside;
    {
      absl::MutexLock lock(&beside_mutex_);
      beside.swap(beside_);
    }
    for (auto& [name, task] : beside) task(*subject_, now_());
  }

  void Run() {
    while (true) {
      std::optional<Task> task = tasks_.Pop(Wait());
      RunBeside();
      if (!task && tasks_.closed()) return;
      for (size_t n = 1; task; ++n) {
        (*task)(*subject_, now_());
        task = n < kTasksPerRound ? tasks_.Pop(absl::ZeroDuration()) : std::nullopt;
      }
      Collect();
      if (!Deliver()) continue;
      const Micros now = now_();
      if (const Micros due = subject_->NextDue(); due != 0 && due <= now) {
        tick_(*subject_, now);
        Collect();
        Deliver();
      }
    }
  }

  // States of rules travel with the first edge, so that both are in one commit.
  void Collect() {
    std::vector<v1::RuleState> states = subject_->TakeRuleStates();
    for (v1::Payload& edge : subject_->TakeEdges()) Found(std::move(edge), std::exchange(states, {}));
    if (!states.empty()) Found(v1::Payload(), std::move(states));
  }

  void Found(v1::Payload edge, std::vector<v1::RuleState> states) {
    EngineInput input;
    input.source = "shard";
    input.payload = std::move(edge);
    input.rule_states = std::move(states);
    found_.push_back(std::move(input));
  }

  static InputClass ClassOf(const EngineInput& input) {
    return input.payload.has_host_edge() ? InputClass::kLiveness : InputClass::kSignal;
  }

  bool Deliver() {
    size_t sent = 0;
    while (sent < found_.size() && post_(ClassOf(found_[sent]), found_[sent])) ++sent;
    found_.erase(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(sent));
    return found_.empty();
  }

  const std::string name_;
  const NowFunction now_;
  const PostFunction post_;
  const Task tick_;
  const std::unique_ptr<Subject> subject_;  // the thread's own after Start
  std::vector<EngineInput> found_;          // not delivered yet, oldest first
  BoundedQueue<Task> tasks_{kTasks};
  std::atomic<uint64_t> shed_{0};
  std::atomic<uint64_t> refused_{0};
  absl::Mutex beside_mutex_;
  std::map<std::string, Task> beside_ ABSL_GUARDED_BY(beside_mutex_);
  NamedThread thread_;
};

}  // namespace quell::app
