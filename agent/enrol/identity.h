// AgentIdentity: the agent's key, certificate and trust as they stand now, over renewals and new bundles.
//
// What root installed (agent.yaml's tls:) stays as it is; what comes later is kept in the agent's own state
// directory, agent.crt and trust.bundle, written whole before it is used. At a start the newer of each
// counts: the certificate of this key that is good for longest, the bundle of the pinned root with the
// highest serial. Owned by main, outlives link and dialer. Thread-safe.
#pragma once
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/enrol/desk.h"
#include "agent/link/identity_port.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/security/grpc_credentials.h"

namespace quell::agent {

struct IdentityPlaces {
  std::string key;
  std::string certificate;
  std::string trust_bundle;
  std::string root_pin;
  std::string host_id;  // read only where no certificate tells
  std::string state;    // directory
};

// When a certificate is to be renewed: at half of its life and up to a tenth of it later. Its life begins
// when it was issued, which is later than its first date (issue.h). chance: 0 to 1.
Micros RenewAt(const security::CertificateDates& dates, double chance);

class AgentIdentity final : public IdentityPort {
 public:
  // A certificate that has expired, or that the newest bundle knows no authority of, is no error: it can be
  // recovered. One of another role or host is.
  static absl::StatusOr<std::unique_ptr<AgentIdentity>> Load(const IdentityPlaces& places, Disk& disk,
                                                             Clock& clock);

  const std::string& host_id() const { return host_id_; }
  const std::string& pin() const { return pin_; }
  security::TlsIdentity Tls() const;
  std::shared_ptr<security::TrustHolder> trust() const { return trust_; }
  // Whether a controller can accept the certificate now; else why not.
  absl::Status Usable(Micros wall) const;
  // A certificate that the enrolment port made. Refused unless it is this host's.
  absl::Status Adopt(const std::string& certificate_pem, Micros wall);
  // A bundle that was fetched: as TakeTrust, and says why it was not taken.
  absl::Status OfferTrust(const std::string& signed_bundle, Micros wall);
  absl::StatusOr<security::TlsKey> Key() const;
  // Attempts to connect since a controller took this agent, this one included.
  int CountAttempt();

  // IdentityPort.
  std::string KeyToRenew(Micros wall) override;
  void Renewed(const std::string& certificate_der, Micros wall) override;
  void RenewalRefused(const std::string& why) override;
  void TakeTrust(const std::string& signed_bundle, Micros wall) override;
  uint64_t trust_serial() override { return trust_->Get()->serial(); }
  std::string TrustNewerThan(uint64_t serial) override;
  void Welcomed() override;

 private:
  AgentIdentity(IdentityPlaces places, Disk& disk) : places_(std::move(places)), disk_(disk) {}
  absl::Status LoadTrust(Micros wall);
  absl::Status LoadCertificate(Micros wall);
  absl::StatusOr<security::CertificateDates> Look(const std::string& certificate_pem, Micros wall);
  void Schedule(const security::CertificateDates& dates) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const IdentityPlaces places_;
  Disk& disk_;
  std::string pin_;
  std::string host_id_;
  std::shared_ptr<security::TrustHolder> trust_;  // shared with gRPC's credentials
  mutable absl::Mutex mutex_;
  security::TlsIdentity tls_ ABSL_GUARDED_BY(mutex_);
  std::string signed_bundle_ ABSL_GUARDED_BY(mutex_);
  Micros renew_at_ ABSL_GUARDED_BY(mutex_) = 0;   // wall
  Micros ask_again_ ABSL_GUARDED_BY(mutex_) = 0;  // how long after an attempt
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quell::agent
