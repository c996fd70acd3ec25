#include "tests/simulation/world.h"

#include "common/base/ids.h"
#include "tests/simulation/pki.h"

namespace quell::simulation {
namespace {

constexpr Micros kChaos = 15 * kMinute;
constexpr Micros kQuiet = 45 * kMinute;
constexpr Micros kHears = 500 * kMillisecond;  // the longest way of a word to a host that can hear it
constexpr Micros kNoticed = 2 * kSecond;       // of a new stream: edges about them are a second apart
constexpr size_t kMany = 10;                   // a fleet of more hosts is watched for a third of that

// Groups of 1, 2, 3 and 5, and now and then of 50.
int HowMany(Random& random) {
  static constexpr int kSizes[] = {1, 2, 3, 3, 3, 5};
  return random.OneIn(40) ? 50 : kSizes[random.Below(6)];
}

void AddRollback(v1::Policy& policy, Random& random) {
  v1::PolicyStep* step = policy.add_steps();
  step->set_action("release.rollback");
  (*step->mutable_with())["user"] = "$labels.user";
  (*step->mutable_with())["deployment"] = "shop";
  if (!random.OneIn(4)) step->set_only_if_changed_within_us(2 * kHour);
  if (random.OneIn(3)) step->set_only_if_expr("sick");
  *step->mutable_verify() = policy.steps(0).verify();
  if (!random.OneIn(2)) return;
  step->mutable_verify()->set_cleared(false);
  step->mutable_verify()->set_expr("healthy");
}

v1::Config MakeConfig(Random& random) {
  v1::Config config;
  v1::Policy* policy = config.add_policies();
  policy->set_name("restart-hung-app");
  policy->set_mode(random.OneIn(4) ? v1::ASK : v1::AUTOMATIC);
  policy->set_page(static_cast<v1::PageMode>(random.Below(4)));
  policy->set_page_unless_verified_us(kMinute);
  policy->add_alerts("AppHung");
  v1::PolicyStep* step = policy->add_steps();
  step->set_action("pm2.restart");
  (*step->mutable_with())["user"] = "$labels.user";
  (*step->mutable_with())["app"] = "$labels.app";
  step->mutable_verify()->set_cleared(true);
  step->mutable_verify()->set_within_us(30 * kSecond);
  step->mutable_verify()->set_hold_us(15 * kSecond);
  const bool two_steps = !random.OneIn(4);
  if (two_steps) AddRollback(*policy, random);
  if (random.OneIn(2)) policy->set_approval_then("page");
  v1::Guard* guard = policy->mutable_guard();
  guard->set_cooldown_us(kMinute);
  guard->set_attempts_max(3);
  guard->set_attempts_within_us(20 * kMinute);
  guard->set_group_max_share(0.1);
  guard->set_group_within_us(10 * kMinute);
  guard->set_stop_above_unhealthy(0.3);
  guard->set_fresh_us(10 * kSecond);
  policy->set_approval_expires_us(2 * kMinute);
  for (const char* name : {"oncall", "management", "chat"}) {
    v1::Receiver* receiver = config.add_receivers();
    receiver->set_name(name);
    receiver->set_wakes(std::string(name) == "oncall");
  }
  config.add_routes()->add_to("chat");
  for (v1::Severity severity : {v1::P0, v1::P1, v1::P2}) {
    v1::Audience* audience = config.add_audience();
    audience->set_severity(severity);
    audience->add_steps("oncall");
    audience->add_steps("management");
  }
  v1::AlertRule* rule = config.add_alerts();
  rule->set_name("AppHung");
  rule->add_provenance("daemon");
  if (!two_steps || random.OneIn(3)) rule->add_provenance("probe");
  config.set_monitoring_us(3 * kMinute);
  return config;
}

}  // namespace

const testing_support::TestPki& Pki() {
  static const auto& pki = *new testing_support::TestPki(kBegin);
  return pki;
}

const std::string& PkiBundle() {
  static const auto& bundle = *new std::string(Pki().signed_bundle());
  return bundle;
}

v1::Approval SignedBy(const std::string& person, const std::string& intent) {
  static auto& leaves = *new std::map<std::string, testing_support::TestLeaf>;
  auto leaf = leaves.find(person);
  if (leaf == leaves.end())
    leaf = leaves.emplace(person, Pki().Issue(Pki().ResponderSpec(person), Pki().responders())).first;
  const auto key = security::TlsKey::FromPem(leaf->second.key_pem);
  return *security::SignApproval(intent, person, *key, leaf->second.certificate_pem);
}

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::string Random::Bytes(size_t n) {
  std::string bytes;
  while (bytes.size() < n) bytes.push_back(static_cast<char>(Next()));
  return bytes;
}

absl::StatusOr<engine::Recovered> SimStore::Recover() {
  engine::Recovered recovered;
  recovered.snapshot = snapshot_;
  recovered.digest = digest_;
  for (const engine::Record& record : records_) {
    if (record.header.seq() > snapshot_.seq()) recovered.tail.push_back(record);
  }
  return recovered;
}

absl::StatusOr<engine::LogHead> SimStore::Commit(const engine::CommitGroup& group) {
  records_.insert(records_.end(), group.records.begin(), group.records.end());
  return engine::LogHead{records_.size(), ""};
}

absl::Status SimStore::SaveSnapshot(const v1::Snapshot& snapshot, const std::string& digest) {
  snapshot_ = snapshot;
  digest_ = digest;
  return absl::OkStatus();
}

World::World(uint64_t seed, const Bugs& b)
    : clock(kBegin), random(seed), bugs(b), controller(*this), seed_(seed) {
  config = MakeConfig(random);
  const int many = HowMany(random);
  for (int n = 1; n <= many; ++n) hosts.push_back(std::make_unique<SimHost>(*this, n));
  SomethingWasChanged();
}

// On record before all else: releases on some hosts, or one told from outside.
void World::SomethingWasChanged() {
  engine::CommitGroup group;
  const auto add = [&](const SimHost* host) {
    engine::Record& record = group.records.emplace_back();
    record.header.set_seq(group.records.size());
    record.header.set_time_us(kBegin);
    record.header.set_kind(static_cast<uint32_t>(v1::Payload::kChangeRecorded));
    v1::Change* change = record.payload.mutable_change_recorded()->mutable_change();
    change->set_id("CH-" + std::to_string(record.header.seq()));
    change->set_kind("release");
    change->set_at_us(kBegin);
    if (host == nullptr) change->set_service("portal");
    if (host != nullptr) change->set_host_id(host->id), change->set_host(host->name);
    engine::Apply(standby, record.header, record.payload);
  };
  if (random.OneIn(3)) {
    add(nullptr);
  } else {
    for (const auto& host : hosts) {
      if (random.OneIn(2)) add(host.get());
    }
  }
  store.Commit(group).IgnoreError();
}

World::~World() = default;

void World::After(Micros delay, std::function<void()> what) {
  events_[{now() + delay, ++order_}] = std::move(what);
}

Micros World::Frame(const SimHost& host, std::function<void()> arrive) {
  const Micros late = static_cast<Micros>(1 + random.Below(chaos_ ? 80 : 10)) * kMillisecond;
  if (chaos_ && random.OneIn(40)) return 0;
  const SimHost* peer = &host;
  After(late, [peer, arrive = std::move(arrive)] {
    if (peer->Reachable()) arrive();
  });
  return now() + late;
}

void World::SureFrame(const SimHost& host, Micros after, std::function<void()> arrive) {
  const Micros late = static_cast<Micros>(1 + random.Below(80)) * kMillisecond;
  const SimHost* peer = &host;
  After(std::max(late, after - now() + 1), [this, peer, at = host.session, arrive = std::move(arrive)] {
    if (peer->session != at) return;
    if (peer->Reachable()) return arrive();
    SureFrame(*peer, 0, arrive);
  });
}

void World::Trace(const std::string& what) { trace_ = Sha256(trace_ + std::to_string(now()) + " " + what); }

void World::Broken(std::string what) {
  if (broken_.size() < 20) broken_.push_back(FormatClock(now()) + " " + std::move(what));
}

void World::Delivered(const v1::Notice& notice) {
  Trace("delivered " + notice.key());
  const bool says_so = notice.may_repeat() && !bugs.repeats_unmarked;
  if (++delivered[notice.key()] > 1 && !says_so)
    Broken("notice " + notice.key() + " was sent twice without saying so");
}

void World::Effect(const std::string& command, const SimHost& host) {
  Trace("effect " + command + " on " + host.name);
  if (approvals() > 0 && !host.Consented(command))
    Broken("command " + command + " was started on " + host.name + " without the approvals that it asks for");
  if (host.Stopped()) Broken("command " + command + " was started on " + host.name + " beside its stop file");
  NotCalledBack(command, host);
  if (++effects[command] > 1) Broken("command " + command + " was started twice on " + host.name);
  effect_at[command] = now();
  auto known = standby.commands.find(command);
  if (known != standby.commands.end() && !known->second.plan().empty()) PlanWentOn(known->second);
}

void World::Committed(const v1::Payload& payload) {
  const v1::CommandChanged& change = payload.command_changed();
  auto known = standby.commands.find(change.command());
  const bool cancelled = change.set().state() == v1::CANCELLED && known != standby.commands.end();
  if (cancelled && known->second.issued_us() != 0) cancelled_at.emplace(change.command(), now());
}

// Whether the host, connected for long enough since it was cancelled, could have heard of that.
void World::NotCalledBack(const std::string& command, const SimHost& host) {
  auto cancelled = cancelled_at.find(command);
  if (cancelled == cancelled_at.end() || host.session == 0) return;
  const Micros could = std::max({cancelled->second, host.session_since + kNoticed, host.partitioned_until});
  if (now() > could + kHears)
    Broken("command " + command + " was started on " + host.name + " after it was cancelled");
}

bool World::HeldMeanwhile(SimHost& host) {
  if (!chaos_ || !random.OneIn(40)) return false;
  After(static_cast<Micros>(random.Below(400)) * kMillisecond, [this, &host] {
    if (random.OneIn(2)) host.Disconnect();
    v1::Payload payload;
    payload.mutable_person_act()->set_person("alice");
    Hold(*payload.mutable_person_act(), 10);
    controller.Input(payload, "person:alice");
  });
  return true;
}

// What is so, whatever anybody was told: a plan's hosts before this one's wave are not as ill as they were.
void World::PlanWentOn(const v1::CommandEntry& command) {
  for (const auto& [id, other] : standby.commands) {
    if (other.plan() != command.plan() || other.issued_us() >= command.issued_us()) continue;
    if (!other.has_verify() || !effect_at.contains(id)) continue;
    for (const auto& host : hosts) {
      if (host->id == other.host_id() && host->hung && host->hung_since < effect_at[id])
        Broken("plan " + command.plan() + " went on though " + host->name + " is as ill as before");
    }
  }
}

void World::RunOnSome(v1::PersonAct& act) {
  v1::RunAct* run = act.mutable_run();
  run->mutable_action()->mutable_pm2_restart()->set_user("deploy");
  run->mutable_action()->mutable_pm2_restart()->set_app("portal");
  if (!random.OneIn(4)) run->set_incident("last");
  const bool many = !random.OneIn(4);
  const size_t from = random.Below(many ? 2 : hosts.size()) % hosts.size();
  for (size_t i = from; i < hosts.size() && (many || i == from); ++i) run->add_hosts(hosts[i]->id);
}

void World::DecideOnSomething(v1::PersonAct& act) {
  std::string intent;
  for (const auto& [id, command] : controller.state().commands) {
    if (command.state() == v1::AWAITING_APPROVAL)
      act.mutable_approve()->set_command(id), intent = command.intent();
  }
  for (const auto& [id, plan] : controller.state().plans) {
    if (plan.state() == v1::PLAN_AWAITING_APPROVAL)
      act.mutable_approve()->set_command(id), intent = plan.intent();
    if (plan.state() == v1::PLAN_RUNNING && random.OneIn(6)) act.mutable_deny()->set_command(id);
  }
  // Where hosts want it, most sign; the rest come by the controller's own socket.
  if (!act.has_approve() || intent.empty() || approvals() == 0 || random.OneIn(4)) return;
  *act.mutable_approve()->mutable_approval() = SignedBy(act.person(), intent);
}

void World::Hold(v1::PersonAct& act, uint64_t seconds) {
  static constexpr const char* kScopes[] = {"all", "all", "host:web-1", "service:portal"};
  act.mutable_hold()->set_scope(kScopes[random.Below(4)]);
  act.mutable_hold()->set_why("simulated");
  act.mutable_hold()->set_until_us(now() +
                                   static_cast<Micros>(seconds / 5 + random.Below(seconds)) * kSecond);
}

void World::Person() {
  if (!controller.up()) return;
  v1::Payload payload;
  v1::PersonAct* act = payload.mutable_person_act();
  act->set_person(random.OneIn(2) ? "alice" : "bob");
  switch (random.Below(9)) {
    case 0:
      Hold(*act, 100);
      break;
    case 1:
      act->mutable_acknowledge()->set_incident("last");
      break;
    case 2:
    case 5:
      RunOnSome(*act);
      break;
    case 3:
      act->mutable_note()->set_incident("last");
      act->mutable_note()->set_text("looking");
      break;
    case 4:
      if (!random.OneIn(3)) return;
      act->mutable_take()->set_incident("last");
      break;
    default:
      DecideOnSomething(*act);
      if (act->act_case() == v1::PersonAct::ACT_NOT_SET) return;
  }
  controller.Input(payload, "person:" + act->person());
}

// Something goes wrong every few seconds.
void World::Chaos() {
  SimHost& host = *hosts[random.Below(hosts.size())];
  switch (random.Below(12)) {
    case 10:
      if (!random.OneIn(3)) break;
      host.stopped_until = now() + static_cast<Micros>(5 + random.Below(60)) * kSecond;
      break;
    case 9:
      if (!random.OneIn(4)) break;
      for (auto& each : hosts) each->Hang(true);  // a bad release on all of them
      break;
    case 0:
    case 1:
    case 2:
      host.Hang(random.OneIn(2));
      if (random.OneIn(3)) {
        After(static_cast<Micros>(2 + random.Below(60)) * kSecond, [&host] { host.Heal(); });
      }
      break;
    case 3:
      host.partitioned_until = now() + static_cast<Micros>(1 + random.Below(40)) * kSecond;
      break;
    case 4:
      host.Disconnect();
      break;
    case 5:
      if (random.OneIn(3)) controller.Crash();
      break;
    default:
      Person();
  }
  if (chaos_)
    After(static_cast<Micros>(1000 + random.Below(12000)) * kMillisecond, [this] {
      if (chaos_) Chaos();
    });
}

void World::Step(Micros until) {
  while (!events_.empty() && events_.begin()->first.first <= until) {
    auto event = events_.extract(events_.begin());
    clock.Advance(std::max<Micros>(0, event.key().first - now()));
    event.mapped()();
  }
  clock.Advance(std::max<Micros>(0, until - now()));
}

Result World::Run() {
  controller.Start();
  for (auto& host : hosts) host->Start();
  std::function<void()> second = [&] {
    controller.Every1s();
    After(kSecond, second);
  };
  std::function<void()> two = [&] {
    for (auto& host : hosts) host->Every2s();
    After(2 * kSecond, two);
  };
  After(kSecond, second);
  After(2 * kSecond, two);
  After(20 * kSecond, [this] { Chaos(); });
  const Micros part = hosts.size() > kMany ? 3 : 1;
  Step(kBegin + kChaos / part);
  chaos_ = false;
  Step(kBegin + (kChaos + kQuiet) / part);
  Result result;
  result.seed = seed_;
  Finish(result);
  return result;
}

void World::Finish(Result& result) {
  for (int i = 0; i < 1000 && !controller.idle(); ++i) Step(now() + kMillisecond);
  if (!controller.up()) Broken("the controller did not come back");
  if (controller.up() && controller.idle() && engine::Digest(controller.state()) != engine::Digest(standby)) {
    Broken("the live state and the folded log differ");
  }
  CheckLog(*this, Planted(store.records(), bugs), broken_);
  result.trace = HexEncode(trace_);
  result.broken = broken_;
  result.records = store.records().size();
  result.crashes = crashes;
  for (const auto& [id, times] : effects) result.effects += static_cast<size_t>(times);
  if (approvals() > 0) result.signed_effects = result.effects;
  for (const engine::Record& record : store.records()) {
    result.commands += record.payload.has_command_issued() ? 1 : 0;
    result.plans += record.payload.has_plan_made() ? 1 : 0;
    result.waves += record.payload.plan_changed().set().wave() > 0 ? 1 : 0;
    result.second_steps += record.payload.command_issued().command().step() == 1 ? 1 : 0;
    result.incidents += record.payload.has_incident_opened() ? 1 : 0;
    result.pages +=
        record.payload.has_notice_queued() && record.payload.notice_queued().notice().page() ? 1 : 0;
  }
}

Result RunSeed(uint64_t seed, const Bugs& bugs) { return World(seed, bugs).Run(); }

}  // namespace quell::simulation
