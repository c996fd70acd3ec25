// A fleet in one thread: the real engine, the real executors, and everything else simulated from one seed:
// time, frames (delayed, reordered, lost, partitioned), disks that lose what was not synced, workers, apps,
// receivers and people. The same seed gives the same trace.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/executor/executor.h"
#include "common/base/clock.h"
#include "controller/engine/engine.h"
#include "controller/engine/log_store.h"
#include "controller/fleet/liveness.h"

namespace quell::simulation {

// To the executors a rollback is the restart of this app: their own part in rollbacks, with its book of
// releases and its owners' trees, is tested elsewhere.
inline constexpr char kRollsBack[] = "shop";

// Faults in the wiring that the invariants have to find.
struct Bugs {
  bool journal_forgets = false;        // a sync of the journal that does nothing
  bool dispatch_ignores_hold = false;  // the rim hands a command over once more, whatever became of it
  bool give_up_not_sent = false;       // the outbox says "sent" and sends nothing
  bool acts_before_commit = false;     // intents are carried out before their records are durable
  bool repeats_unmarked = false;       // a notice that may be a repetition doesn't say so
  bool apply_forgets = false;          // the live state misses what every 50th record says
  bool verifies_blindly = false;       // the shards say that a remedy helped, whatever they see
  bool failure_told_as_success = false;
  bool cancel_not_carried = false;   // the rim tells no host that a command is cancelled
  bool cancel_not_repeated = false;  // nor one that comes back, whose stream had dropped
  bool stop_file_unseen = false;     // the executors do not see their host's stop file
  // Faults of a decider, as its log would show them.
  bool wave_before_verified = false;       // a plan's next wave while the one before is being verified
  bool goes_on_after_stop = false;         // a plan's next wave after the plan was stopped
  bool step_before_end = false;            // a policy's next step while the one before runs
  bool sanctions_forget_approval = false;  // what hosts ask for does not reach their executors
};

struct Result {
  uint64_t seed = 0;
  std::string trace;                // hex digest of all that happened
  std::vector<std::string> broken;  // invariants, in words
  size_t records = 0, commands = 0, effects = 0, crashes = 0, pages = 0, incidents = 0, plans = 0, waves = 0,
         second_steps = 0, signed_effects = 0;
};
Result RunSeed(uint64_t seed, const Bugs& bugs = {});

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();  // SplitMix64 (Steele, Lea, Flood 2014)
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  std::string Bytes(size_t n);

 private:
  uint64_t state_;
};

// The log's store: what is committed stays, the rest is gone with the process.
class SimStore final : public engine::LogStore {
 public:
  absl::StatusOr<engine::Recovered> Recover() override;
  absl::StatusOr<engine::LogHead> Commit(const engine::CommitGroup& group) override;
  absl::Status SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) override;
  const std::vector<engine::Record>& records() const { return records_; }
  std::map<std::string, bool> firing;  // the rules' own table, in the same commit

 private:
  std::vector<engine::Record> records_;
  v1::Snapshot snapshot_;
  std::string digest_;
};

class World;

// One host: executor, journal, one PM2 app, and an agent that only passes on.
class SimHost final : public agent::HostView, public agent::WorkerStarter {
 public:
  SimHost(World& world, int index);
  void Start();
  void Crash();
  void Connect();
  void Disconnect();
  void Every2s();
  void Submit(const std::string& bytes);
  void Cancel(const std::string& id);
  void Acknowledge(uint64_t seq);
  bool Reachable() const;
  // Its app hangs; with a bad release until that is rolled back.
  void Hang(bool bad_release);
  void Heal();

  bool Stopped() const;  // its stop file is there
  bool Held() override;
  agent::SanctionsFile ReadSanctions() override { return sanctions_; }
  absl::StatusOr<agent::HostUser> FindUser(std::string_view name) override;
  absl::StatusOr<v1::PostgresPlace> FindPostgres(std::string_view) override {
    return absl::NotFoundError("simulated");
  }
  absl::StatusOr<std::string> ReadQuery(const std::string&) override {
    return absl::NotFoundError("simulated");
  }
  absl::StatusOr<std::string> KernelStack(int64_t, uid_t) override {
    return absl::NotFoundError("simulated");
  }
  absl::StatusOr<uint64_t> Start(const agent::WorkerJob& job) override;
  void Kill(uint64_t) override {}

  // Whether the persons that this host's sanctions ask for have signed what it was last given of this
  // command.
  bool Consented(const std::string& command) const;

  const int index;
  const std::string id, name;
  bool hung = false, bad_release = false;
  Micros hung_since = 0;
  int64_t pid = 1000;
  Micros partitioned_until = 0;
  Micros stopped_until = 0;
  uint64_t session = 0;  // 0: none
  Micros session_since = 0;

 private:
  void Guarded(const std::function<void(agent::Executor&)>& call);
  void Flush();
  void EndWorker(uint64_t worker, const agent::WorkerJob& job);

  World& world_;
  MemoryDisk disk_;
  agent::SanctionsFile sanctions_;
  std::map<std::string, v1::CommandBody> given_;  // by command, as it came last
  std::unique_ptr<agent::Executor> executor_;
  uint64_t life_ = 0, workers_ = 0, sessions_ = 0;
  bool in_call_ = false;
};

