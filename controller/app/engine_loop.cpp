#include "controller/app/engine_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::app {
namespace {

constexpr size_t kBatch = 512;           // inputs handled before their records are handed on
constexpr size_t kGroupRecords = 8'192;  // records of one commit
constexpr uint64_t kSnapshotRecords = 10'000;
constexpr Micros kSnapshotEvery = 10 * kMinute;
constexpr Micros kLongestWait = kSecond;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

EngineLoop::EngineLoop(engine::LogStore& store, Clock& clock, engine::State state, Rim& rim, CommitHook hook)
    : store_(store),
      engine_clock_(clock, state.time),
      engine_(std::move(state)),
      rim_(rim),
      hook_(std::move(hook)) {}

EngineLoop::~EngineLoop() { Stop(); }

Micros EngineLoop::Now() { return Now(nullptr); }

// A jump is taken by the engine thread alone, so that none is lost to a reader.
Micros EngineLoop::Now(Micros* jump) {
  absl::MutexLock lock(&clock_mutex_);
  const Micros now = engine_clock_.Now();
  if (jump != nullptr) *jump = engine_clock_.TakeJump();
  return now;
}

void EngineLoop::Start(std::vector<EngineInput> first) {
  Job job;
  const Micros now = Now();
  last_snapshot_ = now;
  for (EngineInput& input : first) HandleInto(std::move(input), now, job);
  Resolve(engine_.Outstanding(now), job);
  job.group.rows = engine::RowsFor(job.group.records, engine_.state());
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  Commit(std::move(jobs));
  store_thread_ = NamedThread("store", [this] { RunStore(); });
  engine_thread_ = NamedThread("engine", [this] { RunEngine(); });
}

void EngineLoop::Stop() {
  inputs_.Close();
  engine_thread_.Join();
  jobs_.Close();
  store_thread_.Join();
}

void EngineLoop::RunEngine() {
  bool last = false;
  while (!last) {
    const Micros due = engine_.NextDeadline();
    const Micros wait = due == 0 ? kLongestWait : std::clamp<Micros>(due - Now(), 0, kLongestWait);
    std::vector<EngineInput> batch = inputs_.Take(kBatch, absl::Microseconds(wait));
    last = inputs_.closed() && batch.empty();
    Micros jump = 0;
    const Micros now = Now(&jump);
    Job job;
    if (jump != 0) {
      EngineInput input;
      input.source = "app";
      input.payload.mutable_clock_jump()->set_by_us(jump);
      HandleInto(std::move(input), now, job);
    }
    for (EngineInput& input : batch) HandleInto(std::move(input), now, job);
    if (const Micros deadline = engine_.NextDeadline(); deadline != 0 && deadline <= now) {
      EngineInput input;
      input.source = "app";
      input.payload.mutable_time_passed();
      HandleInto(std::move(input), now, job);
    }
    // Once for the batch: an incident that every input touches gets one row.
    job.group.rows = engine::RowsFor(job.group.records, engine_.state());
    MaybeSnapshot(job, now, last);
    if (on_cycle_) on_cycle_(kEngine);
    if (job.group.records.empty() && job.group.rule_states.empty() && job.effects.empty() &&
        job.committed.empty() && job.snapshot == nullptr) {
      continue;
    }
    // A store that is behind makes the engine wait here, while inputs gather in bounded queues of their own.
    Require(jobs_.PushWaiting(std::move(job)), "the store thread has ended before the engine thread");
  }
}

void EngineLoop::HandleInto(EngineInput input, Micros now, Job& job) {
  for (auto& state : input.rule_states) job.group.rule_states.push_back(std::move(state));
  for (auto& blob : input.blobs) job.group.blobs.push_back(std::move(blob));
  if (input.committed) job.committed.push_back(std::move(input.committed));
  if (input.payload.kind_case() == v1::Payload::KIND_NOT_SET) return;
  engine::Handled handled = engine_.Handle(input.payload, input.source, now);
  records_since_snapshot_ += handled.records.size();
  for (engine::Record& record : handled.records) job.group.records.push_back(std::move(record));
  Resolve(std::move(handled.intents), job);
}

// Intents name entities; the store thread must not look at the engine's state, so they are copied here.
void EngineLoop::Resolve(std::vector<engine::Intent> intents, Job& job) {
  const engine::State& state = engine_.state();
  for (engine::Intent& intent : intents) {
    std::visit(Overloaded{[&](engine::SendCommand& send) {
                            auto found = state.commands.find(send.command);
                            if (found != state.commands.end()) job.effects.emplace_back(found->second);
                          },
                          [&](engine::SendNotice& send) {
                            auto found = state.notices.find(send.key);
                            if (found != state.notices.end()) job.effects.emplace_back(found->second);
                          },
                          [&](auto& other) { job.effects.emplace_back(std::move(other)); }},
               intent);
  }
}

void EngineLoop::MaybeSnapshot(Job& job, Micros now, bool at_stop) {
  if (records_since_snapshot_ == 0) return;
  const bool due =
      records_since_snapshot_ >= kSnapshotRecords || now - last_snapshot_ >= kSnapshotEvery || at_stop;
  if (!due) return;
  job.snapshot = std::make_unique<v1::Snapshot>(engine::ToSnapshot(engine_.state()));
  job.digest = engine::Digest(engine_.state());
  records_since_snapshot_ = 0;
  last_snapshot_ = now;
}

void EngineLoop::RunStore() {
  while (true) {
    if (on_cycle_) on_cycle_(kStore);
    std::optional<Job> first = jobs_.Pop(absl::Seconds(1));
    if (!first) {
      if (jobs_.closed()) return;
      continue;
    }
    std::vector<Job> jobs;
    size_t records = first->group.records.size();
    jobs.push_back(std::move(*first));
    while (records < kGroupRecords && jobs.back().snapshot == nullptr) {
      std::optional<Job> next = jobs_.Pop(absl::ZeroDuration());
      if (!next) break;
      records += next->group.records.size();
      jobs.push_back(std::move(*next));
    }
    Commit(std::move(jobs));
  }
}

// What was issued and called back within one commit is not handed over.
std::set<std::string> EngineLoop::CancelledIn(const std::vector<Job>& jobs) {
  std::set<std::string> ids;
  for (const Job& job : jobs) {
    for (const Effect& effect : job.effects) {
      if (const auto* cancel = std::get_if<engine::CancelCommand>(&effect)) ids.insert(cancel->command);
    }
  }
  return ids;
}

void EngineLoop::Commit(std::vector<Job> jobs) {
  engine::CommitGroup group;
  for (Job& job : jobs) {
    auto move_all = [](auto& from, auto& to) {
      to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    };
    move_all(job.group.records, group.records);
    move_all(job.group.rule_states, group.rule_states);
    move_all(job.group.blobs, group.blobs);
    move_all(job.group.rows, group.rows);
  }
  const uint64_t number = commits_ + 1;
  if (hook_) hook_("before", number, group);
  absl::StatusOr<engine::LogHead> head = store_.Commit(group);
  if (!head.ok())
    Fatal(absl::StrCat("the log could not be written, nothing after it may be trusted: ",
                       head.status().message()));
  ++commits_;
  if (hook_) hook_("after", number, group);
  if (!group.records.empty()) rim_.HeadMoved(*head);
  const std::set<std::string> cancelled = CancelledIn(jobs);
  for (Job& job : jobs) {
    for (auto& committed : job.committed) committed();
    for (const Effect& effect : job.effects) {
      const auto* command = std::get_if<v1::CommandEntry>(&effect);
      if (command == nullptr || !cancelled.contains(command->id())) Carry(effect);
    }
    if (job.snapshot == nullptr) continue;
    SaveSnapshot(*job.snapshot, job.digest);
  }
  if (hook_) hook_("effects", number, group);
}

void EngineLoop::SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) {
  const absl::Status saved = store_.SaveSnapshot(snapshot, digest);
  if (saved.ok()) return;
  if (absl::IsDataLoss(saved))
    Fatal(absl::StrCat("the log's disk or file fails, nothing on it may be trusted: ", saved.message()));
  ++snapshots_failed_;
  LogError("a snapshot could not be written; the log goes on, the next start takes longer: %s",
           saved.message());
}

void EngineLoop::Carry(const Effect& effect) {
  std::visit(
      Overloaded{[&](const v1::CommandEntry& command) { rim_.Send(command); },
                 [&](const engine::CancelCommand& cancel) { rim_.Cancel(cancel.command, cancel.host_id); },
                 [&](const v1::Notice& notice) { rim_.Send(notice); },
                 [&](const engine::StartWatch& start) { rim_.Start(start.watch); },
                 [&](const engine::StopWatch& stop) { rim_.Stop(stop.watch); },
                 [&](const engine::TellHost& told) { rim_.Take(told.host); },
                 [&](const engine::Answer& answer) { rim_.Reply(answer); }},
      effect);
}

}  // namespace quell::app
