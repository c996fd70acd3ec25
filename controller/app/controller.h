// Controller: all of a controller's parts, wired together. Owned by main. Start brings them up in an order in
// which each finds what it needs; Stop takes them down so that nothing that was taken in is lost.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/supervisor.h"
#include "common/security/grpc_credentials.h"
#include "common/security/signing.h"
#include "controller/app/answers.h"
#include "controller/app/backend.h"
#include "controller/app/config.h"
#include "controller/app/dispatch.h"
#include "controller/app/engine_loop.h"
#include "controller/app/enrolment.h"
#include "controller/app/host_ports.h"
#include "controller/app/load.h"
#include "controller/app/members.h"
#include "controller/app/shards.h"
#include "controller/http/enrol_server.h"
#include "controller/http/server.h"
#include "controller/ingest/hosts_file.h"
#include "controller/ingest/server.h"
#include "controller/operator/responders.h"
#include "controller/operator/service.h"
#include "controller/receivers/outbox.h"
#include "controller/store/sqlite_log_store.h"

namespace quell::app {

class Controller final : public Rim {
 public:
  Controller(Loaded loaded, Clock& clock, CommitHook hook = {});
  ~Controller() override;
  absl::Status Start();
  // Takes new rules, policies, services, deadlines, audiences and receivers; open incidents, rule states and
  // timers stay. Listeners, keys and the store stay as they were until a restart. Called by the thread that
  // called Start.
  void Reload(Loaded loaded);
  void Stop();  // idempotent
  int agents_port() const { return ingest_->port(); }
  int web_port() const { return web_->port(); }
  int responders_port() const { return responders_ == nullptr ? 0 : responders_->port(); }
  int enrol_port() const { return enrol_ == nullptr ? 0 : enrol_->port(); }

 private:
  // Rim: the store thread, after each commit.
  void Send(const v1::CommandEntry& command) override { dispatch_->Send(command); }
  void Cancel(const std::string& command, const std::string& host_id) override {
    dispatch_->Cancel(command, host_id);
  }
  void Send(const v1::Notice& notice) override { outbox()->Send(notice); }
  void Start(const v1::Watch& watch) override { shards_->SetWatch(watch); }
  void Stop(const std::string& watch) override { shards_->EndWatch(watch); }
  void Take(const v1::Host& host) override;
  void Reply(const engine::Answer& answer) override { answers_.Reply(answer); }
  void HeadMoved(const engine::LogHead& head) override { registry_.SetLogHead(head.seq, head.chain); }

  // Start's steps, in order.
  absl::Status LoadKeys();
  absl::Status OpenLog();
  std::shared_ptr<receivers::Outbox> MakeOutbox();
  std::shared_ptr<receivers::Outbox> outbox();
  void MakeThreads();
  void StartEngine();
  absl::Status LoadAuthority();
  void MakeEnrolment();
  absl::Status IsAllowed(const std::string& host_id);
  absl::Status StartListeners();
  absl::Status StartAgentsListener();
  void AddMetrics();

  bool PostInput(InputClass input_class, EngineInput input) {
    return loop_->Post(input_class, std::move(input));
  }
  absl::StatusOr<std::string> LogKeyOf(std::string_view key_id) const;
  EngineInput StartedInput() const;
  EngineInput ConfigInput() const;
  std::string History(uint64_t seq, const std::string& head);

  ControllerConfig config_;
  std::shared_ptr<const rules::RuleSet> rules_;  // shared by the shards
  std::shared_ptr<const catalogue::Catalogue>
      catalogue_;  // shared with the shards and the operators' backend
  Clock& clock_;
  const CommitHook hook_;
  Watchdog watchdog_{clock_, EngineLoop::kThreads};
  std::optional<security::SigningKey> command_key_;
  std::optional<security::SigningKey> log_key_;
  std::optional<security::TlsIdentity> identity_;
  std::shared_ptr<security::TrustHolder> trust_;  // shared with the listener's handshakes
  std::string signed_bundle_;
  std::string root_pin_;
  std::optional<security::Authority> agents_authority_;  // goes to enrolment_
  std::string controller_id_;
  v1::ControllerStarted started_;
  Micros started_at_ = 0;

  http::Metrics metrics_;
  Answers answers_;
  ingest::SessionRegistry registry_;
  ingest::IngestCounters counters_;
  std::unique_ptr<store::SqliteLogStore> store_;
  std::unique_ptr<store::StoreReader> reader_;
  engine::Recovered recovered_;
  absl::Mutex outbox_mutex_;
  // Shared: the store thread may be handing a notice to the one that is being replaced.
  std::shared_ptr<receivers::Outbox> outbox_ ABSL_GUARDED_BY(outbox_mutex_);
  std::unique_ptr<EngineLoop> loop_;
  std::unique_ptr<Dispatch> dispatch_;
  std::unique_ptr<Shards> shards_;
  std::unique_ptr<HostPorts> ports_;
  std::unique_ptr<ingest::HostsFile> hosts_;
  std::unique_ptr<Members> members_;
  std::unique_ptr<Enrolment> enrolment_;  // null: this controller certifies nobody
  std::unique_ptr<http::EnrolServer> enrol_;
  std::unique_ptr<ingest::IngestServer> ingest_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<operators::OperatorServer> operators_;
  std::unique_ptr<operators::ResponderServer> responders_;  // null: people come by the socket alone
  std::unique_ptr<http::ChangeReceiver> changes_;
  std::unique_ptr<http::HttpServer> web_;
  std::atomic<bool> ready_{false};
  bool stopped_ = false;
};

}  // namespace quell::app
