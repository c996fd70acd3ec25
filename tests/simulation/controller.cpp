#include <algorithm>

#include "common/base/ids.h"
#include "common/model/identity.h"
#include "common/security/signing.h"
#include "controller/policy/hold.h"
#include "tests/simulation/pki.h"
#include "tests/simulation/world.h"

namespace quell::simulation {
namespace {

constexpr size_t kSnapshotEvery = 150;
constexpr Micros kHungFor = 6 * kSecond;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

void SimController::Start() {
  auto recovered = world_.store.Recover();
  engine::State state = engine::FromSnapshot(recovered->snapshot);
  for (const engine::Record& record : recovered->tail) engine::Apply(state, record.header, record.payload);
  if (engine::Digest(state) != engine::Digest(world_.standby)) {
    world_.Broken("snapshot and tail fold to another state than the records one by one");
  }
  engine_ = std::make_unique<engine::Engine>(std::move(state));
  ++life_;
  for (const auto& [key, firing] : world_.store.firing) {
    if (firing) firing_[key] = false;  // held: unknown until samples are there
  }
  v1::Payload started;
  started.mutable_controller_started()->set_epoch_number(++world_.epoch);
  started.mutable_controller_started()->set_epoch_start(world_.random.Bytes(16));
  liveness_ = std::make_unique<fleet::Liveness>(fleet::Liveness::Options{
      .epoch_number = world_.epoch, .epoch_start = started.controller_started().epoch_start()});
  for (const auto& [id, host] : this->state().hosts) liveness_->Restore(host, world_.now());
  Input(started, "app");
  v1::Payload config;
  *config.mutable_config_loaded()->mutable_config() = world_.config;
  Input(config, "app");
  Job job;
  job.intents = engine_->Outstanding(world_.now());
  Take(std::move(job));
}

void SimController::Crash() {
  if (!up()) return;
  world_.Trace("controller crashes");
  ++world_.crashes;
  ++life_;
  engine_.reset();
  jobs_.clear();
  sessions_.clear();
  watches_.clear();
  firing_.clear();
  since_snapshot_ = 0;
  for (auto& host : world_.hosts) host->Disconnect();
  world_.After(kSecond + static_cast<Micros>(world_.random.Below(5000)) * kMillisecond, [this] { Start(); });
}

void SimController::Input(v1::Payload payload, const std::string& source, std::function<void()> committed) {
  if (!up()) return;
  Job job;
  if (payload.has_signal_edge()) {
    const v1::Signal& signal = payload.signal_edge().signal();
    job.firing[signal.key()] = signal.state() == v1::FIRING;
  }
  if (committed) job.committed.push_back(std::move(committed));
  engine::Handled handled = engine_->Handle(payload, source, world_.now());
  job.records = std::move(handled.records);
  job.intents = std::move(handled.intents);
  Take(std::move(job));
}

void SimController::Take(Job job) {
  for (const engine::Intent& intent : job.intents) {
    if (const auto* send = std::get_if<engine::SendCommand>(&intent)) {
      job.commands[send->command] = state().commands.at(send->command);
    } else if (const auto* notice = std::get_if<engine::SendNotice>(&intent)) {
      job.notices[notice->key] = state().notices.at(notice->key);
    }
  }
  if (world_.bugs.acts_before_commit) {
    Carry(job);
    job.intents.clear();
  }
  jobs_.push_back(std::move(job));
  world_.After(static_cast<Micros>(500 + world_.random.Below(4000)), [this, life = life_] {
    if (life == life_ && !jobs_.empty()) Commit();
  });
}

void SimController::Commit() {
  if (world_.chaos() && world_.random.OneIn(400)) return Crash();
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  engine::CommitGroup group;
  group.records = job.records;
  world_.store.Commit(group).IgnoreError();
  for (const auto& [key, firing] : job.firing) world_.store.firing[key] = firing;
  for (const engine::Record& record : job.records) {
    world_.Trace(std::to_string(record.header.seq()) + " " + std::to_string(record.header.kind()) + " " +
                 record.header.subject());
    const bool forgotten = world_.bugs.apply_forgets && record.header.seq() % 50 == 0;
    if (!forgotten) engine::Apply(world_.standby, record.header, record.payload);
    world_.Committed(record.payload);
  }
  since_snapshot_ += job.records.size();
  if (world_.chaos() && world_.random.OneIn(400)) return Crash();
  const uint64_t life = life_;
  for (const auto& committed : job.committed) committed();
  if (life == life_) Carry(job);
  if (life == life_ && jobs_.empty() && since_snapshot_ >= kSnapshotEvery) {
    since_snapshot_ = 0;
    world_.store.SaveSnapshot(engine::ToSnapshot(state()), engine::Digest(state())).IgnoreError();
  }
}

void SimController::Carry(const Job& job) {
  const uint64_t life = life_;
  for (const engine::Intent& intent : job.intents) {
    if (life != life_) return;
    std::visit(
        Overloaded{[&](const engine::SendCommand& send) {
                     const v1::CommandEntry command = job.commands.at(send.command);
                     Send(command);
                     if (!world_.bugs.dispatch_ignores_hold) return;
                     world_.After(20 * kSecond, [this, command, life = life_] {
                       if (life == life_) Send(command);
                     });
                   },
                   [&](const engine::CancelCommand& cancel) { Cancel(cancel); },
                   [&](const engine::SendNotice& send) { Notify(job.notices.at(send.key)); },
                   [&](const engine::StartWatch& start) {
                     watches_[start.watch.id()] = {start.watch, 0};
                   },
                   [&](const engine::StopWatch& stop) { watches_.erase(stop.watch); }, [](const auto&) {}},
        intent);
  }
}

// What was approved goes along; of a rollback, as what the executors take for one.
void SimController::Approve(const v1::CommandEntry& command, v1::CommandBody& body) {
  body.set_intent(command.intent());
  *body.mutable_approvals() = command.approvals();
  if (!command.typed().has_release_rollback()) return;
  v1::Intent intent;
  intent.ParseFromString(command.intent());
  *intent.mutable_action() = body.action();
  body.set_intent(intent.SerializeAsString());
  body.clear_approvals();
  for (const v1::Approval& approval : command.approvals())
    *body.add_approvals() = SignedBy(approval.person(), body.intent());
}

void SimController::Send(const v1::CommandEntry& command) {
  auto host = std::find_if(world_.hosts.begin(), world_.hosts.end(),
                           [&](auto& h) { return h->id == command.host_id(); });
  if (policy::FindHold(world_.standby, policy::IntendedBy(world_.standby, command), world_.now()) !=
      nullptr) {
    world_.Broken("command " + command.id() + " was handed over while on hold");
  }
  v1::Payload payload;
  payload.mutable_command_delivered()->set_command(command.id());
  payload.mutable_command_delivered()->set_host_id(command.host_id());
  Session& session = sessions_[(*host)->index];
  const bool can = session.id != 0 && !session.nonce.empty();
  payload.mutable_command_delivered()->set_handed_over(can);
  if (!can) payload.mutable_command_delivered()->set_why("no session, or no nonce yet");
  if (can) {
    v1::CommandBody body;
    body.set_id(*HexDecode(command.id()));
    body.set_host_id(command.host_id());
    *body.mutable_action() = command.typed();
    if (command.typed().has_release_rollback()) {
      v1::Pm2Restart* restart = body.mutable_action()->mutable_pm2_restart();
      restart->set_user("deploy");
      restart->set_app(kRollsBack);
    }
    body.set_cause(command.incident());
    body.set_requested_by(command.requested_by());
    body.set_epoch_number(state().started.epoch_number());
    body.set_epoch_start(state().started.epoch_start());
    body.set_nonce(session.nonce);
    body.set_valid_for_ms(30'000);
    body.set_evidence_budget_ms(command.evidence_budget_ms());
    body.set_evidence_budget_bytes(command.evidence_budget_bytes());
    body.set_deadline_ms(command.deadline_ms());
    if (!command.approvals().empty()) Approve(command, body);
    v1::SignedCommand signed_command;
    signed_command.set_body(body.SerializeAsString());
    signed_command.set_key_id(Pki().command_key().Id());
    signed_command.set_signature(Pki().command_key().Sign(security::kCommandContext, signed_command.body()));
    SimHost* to = host->get();
    const Micros arrives =
        world_.Frame(*to, [to, bytes = signed_command.SerializeAsString(), at = session.id] {
          if (to->session == at) to->Submit(bytes);
        });
    session.arrived = std::max(session.arrived, arrives);
  }
  Input(payload, "ingest");
}

void SimController::Cancel(const engine::CancelCommand& cancel) {
  auto known = world_.cancelled_at.find(cancel.command);
  const bool again = known != world_.cancelled_at.end() && known->second < world_.now();
  if (world_.bugs.cancel_not_carried || (world_.bugs.cancel_not_repeated && again)) return;
  for (auto& host : world_.hosts) {
    const Session& session = sessions_[host->index];
    if (host->id != cancel.host_id || session.id == 0) continue;
    SimHost* to = host.get();
    world_.SureFrame(*to, session.arrived, [to, id = *HexDecode(cancel.command)] { to->Cancel(id); });
  }
}

void SimController::Notify(const v1::Notice& notice) {
  world_.After(static_cast<Micros>(10 + world_.random.Below(300)) * kMillisecond, [this, notice,
                                                                                   life = life_] {
    const uint64_t fate = world_.chaos() ? world_.random.Below(10) : 9;  // 0: refused, 1: the answer is lost
    const bool swallowed = world_.bugs.give_up_not_sent && notice.transition() == "given_up";
    if (fate != 0 && !swallowed) world_.Delivered(notice);
    if (life != life_) return;
    v1::Payload payload;
    payload.mutable_notice_result()->set_key(notice.key());
    payload.mutable_notice_result()->set_sent(fate > 1);
    payload.mutable_notice_result()->set_ambiguous(fate == 1);
    if (fate <= 1) payload.mutable_notice_result()->set_error("simulated");
    Input(payload, "outbox");
  });
}

v1::Signal SimController::SignalOf(const SimHost& host) const {
  const Labels labels{
      {"alertname", "AppHung"}, {"instance", host.name}, {"user", "deploy"}, {"app", "portal"}};
  v1::Signal signal;
  signal.set_key(SignalKey("AppHung", labels));
  signal.set_alert("AppHung");
  for (const auto& [name, value] : labels) {
    v1::Label* label = signal.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  signal.set_severity(host.index == 2 ? v1::P2 : v1::P1);
  signal.set_host_id(host.id);
  signal.set_fired_us(world_.now());
  v1::Fact* fact = signal.add_facts();
  fact->mutable_series()->set_name("pm2_app_pid");
  v1::Label* label = fact->mutable_series()->add_labels();
  label->set_name("pm_id");
  label->set_value("0");
  fact->set_value(static_cast<double>(host.pid));
  fact->set_at_us(world_.now());
  return signal;
}

void SimController::Connected(SimHost& host, uint64_t id) {
  if (!up()) return;
  Session& session = sessions_[host.index];
  session = Session();
  session.id = id;
  v1::Host identity;
  identity.set_id(host.id);
  identity.set_name(host.name);
  v1::Hello hello;
  hello.set_executor_connected(true);
  hello.add_actions("pm2.restart");
  hello.add_actions("release.rollback");
  Hosts(liveness_->OnConnect(identity, hello, "", world_.now()));
  if (up()) Hosts(liveness_->OnApps(host.id, {"deploy/portal"}));
}

void SimController::Hosts(const fleet::Liveness::Edges& edges) {
  for (const v1::HostEdge& edge : edges) {
    v1::Payload payload;
    *payload.mutable_host_edge() = edge;
    Input(std::move(payload), "shard");
  }
}

void SimController::Disconnected(const SimHost& host) { sessions_[host.index].id = 0; }

void SimController::Heard(SimHost& host, uint64_t id, const std::string& nonce, bool healthy,
                          Micros sampled) {
  if (!up() || sessions_[host.index].id != id) return;
  Session& session = sessions_[host.index];
  v1::Heartbeat heartbeat;
  heartbeat.set_executor_connected(true);
  heartbeat.set_held(host.Held());
  Hosts(liveness_->OnHeartbeat(host.id, heartbeat, world_.now()));
  session.nonce = nonce;
  if (sampled <= session.sampled) return;  // overtaken by a later one
  session.sampled = sampled;
  if (healthy) session.hung_since = 0;
  if (!healthy && session.hung_since == 0) session.hung_since = sampled;
  session.healthy = healthy;
}

void SimController::Reported(SimHost& host, uint64_t id, const v1::CommandReport& report) {
  if (!up() || sessions_[host.index].id != id) return;
  v1::Payload payload;
  payload.mutable_command_reported()->set_host_id(host.id);
  *payload.mutable_command_reported()->mutable_report() = report;
  payload.mutable_command_reported()->mutable_report()->clear_evidence();
  const bool bad = report.outcome() == v1::OUTCOME_FAILED || report.outcome() == v1::OUTCOME_UNKNOWN;
  if (world_.bugs.failure_told_as_success && bad)
    payload.mutable_command_reported()->mutable_report()->set_outcome(v1::OUTCOME_SUCCEEDED);
  payload.mutable_command_reported()->set_at_us(world_.now());
  SimHost* to = &host;
  Input(payload, "agent:" + host.id, [this, to, seq = report.seq(), id] {
    world_.Frame(*to, [to, seq, id] {
      if (to->session == id) to->Acknowledge(seq);
    });
  });
}

void SimController::Evaluate(SimHost& host, Session& session) {
  const v1::Signal signal = SignalOf(host);
  auto firing = firing_.find(signal.key());
  const bool fires = session.hung_since != 0 && session.sampled - session.hung_since >= kHungFor;
  v1::Payload payload;
  *payload.mutable_signal_edge()->mutable_signal() = signal;
  payload.mutable_signal_edge()->mutable_signal()->set_sample_us(session.sampled);
  if (fires && (firing == firing_.end() || !firing->second)) {
    firing_[signal.key()] = true;
    payload.mutable_signal_edge()->mutable_signal()->set_state(v1::FIRING);
    Input(payload, "shard");
  } else if (session.healthy && firing != firing_.end()) {
    firing_.erase(firing);
    payload.mutable_signal_edge()->mutable_signal()->set_state(v1::CLEARED);
    Input(payload, "shard");
  }
}

void SimController::EvaluateWatches(SimHost& host, const Session& session) {
  std::vector<v1::Payload> edges;
  for (auto& [id, entry] : watches_) {
    const v1::Watch& watch = entry.first;
    if (watch.host_id() != host.id) continue;
    int value = v1::WatchEdge::NO_DATA;
    if (session.id != 0 && session.sampled >= watch.newer_than_us() &&
        world_.now() - session.sampled < 10 * kSecond) {
      const bool asks_for_ill = watch.expr() == "sick";
      value = session.healthy != asks_for_ill ? v1::WatchEdge::TRUE : v1::WatchEdge::FALSE;
      if (world_.bugs.verifies_blindly && id.rfind("verify/", 0) == 0) value = v1::WatchEdge::TRUE;
    }
    if (value == entry.second) continue;
    entry.second = value;
    v1::Payload payload;
    payload.mutable_watch_edge()->set_watch(id);
    payload.mutable_watch_edge()->set_value(static_cast<v1::WatchEdge::Value>(value));
    payload.mutable_watch_edge()->set_sample_us(session.sampled);
    edges.push_back(std::move(payload));
  }
  for (v1::Payload& edge : edges) Input(std::move(edge), "shard");
}

void SimController::Every1s() {
  if (!up()) return;
  const fleet::Liveness::Edges edges = liveness_->Check(world_.now());
  Hosts(edges);
  for (auto& host : world_.hosts) {
    Session& session = sessions_[host->index];
    const bool lost = std::any_of(edges.begin(), edges.end(), [&](const v1::HostEdge& edge) {
      return edge.kind() == v1::HostEdge::HOST_LOST && edge.host().id() == host->id;
    });
    if (lost) {
      const std::string key = SignalOf(*host).key();
      if (firing_.contains(key)) firing_[key] = false;
      host->Disconnect();
    }
    if (session.id != 0 && session.sampled != 0) Evaluate(*host, session);
    if (up()) EvaluateWatches(*host, session);
  }
  if (up() && engine_->NextDeadline() != 0 && engine_->NextDeadline() <= world_.now()) {
    v1::Payload payload;
    payload.mutable_time_passed();
    Input(payload, "app");
    if (engine_->NextDeadline() != 0 && engine_->NextDeadline() <= world_.now()) {
      world_.Broken("a deadline is due and nothing comes of it");
    }
  }
}

}  // namespace quell::simulation
