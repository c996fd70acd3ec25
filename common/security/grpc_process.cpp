// Settings of a whole process for gRPC, and what its log says about handshakes.
#include <grpc/support/log.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "common/base/log.h"
#include "common/security/grpc_credentials.h"

namespace quell::security {
namespace {

constexpr size_t kMostReasons = 64;
constexpr std::string_view kFailed = "Handshake failed with fatal error";
// Of a peer that never finished its handshake.
constexpr std::string_view kTimedOut = "TlsServerSecurityConnector::cancel_check_peer error";
// Said once per connection to an address, where a verifier of ours checks the name.
constexpr std::string_view kNoise = "No match found for server name";

// Failures since the process began, and a brake on their log lines. Lives as long as the process: gRPC logs
// until the very end.
class FailureLog {
 public:
  void Add(std::string reason) ABSL_LOCKS_EXCLUDED(mutex_) {
    const auto now = std::chrono::steady_clock::now();
    bool say = false;
    uint64_t total = 0;
    {
      absl::MutexLock lock(&mutex_);
      const bool room = failures_.by_reason.size() < kMostReasons || failures_.by_reason.count(reason) != 0;
      ++failures_.by_reason[room ? reason : "other"];
      failures_.last = reason;
      total = ++failures_.total;
      say = now - said_ >= std::chrono::seconds(1);
      if (say) said_ = now;
    }
    if (say) LogWarning("a TLS handshake failed: %s (%d so far)", reason, total);
  }
  HandshakeFailures Get() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return failures_;
  }

 private:
  mutable absl::Mutex mutex_;
  HandshakeFailures failures_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point said_ ABSL_GUARDED_BY(mutex_);
};

FailureLog& Failures() {
  static auto* log = new FailureLog;
  return *log;
}

// "…: error:0A000086:SSL routines::certificate verify failed." -> "certificate verify failed"
std::string ReasonOf(std::string_view text) {
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.remove_suffix(1);
  const size_t colon = text.rfind(':');
  text = colon == std::string_view::npos ? text : text.substr(colon + 1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return std::string(text.substr(0, 120));
}

void OnGrpcLog(gpr_log_func_args* args) {
  const std::string_view text = args->message;
  if (text.substr(0, kNoise.size()) == kNoise) return;
  if (text.substr(0, kFailed.size()) == kFailed) return Failures().Add(ReasonOf(text));
  if (text.substr(0, kTimedOut.size()) == kTimedOut) return Failures().Add("handshake not finished");
  if (args->severity == GPR_LOG_SEVERITY_ERROR) LogWarning("gRPC: %s", args->message);
}

}  // namespace

void PrepareGrpcProcess() {
  static std::once_flag once;
  std::call_once(once, [] {
    // A suite that TLS 1.2 alone knows and that no peer shares: TLS 1.3 has its own list, so 1.2 ends here.
    setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1);
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    gpr_set_log_function(OnGrpcLog);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  });
}

HandshakeFailures FailedHandshakes() { return Failures().Get(); }

}  // namespace quell::security
