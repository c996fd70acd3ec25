#include "agent/enrol/recovering_dialer.h"

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kFetchEvery = 20 * kSecond;

}  // namespace

// A controller that was recovered has other authorities: what shows is that nobody is trusted any more.
void RecoveringDialer::RefreshTrust() {
  const Micros now = clock_.Monotonic();
  if (fetched_ != 0 && now - fetched_ < kFetchEvery) return;
  fetched_ = now;
  for (const std::string& port : ports_) {
    const auto fetched = FetchTrust(port, identity_.pin(), clock_.Wall());
    if (!fetched.ok() || fetched->bundle.serial() <= identity_.trust_serial()) continue;
    identity_.TakeTrust(fetched->signed_bytes, clock_.Wall());
  }
}

absl::Status RecoveringDialer::RecoverCertificate(const absl::Status& unusable) {
  absl::Status last = absl::UnavailableError("no enrolment port is known");
  QUELL_ASSIGN_OR_RETURN(const security::TlsKey key, identity_.Key());
  for (const std::string& port : ports_) {
    const auto bundle = identity_.trust()->Get();
    const auto certified = Recover(port, identity_.host_id(), key, *bundle, clock_.Wall());
    last = certified.ok() ? identity_.Adopt(certified->certificate_pem, clock_.Wall()) : certified.status();
    if (last.ok()) return last;
  }
  return absl::Status(last.code(),
                      absl::StrCat("this host's certificate cannot be used (", unusable.message(),
                                   "), and recovering it failed: ", last.message()));
}

absl::StatusOr<std::unique_ptr<FrameStream>> RecoveringDialer::Dial(const std::string& address) {
  if (identity_.CountAttempt() > 1) RefreshTrust();
  const absl::Status usable = identity_.Usable(clock_.Wall());
  if (!usable.ok()) {
    // Tried with the old one then: it may be this host's clock that is wrong.
    const absl::Status recovered = RecoverCertificate(usable);
    if (!recovered.ok()) LogWarning("%s", recovered.message());
  }
  return inner_.Dial(address);
}

}  // namespace quell::agent
