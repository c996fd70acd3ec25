// An executor for tests of the link: takes down what it was told, says what the test wants. Thread-safe.
#pragma once
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/link/executor_port.h"

namespace quell::agent {

class RecordingExecutor final : public ExecutorPort {
 public:
  bool Submit(std::string signed_command) override {
    absl::MutexLock lock(&mutex_);
    if (!status_) return false;
    submitted_.push_back(std::move(signed_command));
    return true;
  }
  void Cancel(std::string command_id) override {
    absl::MutexLock lock(&mutex_);
    cancelled_.push_back(std::move(command_id));
  }
  void AckReports(uint64_t journal_seq) override {
    absl::MutexLock lock(&mutex_);
    acked_ = journal_seq;
  }
  void SetTrustBundle(std::string signed_bundle) override {
    absl::MutexLock lock(&mutex_);
    bundle_ = std::move(signed_bundle);
  }
  std::optional<v1::ExecutorStatus> Status() override {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  void SetCallbacks(std::function<void()> on_status,
                    std::function<bool(v1::CommandReport)> on_report) override {
    absl::MutexLock lock(&mutex_);
    on_status_ = std::move(on_status);
    on_report_ = std::move(on_report);
  }

  void SetStatus(std::optional<v1::ExecutorStatus> status) {
    std::function<void()> call;
    {
      absl::MutexLock lock(&mutex_);
      status_ = std::move(status);
      call = on_status_;
    }
    if (call) call();
  }
  bool Report(v1::CommandReport report) {
    std::function<bool(v1::CommandReport)> call;
    {
      absl::MutexLock lock(&mutex_);
      call = on_report_;
    }
    return call(std::move(report));
  }
  std::vector<std::string> submitted() const {
    absl::MutexLock lock(&mutex_);
    return submitted_;
  }
  std::vector<std::string> cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  uint64_t acked() const {
    absl::MutexLock lock(&mutex_);
    return acked_;
  }
  std::string bundle() const {
    absl::MutexLock lock(&mutex_);
    return bundle_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::optional<v1::ExecutorStatus> status_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> submitted_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> cancelled_ ABSL_GUARDED_BY(mutex_);
  uint64_t acked_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string bundle_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_status_ ABSL_GUARDED_BY(mutex_);
  std::function<bool(v1::CommandReport)> on_report_ ABSL_GUARDED_BY(mutex_);
};

inline v1::ExecutorStatus GoodStatus(const std::string& nonce) {
  v1::ExecutorStatus status;
  status.set_nonce(nonce);
  status.set_epoch_number(3);
  status.set_epoch_start(std::string(16, 'e'));
  status.set_sanctions_sha256(std::string(32, 's'));
  status.add_actions("pm2.restart");
  status.set_actions_sha256(std::string(32, 'a'));
  return status;
}

inline v1::CommandReport MakeReport(uint64_t journal_seq, v1::Outcome outcome = v1::OUTCOME_SUCCEEDED) {
  v1::CommandReport report;
  report.set_seq(journal_seq);
  report.set_id(std::string(16, static_cast<char>('a' + journal_seq % 26)));
  report.set_outcome(outcome);
  return report;
}

inline SeriesList MakeSeries(int n, const std::string& app = "") {
  auto list = std::make_shared<std::vector<Series>>();
  for (int i = 0; i < n; ++i) {
    Labels labels{{"n", std::to_string(i)}};
    if (!app.empty()) labels.Set("app", app);
    list->push_back({"test_metric", labels});
  }
  return list;
}

}  // namespace quell::agent
