// ChangeReceiver: what CI tells of deployments by POST /api/changes, from the credential to the engine's
// answer. Owned by main; any of the web port's threads may call, and SetSources another.
//
//   {"change": "start", "summary": "1.8.2", "service": "portal", "for": "15m"}
//   {"change": "finish", "service": "portal", "failed": false}      or "id": "CH-12" for the service
//
// Bounds: 64 KiB and four levels of JSON; 64 sources; `per_minute` requests of each, refused ones included.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/config/secret.h"
#include "controller/engine/engine.h"
#include "controller/http/metrics.h"
#include "controller/http/web_answer.h"
#include "quell/v1/log.pb.h"

namespace quell::http {

// One of controller.yaml's `sources`.
struct ChangeSource {
  std::string name;
  config::Secret token;
  bool changes = false;               // may tell of changes
  std::vector<std::string> services;  // of these alone; empty: of any
  uint32_t per_minute = 30;
};

class ChangeReceiver {
 public:
  static constexpr size_t kMostBytes = 64 << 10;
  static constexpr int kMostLevels = 4;
  static constexpr size_t kMostSources = 64;

  struct Parts {
    // Hands the act to the engine and waits for its answer, for at most this long.
    std::function<absl::StatusOr<engine::Answer>(v1::PersonAct act, absl::Duration timeout)> submit;
    std::function<Micros()> now;  // engine time
    Clock& clock;                 // what rates are measured by
    Metrics& metrics;
  };
  ChangeReceiver(Parts parts, std::vector<ChangeSource> sources);
  void SetSources(std::vector<ChangeSource> sources);

  // Before a body is read: nullopt when the header Authorization is a source's that may tell of changes and
  // has not told too much. All tokens are compared, each in the same time whatever it is.
  std::optional<WebAnswer> Admit(std::string_view authorization);
  // After that: checks the body and does what it asks for.
  WebAnswer Take(std::string_view authorization, std::string_view body);

 private:
  struct Known {
    ChangeSource source;
    std::string digest;  // SHA-256 of "Bearer TOKEN"
    Micros since = 0;    // of the minute that is counted
    uint32_t taken = 0;
  };
  Known* Find(std::string_view authorization) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  WebAnswer Submit(v1::PersonAct act);

  const Parts parts_;
  Counter& refused_;
  absl::Mutex mutex_;
  std::vector<Known> sources_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::http
