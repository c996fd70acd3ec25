// Backend: the operator service's way to the engine, the store's readers and the shards. Owned by main;
// thread-safe as OperatorBackend asks.
#pragma once
#include <memory>
#include <string>

#include "common/security/grpc_credentials.h"
#include "controller/app/answers.h"
#include "controller/app/engine_loop.h"
#include "controller/app/shards.h"
#include "controller/operator/backend.h"
#include "controller/store/reader.h"

namespace quell::app {

class Backend final : public operators::OperatorBackend {
 public:
  struct Parts {
    EngineLoop& loop;
    Answers& answers;
    store::StoreReader& reader;
    Shards& shards;
    security::TrustHolder& trust;
    std::string log_path;
    v1::Config config;
    std::shared_ptr<const catalogue::Catalogue> catalogue;
    operators::ProgramInfo info;
  };
  explicit Backend(Parts parts)
      : parts_(std::move(parts)), config_(parts_.config), catalogue_(parts_.catalogue) {}
  void SetConfig(const v1::Config& config, std::shared_ptr<const catalogue::Catalogue> catalogue);

  absl::StatusOr<engine::Answer> Submit(v1::PersonAct act, absl::Duration timeout) override;
  absl::StatusOr<operators::RowPage> List(std::string_view kind, const operators::RowFilter& filter,
                                          size_t limit, std::string_view cursor) override;
  absl::StatusOr<engine::ProjectionRow> Find(std::string_view kind, std::string_view id) override;
  absl::StatusOr<engine::ProjectionRow> FindNumber(std::string_view kind, std::string_view parent,
                                                   uint64_t number) override;
  absl::StatusOr<std::vector<std::string>> IdsWithPrefix(std::string_view kind, std::string_view prefix,
                                                         size_t most) override;
  absl::StatusOr<std::vector<operators::EvidenceInfo>> Evidence(std::string_view owner) override;
  absl::StatusOr<std::string> EvidenceContent(std::string_view sha256) override;
  absl::StatusOr<std::vector<operators::QuerySeries>> Query(const std::string& expr, Micros range,
                                                            Micros step) override;
  v1::Config Config() override;
  std::shared_ptr<const catalogue::Catalogue> Catalogue() override;
  v1::TrustBundle Trust() override { return *parts_.trust.Get(); }
  operators::ProgramInfo Info() override;
  absl::StatusOr<operators::AuditReport> AuditVerify() override;
  Micros Now() override { return parts_.loop.Now(); }

 private:
  const Parts parts_;
  absl::Mutex mutex_;
  v1::Config config_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const catalogue::Catalogue> catalogue_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::app
