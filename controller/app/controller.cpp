#include "controller/app/controller.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "controller/app/shard_metrics.h"
#include "controller/notify/break_glass.h"
#include "controller/store/sqlite.h"

namespace quell::app {
namespace {

constexpr size_t kShards = 2;
constexpr std::string_view kVersion = QUELL_VERSION;

absl::StatusOr<std::string> ReadSmall(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(std::string text, RealDisk().Read(path, 1 << 20));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::map<std::string, Labels> LabelsByHost(
    const std::map<std::string, std::map<std::string, std::string>>& hosts) {
  std::map<std::string, Labels> all;
  for (const auto& [host, labels] : hosts)
    all[host] = Labels(std::vector<Labels::Pair>(labels.begin(), labels.end()));
  return all;
}

// The state that the log gives: the newest snapshot, and the records after it applied.
absl::StatusOr<engine::State> Fold(const engine::Recovered& recovered) {
  engine::State state = engine::FromSnapshot(recovered.snapshot);
  if (recovered.snapshot.seq() != 0 && engine::Digest(state) != recovered.digest) {
    return absl::DataLossError(absl::StrCat("the snapshot at record ", recovered.snapshot.seq(),
                                            " does not fold to the digest that was written with it"));
  }
  for (const engine::Record& record : recovered.tail) engine::Apply(state, record.header, record.payload);
  return state;
}

}  // namespace

Controller::Controller(Loaded loaded, Clock& clock, CommitHook hook)
    : config_(std::move(loaded.config)),
      rules_(std::move(loaded.rules)),
      catalogue_(std::move(loaded.catalogue)),
      clock_(clock),
      hook_(std::move(hook)) {}

Controller::~Controller() { Stop(); }

absl::Status Controller::Start() {
  QUELL_RETURN_IF_ERROR(LoadKeys());
  QUELL_RETURN_IF_ERROR(OpenLog());
  {
    absl::MutexLock lock(&outbox_mutex_);
    outbox_ = MakeOutbox();
  }
  auto state = Fold(recovered_);
  QUELL_RETURN_IF_ERROR(state.status());
  started_at_ = clock_.Wall();
  loop_ = std::make_unique<EngineLoop>(*store_, clock_, *std::move(state), *this, hook_);
  MakeThreads();
  loop_->OnCycle([this](EngineLoop::Thread thread) { watchdog_.Completed(thread); });
  StartEngine();
  QUELL_RETURN_IF_ERROR(StartListeners());
  AddMetrics();
  ready_ = true;
  LogInfo("controller %s is ready: agents at port %d, web at port %d, operators at %s", controller_id_,
          agents_port(), web_port(), config_.socket);
  return absl::OkStatus();
}

std::shared_ptr<receivers::Outbox> Controller::outbox() {
  absl::MutexLock lock(&outbox_mutex_);
  return outbox_;
}

void Controller::Reload(Loaded loaded) {
  config_.config = loaded.config.config;
  config_.redacted = loaded.config.redacted;
  config_.receivers = std::move(loaded.config.receivers);
  rules_ = std::move(loaded.rules);
  catalogue_ = std::move(loaded.catalogue);
  std::shared_ptr<receivers::Outbox> old = outbox();
  {
    std::shared_ptr<receivers::Outbox> fresh = MakeOutbox();
    absl::MutexLock lock(&outbox_mutex_);
    outbox_ = std::move(fresh);
  }
  old->Stop();  // what it did not begin is told as not sent, and goes to the new one
  shards_->SetCatalogue(catalogue_);
  shards_->Load(rules_);
  backend_->SetConfig(config_.config, catalogue_);
  changes_->SetSources(std::move(loaded.config.sources));
  PostInput(InputClass::kPerson, ConfigInput());
}

void Controller::Stop() {
  if (std::exchange(stopped_, true)) return;
  ready_ = false;
  responders_.reset();
  operators_.reset();
  web_.reset();
  enrol_.reset();
  if (ingest_ != nullptr) ingest_->Stop();
  if (shards_ != nullptr) shards_->Stop();
  // Before the engine: what an attempt came to is still written down.
  if (auto last = outbox(); last != nullptr) last->Stop();
  if (loop_ != nullptr) loop_->Stop();
}

absl::Status Controller::LoadKeys() {
  QUELL_ASSIGN_OR_RETURN(command_key_, security::SigningKey::Load(config_.pki.command_key));
  QUELL_ASSIGN_OR_RETURN(log_key_, security::SigningKey::Load(config_.pki.log_key));
  QUELL_ASSIGN_OR_RETURN(identity_, security::LoadTlsIdentity(config_.pki.key, config_.pki.certificate));
  QUELL_ASSIGN_OR_RETURN(root_pin_, ReadSmall(config_.pki.root_pin));
  QUELL_ASSIGN_OR_RETURN(signed_bundle_, RealDisk().Read(config_.pki.trust_bundle, 1 << 20));
  QUELL_ASSIGN_OR_RETURN(v1::TrustBundle bundle,
                         security::OpenTrustBundle(signed_bundle_, root_pin_, clock_.Wall()));
  QUELL_RETURN_IF_ERROR(Annotate(security::CommandKey(bundle, command_key_->Id()).status(),
                                 "this controller's command key is not trusted"));
  QUELL_RETURN_IF_ERROR(Annotate(security::LogKey(bundle, log_key_->Id()).status(),
                                 "this controller's log key is not trusted"));
  QUELL_ASSIGN_OR_RETURN(Peer self,
                         security::PeerFromCertificate(identity_->certificate_pem, bundle, clock_.Wall()));
  if (self.role != "controller") {
    return absl::FailedPreconditionError(
        absl::StrCat(config_.pki.certificate, " is the certificate of a ", self.role));
  }
  controller_id_ = self.id;
  trust_ = std::make_shared<security::TrustHolder>(std::move(bundle));
  return LoadAuthority();
}

// Without it agents are served as ever, but nobody enrols and no certificate is renewed.
absl::Status Controller::LoadAuthority() {
  const std::string& key = config_.pki.agents_ca_key;
  if (config_.listen_enrol.empty() && !RealDisk().Exists(key)) return absl::OkStatus();
  QUELL_ASSIGN_OR_RETURN(agents_authority_, security::LoadAuthority(key, config_.pki.agents_ca));
  QUELL_ASSIGN_OR_RETURN(const std::string der, security::PemToDer(agents_authority_->certificate_pem));
  const auto bundle = trust_->Get();
  if (std::find(bundle->agents_ca().begin(), bundle->agents_ca().end(), der) == bundle->agents_ca().end())
    return absl::FailedPreconditionError(
        absl::StrCat(config_.pki.agents_ca, " is no authority of the agents in the trust bundle"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Controller::LogKeyOf(std::string_view key_id) const {
  return security::LogKey(*trust_->Get(), key_id);
}

absl::Status Controller::OpenLog() {
  store::StoreOptions options;
  options.path = config_.sqlite;
  QUELL_ASSIGN_OR_RETURN(store_, store::SqliteLogStore::Open(options, *log_key_, [this](std::string_view id) {
                           return LogKeyOf(id);
                         }));
  QUELL_ASSIGN_OR_RETURN(recovered_, store_->Recover());
  store::ReaderOptions reading;
  reading.path = config_.sqlite;
  QUELL_ASSIGN_OR_RETURN(reader_, store::StoreReader::Open(reading));
  // Executors refuse what is below the bundle's least epoch: a controller recovered without its log begins
  // there.
  started_.set_epoch_number(std::max(recovered_.epoch + 1, trust_->Get()->least_epoch()));
  started_.set_epoch_start(RandomBytes(16));
  started_.set_version(std::string(kVersion));
  started_.set_controller_id(controller_id_);
  return absl::OkStatus();
}

std::shared_ptr<receivers::Outbox> Controller::MakeOutbox() {
  receivers::OutboxOptions options;
  options.installation = trust_->Get()->installation();
  return std::make_shared<receivers::Outbox>(std::move(config_.receivers), options,
                                             [this](v1::NoticeResult result) {
                                               EngineInput input;
                                               input.source = "app";
                                               *input.payload.mutable_notice_result() = std::move(result);
                                               PostInput(InputClass::kResult, std::move(input));
                                             });
}

void Controller::MakeThreads() {
  auto now = [this] { return loop_->Now(); };
  auto post = [this](InputClass c, EngineInput input) { return PostInput(c, std::move(input)); };
  fleet::Liveness::Options liveness;
  if (config_.config.lost_after_us() != 0) liveness.lost_after = config_.config.lost_after_us();
  liveness.epoch_number = started_.epoch_number();
  liveness.epoch_start = started_.epoch_start();
  dispatch_ = std::make_unique<Dispatch>(registry_, *command_key_, started_, post,
                                         [this](const std::string& id) { return IsAllowed(id); });
  shards_ = std::make_unique<Shards>(kShards, rules_, liveness, now, post);
  shards_->SetCatalogue(catalogue_);
  ports_ = std::make_unique<HostPorts>(*shards_, registry_, post);
  hosts_ = std::make_unique<ingest::HostsFile>(config_.hosts_file, LabelsByHost(config_.host_labels), clock_);
  members_ = std::make_unique<Members>(*hosts_);
}

// Of a host whose stream is open: the dates of its certificate are asked there.
absl::Status Controller::IsAllowed(const std::string& host_id) {
  const Peer agent{.role = "agent", .id = host_id, .not_after = std::numeric_limits<Micros>::max()};
  return ingest::IsAllowed(agent, *members_, *trust_->Get(), clock_.Wall()).status();
}

void Controller::Take(const v1::Host& host) {
  members_->Take(host);
  shards_->Take(host);
  if (host.revoked()) registry_.End(host.id(), members_->Find(host.id()).status());
}

EngineInput Controller::StartedInput() const {
  EngineInput input;
  input.source = "app";
  *input.payload.mutable_controller_started() = started_;
  return input;
}

EngineInput Controller::ConfigInput() const {
  EngineInput input;
  input.source = "app";
  *input.payload.mutable_config_loaded()->mutable_config() = config_.config;
  input.payload.mutable_config_loaded()->set_redacted(config_.redacted);
  return input;
}

void Controller::StartEngine() {
  const engine::State& known = loop_->state_before_start();
  shards_->Restore(recovered_.rule_states, known.hosts, loop_->Now());
  if (store_->projections_stale()) {
    if (absl::Status built = store_->RebuildProjections(engine::AllRows(known)); !built.ok()) {
      Fatal(absl::StrCat("the lists could not be rebuilt: ", built.message()));
    }
  }
  for (const auto& [host, numbers] : known.numbers) {
    registry_.Restore(host, numbers.events(), numbers.reports());
  }
  for (const auto& [id, host] : known.hosts) members_->Take(host);
  registry_.SetLogHead(recovered_.head.seq, recovered_.head.chain);
  std::vector<EngineInput> first;
  first.push_back(StartedInput());
  first.push_back(ConfigInput());
  loop_->Start(std::move(first));
  shards_->Start();
  recovered_ = engine::Recovered();
}

// An agent that remembers a log which is longer than ours, or another one, says that ours was put back or
// replaced.
std::string Controller::History(uint64_t seq, const std::string& head) {
  if (seq == 0) return "";
  auto ours = reader_->ChainAt(seq);
  if (absl::IsNotFound(ours.status())) {
    return absl::StrCat("the agent remembers record ", seq, " of the log, and this log is shorter");
  }
  if (!ours.ok() || *ours == head) return "";
  return absl::StrCat("the agent remembers another log: record ", seq, " is not the one it was told");
}

void Controller::MakeEnrolment() {
  if (!agents_authority_) return;
  enrolment_ = std::make_unique<Enrolment>(Enrolment::Parts{
      .authority = *std::move(agents_authority_),
      .trust = *trust_,
      .signed_bundle = signed_bundle_,
      .post = [this](InputClass c, EngineInput input) { return PostInput(c, std::move(input)); },
      .answers = answers_,
      .reader = *reader_,
      .members = *members_,
      .clock = clock_,
      .life = config_.certificate_lifetime});
  agents_authority_.reset();
}

absl::Status Controller::StartAgentsListener() {
  if (absl::Status loaded = hosts_->Load(); !loaded.ok()) return loaded;
  ingest::IngestOptions options;
  options.version = std::string(kVersion);
  options.epoch_number = started_.epoch_number();
  options.epoch_start = started_.epoch_start();
  options.history = [this](uint64_t seq, const std::string& head) { return History(seq, head); };
  options.newer_trust = [this](uint64_t serial) {
    return trust_->Get()->serial() > serial ? signed_bundle_ : std::string();
  };
  ingest::Renew renew;
  if (enrolment_ != nullptr)
    renew = [this](const ingest::HostRecord& host, const std::string& key, auto done) {
      enrolment_->Renew(host, key, std::move(done));
    };
  ingest_ = std::make_unique<ingest::IngestServer>(
      options, ingest::IngestParts{.hosts = *members_,
                                   .shards = *ports_,
                                   .registry = registry_,
                                   .counters = counters_,
                                   .clock = clock_,
                                   .trust = trust_,
                                   .engine_now = [this] { return loop_->Now(); },
                                   .peer_seen = {},
                                   .renew = std::move(renew)});
  return ingest_->Start(config_.listen_agents, *identity_);
}

absl::Status Controller::StartListeners() {
  MakeEnrolment();
  QUELL_RETURN_IF_ERROR(StartAgentsListener());
  if (!config_.listen_enrol.empty()) {
    const http::EnrolOptions enrol{config_.listen_enrol, identity_->key_pem, identity_->certificate_pem};
    QUELL_ASSIGN_OR_RETURN(enrol_, http::EnrolServer::Start(enrol, *enrolment_, metrics_));
  }
  operators::ProgramInfo info;
  info.version = std::string(kVersion);
  info.controller_id = controller_id_;
  info.root_pin = root_pin_;
  info.store = store::SqliteSourceId();
  info.epoch = started_.epoch_number();
  info.started = started_at_;
  backend_ = std::make_unique<Backend>(Backend::Parts{.loop = *loop_,
                                                      .answers = answers_,
                                                      .reader = *reader_,
                                                      .shards = *shards_,
                                                      .trust = *trust_,
                                                      .log_path = config_.sqlite,
                                                      .config = config_.config,
                                                      .catalogue = catalogue_,
                                                      .info = info});
  QUELL_ASSIGN_OR_RETURN(operators_, operators::OperatorServer::Start(config_.socket, *backend_));
  if (!config_.listen_responders.empty()) {
    operators::ResponderServer::Parts parts{
        .backend = *backend_, .clock = clock_, .trust = trust_, .peer_seen = {}};
    QUELL_ASSIGN_OR_RETURN(responders_, operators::ResponderServer::Start(config_.listen_responders,
                                                                          *identity_, std::move(parts)));
    LogInfo("responders at port %d", responders_->port());
    if (!notify::TellsManagement(config_.config))
      LogWarning("use of %s is told to nobody: there is no receiver named %s", config_.socket,
                 notify::kManagement);
  }
  http::HttpOptions web;
  web.listen = config_.listen_web;
  changes_ = std::make_unique<http::ChangeReceiver>(
      http::ChangeReceiver::Parts{
          .submit = [this](v1::PersonAct act,
                           absl::Duration t) { return backend_->Submit(std::move(act), t); },
          .now = [this] { return loop_->Now(); },
          .clock = clock_,
          .metrics = metrics_},
      config_.sources);
  QUELL_ASSIGN_OR_RETURN(web_, http::HttpServer::Start(web, metrics_, *changes_, [this] {
                           return ready_ ? absl::OkStatus() : absl::UnavailableError("starting or stopping");
                         }));
  return absl::OkStatus();
}

void Controller::AddMetrics() {
  auto counter = [this](std::string_view name, std::string_view help, const std::atomic<uint64_t>& value) {
    metrics_.AddCounterCallback(name, help, [&value] { return static_cast<double>(value.load()); });
  };
  counter("quell_ingest_frames_total", "Frames taken from agents.", counters_.frames);
  counter("quell_ingest_bytes_total", "Bytes of those frames.", counters_.bytes);
  counter("quell_ingest_samples_total", "Samples taken.", counters_.samples);
  counter("quell_ingest_events_total", "Events taken.", counters_.events);
  counter("quell_ingest_reports_total", "Reports of commands taken.", counters_.reports);
  counter("quell_ingest_samples_shed_total", "Samples dropped because a shard was behind.",
          counters_.samples_shed);
  counter("quell_ingest_samples_misdated_total", "Samples dropped for their time.",
          counters_.samples_misdated);
  counter("quell_ingest_samples_over_budget_total", "Samples dropped over an agent's budget.",
          counters_.samples_over_budget);
  counter("quell_ingest_events_over_budget_total", "Events dropped over an agent's budget.",
          counters_.events_over_budget);
  counter("quell_ingest_layouts_over_budget_total", "Layouts dropped over an agent's budget.",
          counters_.layouts_over_budget);
  counter("quell_ingest_repeated_total", "Events and reports that had come before.", counters_.repeated);
  counter("quell_ingest_refused_total", "Streams refused after the handshake.", counters_.refused);
  counter("quell_ingest_ended_total", "Streams ended for what they said.", counters_.ended_bad);
  metrics_.AddCounterCallback("quell_handshakes_refused_total", "TLS handshakes that failed.",
                              [] { return static_cast<double>(security::FailedHandshakes().total); });
  metrics_.AddGaugeCallback("quell_agents_connected", "Streams that are open.",
                            [this] { return static_cast<double>(registry_.open()); });
  metrics_.AddCounterCallback("quell_shard_tasks_refused_total",
                              "Events and heartbeats that found a shard's queue full.",
                              [this] { return static_cast<double>(shards_->refused()); });
  metrics_.AddCounterCallback("quell_log_snapshots_failed_total", "Snapshots that could not be written.",
                              [this] { return static_cast<double>(loop_->snapshots_failed()); });
  metrics_.AddCounterCallback("quell_log_commits_total", "Commit groups written.",
                              [this] { return static_cast<double>(loop_->commits()); });
  metrics_.AddGaugeCallback("quell_engine_inputs_waiting", "Inputs that wait for the engine.",
                            [this] { return static_cast<double>(loop_->inputs().size()); });
  static constexpr std::pair<InputClass, std::string_view> kClasses[] = {{InputClass::kResult, "result"},
                                                                         {InputClass::kPerson, "person"},
                                                                         {InputClass::kLiveness, "liveness"},
                                                                         {InputClass::kSignal, "signal"}};
  for (const auto& [input_class, name] : kClasses) {
    metrics_.AddCounterCallback(
        "quell_engine_inputs_refused_total", "Inputs that found their queue full.",
        [this, c = input_class] { return static_cast<double>(loop_->inputs().refused(c)); },
        {{"class", std::string(name)}});
  }
  metrics_.AddCounterCallback("quell_notices_sent_total", "Notices that a receiver has taken.",
                              [this] { return static_cast<double>(outbox()->sent()); });
  metrics_.AddCounterCallback("quell_notices_failed_total", "Attempts to send a notice that failed.",
                              [this] { return static_cast<double>(outbox()->failed()); });
  metrics_.AddCounterCallback("quell_operators_refused_total", "Connections of users who may not administer.",
                              [this] { return static_cast<double>(operators_->refused()); });
  metrics_.AddCounterCallback(
      "quell_responders_refused_total", "Calls of people whose certificate or name has no role here.",
      [this] { return responders_ == nullptr ? 0.0 : static_cast<double>(responders_->refused()); });
  metrics_.AddCounterCallback("quell_operators_waits_total",
                              "Times that one had to wait because this process had no descriptor left.",
                              [this] { return static_cast<double>(operators_->waits()); });
  metrics_.AddCounterCallback("quell_log_lines_dropped_total",
                              "Lines of the program's own log that were dropped.",
                              [] { return static_cast<double>(LogLinesDropped()); });
  for (const ShardMetric& row : ShardMetrics()) {
    metrics_.AddGaugeCallback(row.name, row.help, [this, read = row.read] {
      double all = 0;
      for (const rules::ShardStats& stats : shards_->Stats()) all += read(stats);
      return all;
    });
  }
}

}  // namespace quell::app