class SimController {
 public:
  explicit SimController(World& world) : world_(world) {}
  void Start();
  void Crash();
  void Input(v1::Payload payload, const std::string& source, std::function<void()> committed = nullptr);
  void Connected(SimHost& host, uint64_t session);
  void Disconnected(const SimHost& host);
  void Heard(SimHost& host, uint64_t session, const std::string& nonce, bool healthy, Micros sampled);
  void Reported(SimHost& host, uint64_t session, const v1::CommandReport& report);
  void Every1s();
  bool up() const { return engine_ != nullptr; }
  const engine::State& state() const { return engine_->state(); }
  bool idle() const { return jobs_.empty(); }

 private:
  struct Session {
    uint64_t id = 0;
    std::string nonce;
    Micros sampled = 0, hung_since = 0;
    Micros arrived = 0;  // when the last command does
    bool healthy = true;
  };
  struct Job {
    std::vector<engine::Record> records;
    std::vector<engine::Intent> intents;
    std::map<std::string, v1::CommandEntry> commands;  // as they stood
    std::map<std::string, v1::Notice> notices;
    std::vector<std::function<void()>> committed;
    std::map<std::string, bool> firing;
  };
  void Hosts(const fleet::Liveness::Edges& edges);
  void Take(Job job);
  void Commit();
  void Carry(const Job& job);
  void Send(const v1::CommandEntry& command);
  void Cancel(const engine::CancelCommand& cancel);
  void Approve(const v1::CommandEntry& command, v1::CommandBody& body);
  void Notify(const v1::Notice& notice);
  void Evaluate(SimHost& host, Session& session);
  void EvaluateWatches(SimHost& host, const Session& session);
  v1::Signal SignalOf(const SimHost& host) const;

  World& world_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<fleet::Liveness> liveness_;
  uint64_t life_ = 0;
  std::deque<Job> jobs_;
  std::map<int, Session> sessions_;
  std::map<std::string, std::pair<v1::Watch, int>> watches_;
  std::map<std::string, bool> firing_;  // value: known since this start
  size_t since_snapshot_ = 0;
};

class World {
 public:
  World(uint64_t seed, const Bugs& bugs);
  ~World();
  Result Run();

  Micros now() { return clock.Wall(); }
  void After(Micros delay, std::function<void()> what);
  // A frame: late, sometimes lost. When it arrives; 0: it is lost.
  Micros Frame(const SimHost& host, std::function<void()> arrive);
  // One that is not lost while its stream lives, nor overtakes what arrives at `after`.
  void SureFrame(const SimHost& host, Micros after, std::function<void()> arrive);
  void Trace(const std::string& what);
  void Broken(std::string what);
  void Delivered(const v1::Notice& notice);
  void Effect(const std::string& command, const SimHost& host);
  void Committed(const v1::Payload& payload);
  // A host looks at a command: now and then somebody puts all on hold just then. Whether they do.
  bool HeldMeanwhile(SimHost& host);
  // Persons that every host's sanctions ask for: 0, 1 or 2, by the seed.
  size_t approvals() const { return seed_ % 10 == 3 ? 1 : seed_ % 10 == 7 ? 2 : 0; }
  void EndedBadly(const std::string& command) { bad_ends.insert(command); }
  bool chaos() const { return chaos_; }

  FakeClock clock;
  Random random;
  const Bugs bugs;
  SimStore store;
  engine::State standby;  // every committed record, folded as it came
  v1::Config config;
  uint64_t epoch = 0;
  std::vector<std::unique_ptr<SimHost>> hosts;
  SimController controller;
  std::map<std::string, int> effects;  // command id (hex) -> starts
  std::map<std::string, Micros> effect_at;
  std::map<std::string, Micros> cancelled_at;  // commands that were issued, by when the log says so
  std::set<std::string> bad_ends;              // commands whose worker died
  std::map<std::string, int> delivered;        // notice key -> times
  size_t crashes = 0;

 private:
  void Chaos();
  void Person();
  void Hold(v1::PersonAct& act, uint64_t seconds);  // for about as long
  void NotCalledBack(const std::string& command, const SimHost& host);
  void RunOnSome(v1::PersonAct& act);
  void DecideOnSomething(v1::PersonAct& act);
  void SomethingWasChanged();
  void PlanWentOn(const v1::CommandEntry& command);
  void Step(Micros until);
  void Finish(Result& result);

  const uint64_t seed_;
  bool chaos_ = true;
  uint64_t order_ = 0;
  std::map<std::pair<Micros, uint64_t>, std::function<void()>> events_;
  std::string trace_;
  std::vector<std::string> broken_;
};

// The log as a decider with that fault would have written it.
std::vector<engine::Record> Planted(std::vector<engine::Record> records, const Bugs& bugs);

// Folds the whole log once more and looks at each step; adds to what is broken.
void CheckLog(const World& world, const std::vector<engine::Record>& records,
              std::vector<std::string>& broken);

}  // namespace quell::simulation
