// EngineLoop: the engine thread and the store thread. Inputs are handled in batches; the records of a batch
// go to the store thread, which commits what has gathered as one group and only then carries out the intents
// and tells those who wait: persist before acting. A commit that fails ends the process, and so does a
// snapshot when the disk or the file fails; one that finds no room is counted, and the log goes on.
//
// Owned by main. Post may be called by any thread. The Rim's methods are called by the store thread and must
// be quick.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "controller/app/input_queue.h"
#include "controller/engine/engine.h"
#include "controller/engine/log_store.h"

namespace quell::app {

// Carries out what was decided, after its commit. Entities are copies as they stood when it was decided.
class Rim {
 public:
  virtual ~Rim() = default;
  virtual void Send(const v1::CommandEntry& command) = 0;
  virtual void Cancel(const std::string& command, const std::string& host_id) = 0;
  virtual void Send(const v1::Notice& notice) = 0;
  virtual void Start(const v1::Watch& watch) = 0;
  virtual void Stop(const std::string& watch) = 0;
  virtual void Take(const v1::Host& host) = 0;  // who may speak has changed
  virtual void Reply(const engine::Answer& answer) = 0;
  virtual void HeadMoved(const engine::LogHead& head) = 0;
};

// Told about each commit: "before" it, "after" it and before its effects, and when its "effects" have been
// carried out. For tests that end the process there; without one, nothing is told.
using CommitHook =
    std::function<void(std::string_view step, uint64_t commit, const engine::CommitGroup& group)>;

class EngineLoop {
 public:
  enum Thread : size_t { kEngine, kStore, kThreads };
  EngineLoop(engine::LogStore& store, Clock& clock, engine::State state, Rim& rim, CommitHook hook = {});
  ~EngineLoop();

  // The state that the log gave; only before Start.
  const engine::State& state_before_start() const { return engine_.state(); }
  // Handles these first inputs (the start record, the configuration) and the outstanding intents, then starts
  // the threads.
  void Start(std::vector<EngineInput> first);
  // Told whenever one of its threads has come round: the engine's each second at least, the store's likewise,
  // but not before a commit that it makes is done. Before Start; must be quick.
  void OnCycle(std::function<void(Thread)> on_cycle) { on_cycle_ = std::move(on_cycle); }
  bool Post(InputClass input_class, EngineInput input) { return inputs_.Post(input_class, std::move(input)); }
  // Takes no more input, handles and commits what waits, writes a snapshot. Idempotent.
  void Stop();

  // Engine time now. Any thread; never goes back, over all threads.
  Micros Now();
  const InputQueue& inputs() const { return inputs_; }
  uint64_t commits() const { return commits_.load(std::memory_order_relaxed); }
  uint64_t snapshots_failed() const { return snapshots_failed_.load(std::memory_order_relaxed); }

 private:
  using Effect = std::variant<v1::CommandEntry, engine::CancelCommand, v1::Notice, engine::StartWatch,
                              engine::StopWatch, engine::TellHost, engine::Answer>;
  struct Job {
    engine::CommitGroup group;
    std::vector<Effect> effects;
    std::vector<std::function<void()>> committed;
    std::unique_ptr<v1::Snapshot> snapshot;
    std::string digest;
  };

  Micros Now(Micros* jump);
  void RunEngine();
  void RunStore();
  void HandleInto(EngineInput input, Micros now, Job& job);
  void Resolve(std::vector<engine::Intent> intents, Job& job);
  void MaybeSnapshot(Job& job, Micros now, bool at_stop);
  static std::set<std::string> CancelledIn(const std::vector<Job>& jobs);
  void Commit(std::vector<Job> jobs);
  void SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest);
  void Carry(const Effect& effect);

  engine::LogStore& store_;
  absl::Mutex clock_mutex_;
  EngineClock engine_clock_ ABSL_GUARDED_BY(clock_mutex_);
  engine::Engine engine_;
  Rim& rim_;
  const CommitHook hook_;
  std::function<void(Thread)> on_cycle_;
  InputQueue inputs_;
  BoundedQueue<Job> jobs_{256};  // full: the engine waits, and inputs gather in their own bounded queues
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> snapshots_failed_{0};
  uint64_t records_since_snapshot_ = 0;
  Micros last_snapshot_ = 0;
  NamedThread store_thread_;
  NamedThread engine_thread_;
};

}  // namespace quell::app
