#include "tests/controller/engine/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/ids.h"
#include "common/model/identity.h"
#include "controller/incidents/find.h"

namespace quell::engine {
namespace {

constexpr char kApp[] = "portal";
constexpr char kUser[] = "deploy";

std::string Id(int n) { return "00000000-0000-4000-8000-" + std::to_string(100000000000 + n); }
std::string Name(int n) { return "web-" + std::to_string(n); }

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

void AddAlert(v1::Config& config, const std::string& name, std::vector<std::string> provenance) {
  v1::AlertRule* rule = config.add_alerts();
  rule->set_name(name);
  rule->set_host_local(true);
  for (std::string& who : provenance) rule->add_provenance(who);
}

}  // namespace

v1::Policy Scenario::RestartPolicy() {
  v1::Policy policy;
  policy.set_name("restart-hung-app");
  policy.set_mode(v1::AUTOMATIC);
  policy.add_alerts("AppHung");
  v1::PolicyStep* step = policy.add_steps();
  step->set_action("pm2.restart");
  (*step->mutable_with())["user"] = "$labels.user";
  (*step->mutable_with())["app"] = "$labels.app";
  step->mutable_verify()->set_cleared(true);
  step->mutable_verify()->set_within_us(60 * kSecond);
  step->mutable_verify()->set_hold_us(30 * kSecond);
  v1::Guard* guard = policy.mutable_guard();
  guard->set_cooldown_us(5 * kMinute);
  guard->set_attempts_max(2);
  guard->set_attempts_within_us(kHour);
  guard->set_group_max_share(0.1);
  guard->set_group_within_us(10 * kMinute);
  guard->set_stop_above_unhealthy(0.3);
  guard->set_fresh_us(10 * kSecond);
  policy.set_approval_expires_us(10 * kMinute);
  return policy;
}

v1::Policy Scenario::ReleasePolicy() {
  v1::Policy policy = RestartPolicy();
  policy.set_name("bad-release");
  policy.clear_alerts();
  policy.add_alerts("AppDown");
  v1::PolicyStep* step = policy.add_steps();
  step->set_action("release.rollback");
  (*step->mutable_with())["user"] = "$labels.user";
  (*step->mutable_with())["deployment"] = "shop";
  step->set_only_if_changed_within_us(2 * kHour);
  step->mutable_verify()->set_expr("probe_success == 1");
  step->mutable_verify()->set_within_us(60 * kSecond);
  step->mutable_verify()->set_hold_us(30 * kSecond);
  return policy;
}

v1::Config Scenario::DefaultConfig() {
  v1::Config config;
  *config.add_policies() = RestartPolicy();
  for (const char* name : {"oncall", "secondary", "management", "chat"}) {
    v1::Receiver* receiver = config.add_receivers();
    receiver->set_name(name);
    receiver->set_type(std::string(name) == "chat" ? "webhook" : "email");
    receiver->set_wakes(std::string(name) == "oncall");
  }
  config.add_routes()->add_to("chat");
  auto audience = [&](v1::Severity severity, std::vector<std::string> steps) {
    v1::Audience* a = config.add_audience();
    a->set_severity(severity);
    for (std::string& step : steps) a->add_steps(step);
  };
  audience(v1::P0, {"oncall", "secondary", "management"});
  audience(v1::P1, {"oncall", "management"});
  audience(v1::P2, {"oncall"});
  AddAlert(config, "AppHung", {"daemon", "probe"});
  AddAlert(config, "AppDown", {"daemon"});
  AddAlert(config, "DiskFull", {"kernel"});
  AddAlert(config, "LogErrors", {"text"});
  config.set_monitoring_us(30 * kMinute);
  config.set_external_url("https://quell.example");
  return config;
}

Scenario::Scenario(int hosts, v1::Config config) : now_(1'795'403'527 * kSecond), config_(std::move(config)) {
  engine_ = std::make_unique<Engine>(State{});
  Restart();
  Load(config_);
  for (int n = 1; n <= hosts; ++n) ConnectHost(n);
}

Scenario::~Scenario() {
  EXPECT_EQ(Digest(engine_->state()), Digest(folded_)) << "the live state and the folded log differ";
  EXPECT_TRUE(engine_->state().index == FromSnapshot(ToSnapshot(engine_->state())).index)
      << "the index that Apply kept and one made anew differ";
  for (const auto& [id, incident] : engine_->state().incidents) {
    uint32_t firing = 0;
    for (const std::string& key : incident.signals()) {
      auto it = engine_->state().signals.find(key);
      if (it == engine_->state().signals.end() || it->second.incident() != id) continue;
      firing += it->second.state() != v1::CLEARED ? 1 : 0;
    }
    EXPECT_EQ(incident.firing(), firing) << id;
  }
}

void Scenario::Host(int n, v1::HostEdge::Kind kind) {
  v1::Payload payload;
  v1::HostEdge* edge = payload.mutable_host_edge();
  edge->set_kind(kind);
  auto it = state().hosts.find(Id(n));
  if (it != state().hosts.end()) *edge->mutable_host() = it->second;
  edge->mutable_host()->set_id(Id(n));
  edge->mutable_host()->set_name(Name(n));
  edge->mutable_host()->clear_liveness();
  Input(payload);
}

void Scenario::ConnectHost(int n, const std::function<void(v1::Host&)>& change) {
  v1::Payload payload;
  v1::HostEdge* edge = payload.mutable_host_edge();
  edge->set_kind(v1::HostEdge::HOST_CONNECTED);
  v1::Host* host = edge->mutable_host();
  host->set_id(Id(n));
  host->set_name(Name(n));
  host->set_executor_connected(true);
  host->add_actions("pm2.restart");
  host->add_actions("release.rollback");
  host->add_apps(std::string(kUser) + "/" + kApp);
  if (change) change(*host);
  Input(payload);
}

v1::Signal Scenario::SignalOf(int host, const std::string& alert, v1::Severity severity) const {
  const bool about_app = alert.substr(0, 3) == "App";
  std::vector<Labels::Pair> pairs = {{"alertname", alert}, {"instance", Name(host)}};
  if (about_app) pairs.insert(pairs.end(), {{"user", kUser}, {"app", kApp}});
  const Labels labels(pairs);
  v1::Signal signal;
  signal.set_key(SignalKey(alert, labels));
  signal.set_alert(alert);
  for (const auto& [name, value] : labels) {
    v1::Label* label = signal.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  signal.set_severity(severity);
  signal.set_host_id(Id(host));
  signal.set_active_since_us(now_ - 10 * kSecond);
  signal.set_fired_us(now_);
  signal.set_sample_us(now_ - kSecond);
  if (about_app) {
    v1::Fact* fact = signal.add_facts();
    fact->mutable_series()->set_name("pm2_app_pid");
    v1::Label* label = fact->mutable_series()->add_labels();
    label->set_name("pm_id");
    label->set_value("3");
    fact->set_value(4711);
    fact->set_at_us(now_ - kSecond);
  }
  return signal;
}

void Scenario::Edge(v1::Signal signal, v1::SignalState to) {
  signal.set_state(to);
  if (to == v1::CLEARED) signal.set_cleared_us(now_);
  v1::Payload payload;
  *payload.mutable_signal_edge()->mutable_signal() = std::move(signal);
  Input(payload, "shard");
}

void Scenario::Fire(int host, const std::string& alert, v1::Severity severity) {
  Edge(SignalOf(host, alert, severity), v1::FIRING);
}

void Scenario::Clear(int host, const std::string& alert) { Edge(SignalOf(host, alert, v1::P1), v1::CLEARED); }

// Put into the log as recovery would find it there.
void Scenario::Changed(int host, const std::function<void(v1::Change&)>& edit, Micros at) {
  Record record;
  record.header.set_seq(folded_.seq + 1);
  record.header.set_time_us(now_);
  v1::Change* change = record.payload.mutable_change_recorded()->mutable_change();
  change->set_id("CH-" + std::to_string(record.header.seq()));
  change->set_kind("release");
  change->set_summary("1.8.2");
  change->set_at_us(at == 0 ? now_ : at);
  if (host != 0) change->set_host_id(Id(host)), change->set_host(Name(host));
  if (edit) edit(*change);
  Apply(folded_, record.header, record.payload);
  log_.push_back(std::move(record));
  engine_ = std::make_unique<Engine>(folded_);
}

Answer Scenario::Decide(const std::string& who, bool approve, const std::string& name) {
  return Person(who, [&](v1::PersonAct& act) {
    (approve ? act.mutable_approve() : act.mutable_deny())->set_command(name);
  });
}

void Scenario::Watch(const std::string& id, v1::WatchEdge::Value value) {
  told_[id] = value;
  v1::Payload payload;
  payload.mutable_watch_edge()->set_watch(id);
  payload.mutable_watch_edge()->set_value(value);
  payload.mutable_watch_edge()->set_sample_us(now_);
  Input(payload, "shard");
}

void Scenario::Report(const v1::CommandEntry& command, v1::Outcome outcome, v1::RefusalKind refusal,
                      const std::string& reason) {
  v1::Payload payload;
  v1::CommandReported* reported = payload.mutable_command_reported();
  reported->set_host_id(command.host_id());
  reported->set_at_us(now_);
  reported->mutable_report()->set_id(*HexDecode(command.id()));
  reported->mutable_report()->set_outcome(outcome);
  reported->mutable_report()->set_refusal(refusal);
  reported->mutable_report()->set_reason(reason);
  if (outcome == v1::OUTCOME_SUCCEEDED) {
    v1::Pm2Process* after = reported->mutable_report()->add_after();
    after->set_pm_id(3);
    after->set_pid(5000 + static_cast<int64_t>(command.number()));
  }
  Input(payload, "agent:" + command.host_id());
}

Answer Scenario::Person(const std::string& name, const std::function<void(v1::PersonAct&)>& act) {
  v1::Payload payload;
  payload.mutable_person_act()->set_person(name);
  payload.mutable_person_act()->set_via("socket");
  payload.mutable_person_act()->set_request("r" + std::to_string(log_.size()));
  act(*payload.mutable_person_act());
  answers_.clear();
  Input(payload, "person:" + name);
  EXPECT_EQ(answers_.size(), 1u);
  return answers_.empty() ? Answer{} : answers_.back();
}

void Scenario::Load(const v1::Config& config) {
  v1::Payload payload;
  *payload.mutable_config_loaded()->mutable_config() = config;
  Input(payload, "app");
}

Handled Scenario::Input(const v1::Payload& payload, const std::string& source) {
  Handled handled = engine_->Handle(payload, source, now_);
  Take(handled);
  return handled;
}

void Scenario::Take(Handled handled) {
  for (Record& record : handled.records) {
    EXPECT_EQ(record.header.seq(), folded_.seq + 1);
    Apply(folded_, record.header, record.payload);
    log_.push_back(std::move(record));
  }
  for (const Intent& intent : handled.intents) Carry(intent);
}

void Scenario::Carry(const Intent& intent) {
  std::visit(Overloaded{[&](const SendCommand& send) {
                          ++starts[send.command];
                          if (deliver) After(0, [this, id = send.command] { Send(id); });
                        },
                        [&](const CancelCommand& cancel) { ++cancels[cancel.command]; },
                        [&](const SendNotice& send) {
                          ++sent[send.key];
                          if (!notices_arrive) return;
                          After(0, [this, key = send.key] {
                            auto it = state().notices.find(key);
                            if (it == state().notices.end()) return;
                            v1::Payload payload;
                            if (outbox) *payload.mutable_notice_result() = outbox(it->second);
                            if (!outbox) payload.mutable_notice_result()->set_sent(true);
                            payload.mutable_notice_result()->set_key(key);
                            Input(payload, "outbox");
                          });
                        },
                        [&](const StartWatch& start) {
                          auto told = told_.find(start.watch.id());
                          const bool came_true = told != told_.end() && told->second == v1::WatchEdge::TRUE;
                          if (came_true && holds_stay && start.watch.id().substr(0, 7) == "verify/")
                            After(0, [this, id = start.watch.id()] { Watch(id, v1::WatchEdge::TRUE); });
                          const bool asked = start.watch.id().substr(0, 7) == "onlyif/";
                          if (asked && only_if) {
                            After(0, [this, watch = start.watch] { Watch(watch.id(), only_if(watch)); });
                          }
                          const bool confirm = start.watch.id().substr(0, 8) == "confirm/";
                          if (!confirm || !watches_confirm) return;
                          After(0, [this, watch = start.watch] {
                            auto it = state().signals.find(watch.signal_key());
                            const bool firing =
                                it != state().signals.end() && it->second.state() == v1::FIRING;
                            Watch(watch.id(), firing ? v1::WatchEdge::FALSE : v1::WatchEdge::TRUE);
                          });
                        },
                        [&](const Answer& answer) { answers_.push_back(answer); }, [&](const auto&) {}},
             intent);
}

void Scenario::Send(const std::string& id) {
  v1::Payload payload;
  payload.mutable_command_delivered()->set_command(id);
  payload.mutable_command_delivered()->set_host_id(state().commands.at(id).host_id());
  payload.mutable_command_delivered()->set_handed_over(true);
  Input(payload, "ingest");
  if (!remedy_succeeds) return;
  After(remedy_takes, [this, id] { Finish(id); });
}

void Scenario::Finish(const std::string& id) {
  const v1::CommandEntry command = state().commands.at(id);
  Report(command, v1::OUTCOME_STARTED);
  Report(command, command.dry_run() ? v1::OUTCOME_DRY_RUN : v1::OUTCOME_SUCCEEDED);
  const bool help = helps ? helps(command) : remedy_helps;
  if (!help || command.dry_run()) return;
  After(2 * kSecond, [this, command] {
    auto it = state().signals.find(command.signal());
    if (it != state().signals.end()) Edge(it->second, v1::CLEARED);
    Watch("verify/" + command.id(), v1::WatchEdge::TRUE);
  });
}

void Scenario::After(Micros delay, std::function<void()> what) {
  later_.push_back({now_ + delay, std::move(what)});
}

bool Scenario::RunLater(Micros until) {
  auto it = std::min_element(later_.begin(), later_.end(),
                             [](const Later& a, const Later& b) { return a.at < b.at; });
  if (it == later_.end() || it->at > until) return false;
  Later next = std::move(*it);
  later_.erase(it);
  now_ = std::max(now_, next.at);
  next.what();
  return true;
}

void Scenario::Pass(Micros duration) {
  const Micros end = now_ + duration;
  while (true) {
    const Micros deadline = engine_->NextDeadline();
    const Micros stop = deadline == 0 ? end : std::min(end, std::max(deadline, now_));
    if (RunLater(stop)) continue;
    if (deadline == 0 || deadline > end) break;
    now_ = std::max(now_, deadline);
    v1::Payload payload;
    payload.mutable_time_passed();
    const Handled handled = Input(payload, "app");
    ASSERT_FALSE(handled.records.empty() && engine_->NextDeadline() <= now_ && engine_->NextDeadline() != 0)
        << "a deadline is due and nothing comes of it";
  }
  now_ = end;
}

void Scenario::Restart(bool snapshot) {
  later_.clear();
  told_.clear();
  State state;
  if (snapshot) {
    state = FromSnapshot(ToSnapshot(engine_->state()));
  } else {
    for (const Record& record : log_) Apply(state, record.header, record.payload);
  }
  EXPECT_EQ(Digest(state), Digest(engine_->state()));
  engine_ = std::make_unique<Engine>(std::move(state));
  v1::Payload payload;
  payload.mutable_controller_started()->set_epoch_number(++epoch_);
  payload.mutable_controller_started()->set_epoch_start(Sha256(std::to_string(epoch_)).substr(0, 16));
  Input(payload, "app");
  if (!log_.empty() && epoch_ > 1) Load(config_);
  for (const Intent& intent : engine_->Outstanding(now_)) Carry(intent);
}

const v1::Incident& Scenario::incident(size_t n) const {
  std::vector<const v1::Incident*> all;
  for (const auto& [id, incident] : state().incidents) all.push_back(&incident);
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->number() < b->number(); });
  static const v1::Incident& none = *new v1::Incident;
  EXPECT_LT(n, all.size());
  return n < all.size() ? *all[n] : none;
}

std::vector<v1::CommandEntry> Scenario::Commands() const {
  std::vector<v1::CommandEntry> all;
  for (const Record& record : log_) {
    if (!record.payload.has_command_issued()) continue;
    auto it = state().commands.find(record.payload.command_issued().command().id());
    all.push_back(it == state().commands.end() ? record.payload.command_issued().command() : it->second);
  }
  return all;
}

v1::CommandEntry Scenario::Command(size_t n) const {
  auto all = Commands();
  EXPECT_LT(n, all.size());
  return n < all.size() ? all[n] : v1::CommandEntry();
}

std::vector<v1::Plan> Scenario::Plans() const {
  std::vector<v1::Plan> all;
  for (const Record& record : log_) {
    if (!record.payload.has_plan_made()) continue;
    auto it = state().plans.find(record.payload.plan_made().plan().id());
    all.push_back(it == state().plans.end() ? record.payload.plan_made().plan() : it->second);
  }
  return all;
}

v1::Plan Scenario::Plan(size_t n) const {
  auto all = Plans();
  EXPECT_LT(n, all.size());
  return n < all.size() ? all[n] : v1::Plan();
}

std::vector<std::string> Scenario::Pages() const {
  std::vector<std::string> pages;
  for (const Record& record : log_) {
    const v1::Notice& notice = record.payload.notice_queued().notice();
    if (record.payload.has_notice_queued() && notice.page())
      pages.push_back(notice.receiver() + "/" + notice.transition());
  }
  return pages;
}

std::vector<std::string> Scenario::Copies() const {
  std::vector<std::string> copies;
  for (const Record& record : log_) {
    const v1::Notice& notice = record.payload.notice_queued().notice();
    if (record.payload.has_notice_queued() && !notice.page())
      copies.push_back(notice.receiver() + "/" + notice.transition());
  }
  return copies;
}

std::vector<std::string> Scenario::Decisions() const {
  std::vector<std::string> decisions;
  for (const Record& record : log_) {
    if (!record.payload.has_decision_made()) continue;
    const v1::Decision& decision = record.payload.decision_made().decision();
    decisions.push_back(decision.verdict() + "/" + decision.guard());
  }
  return decisions;
}

std::string Scenario::LastDecision() const {
  const auto all = Decisions();
  return all.empty() ? "" : all.back();
}

bool Scenario::Told(const std::string& text) const {
  for (const auto& [id, incident] : state().incidents) {
    for (const v1::TimelineEntry& entry : incident.timeline()) {
      if (entry.text().find(text) != std::string::npos) return true;
    }
  }
  return false;
}

}  // namespace quell::engine
