#include "agent/enrol/identity.h"

#include <algorithm>
#include <random>

#include "absl/strings/ascii.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/security/issue.h"
#include "common/security/trust.h"
#include "common/wire/limits.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestCertificate = 64 << 10;
constexpr Micros kLongestPause = 10 * kMinute;  // between two attempts to renew

double Chance() {
  std::random_device source;
  return std::uniform_real_distribution<double>(0, 1)(source);
}

absl::StatusOr<std::string> ReadLine(Disk& disk, const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, disk.Read(path, 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

}  // namespace

Micros RenewAt(const security::CertificateDates& dates, double chance) {
  const Micros issued = std::min(dates.not_before + security::kClockLeeway, dates.not_after);
  const Micros life = dates.not_after - issued;
  return issued + life / 2 + static_cast<Micros>(static_cast<double>(life) / 10 * chance);
}

absl::StatusOr<std::unique_ptr<AgentIdentity>> AgentIdentity::Load(const IdentityPlaces& places, Disk& disk,
                                                                   Clock& clock) {
  std::unique_ptr<AgentIdentity> identity(new AgentIdentity(places, disk));
  const Micros wall = clock.Wall();
  QUELL_RETURN_IF_ERROR(identity->LoadTrust(wall));
  QUELL_RETURN_IF_ERROR(identity->LoadCertificate(wall));
  return identity;
}

absl::Status AgentIdentity::LoadTrust(Micros wall) {
  QUELL_ASSIGN_OR_RETURN(pin_, ReadLine(disk_, places_.root_pin));
  QUELL_ASSIGN_OR_RETURN(std::string installed, disk_.Read(places_.trust_bundle, wire::kMaxTrustBundleBytes));
  auto bundle = security::OpenTrustBundle(installed, pin_, wall);
  const auto kept = disk_.Read(places_.state + "/trust.bundle", wire::kMaxTrustBundleBytes);
  // One of another root is a former enrolment's.
  auto newer = kept.ok() ? security::OpenTrustBundle(*kept, pin_, wall) : kept.status();
  const bool use_kept = newer.ok() && (!bundle.ok() || newer->serial() > bundle->serial());
  if (!use_kept && !bundle.ok()) return Annotate(bundle.status(), places_.trust_bundle);
  absl::MutexLock lock(&mutex_);
  signed_bundle_ = use_kept ? *kept : std::move(installed);
  trust_ = std::make_shared<security::TrustHolder>(use_kept ? *std::move(newer) : *std::move(bundle));
  return absl::OkStatus();
}

// The dates of a certificate of this host's; an error when it is somebody else's. Sets host_id_ where the
// certificate tells it.
absl::StatusOr<security::CertificateDates> AgentIdentity::Look(const std::string& certificate_pem,
                                                               Micros wall) {
  QUELL_ASSIGN_OR_RETURN(const security::CertificateDates dates, security::DatesOf(certificate_pem));
  // Who it is made out for does not end with its time.
  const Micros then =
      std::clamp(wall, dates.not_before, std::max(dates.not_before, dates.not_after - kSecond));
  auto self = security::PeerFromCertificate(certificate_pem, *trust_->Get(), then);
  if (self.ok() && self->role != "agent")
    return absl::PermissionDeniedError("it is a certificate of another role");
  if (self.ok() && !host_id_.empty() && self->id != host_id_)
    return absl::PermissionDeniedError("it is the certificate of another host");
  if (self.ok()) {
    host_id_ = self->id;
  } else if (host_id_.empty()) {  // by an authority that is no more: what was installed with it tells
    auto id = ReadLine(disk_, places_.host_id);
    if (!id.ok() || !IsUuid(*id)) return self.status();
    host_id_ = *std::move(id);
  }
  return dates;
}

absl::Status AgentIdentity::LoadCertificate(Micros wall) {
  absl::MutexLock lock(&mutex_);
  QUELL_ASSIGN_OR_RETURN(tls_, security::LoadTlsIdentity(places_.key, places_.certificate));
  auto dates = Look(tls_.certificate_pem, wall);
  if (!dates.ok()) return Annotate(dates.status(), places_.certificate);
  const auto kept = disk_.Read(places_.state + "/agent.crt", kLargestCertificate);
  // One of another key is a former enrolment's.
  if (kept.ok() && security::CheckPair(tls_.key_pem.Reveal(), *kept).ok()) {
    const auto newer = Look(*kept, wall);
    if (newer.ok() && newer->not_after > dates->not_after) {
      tls_.certificate_pem = *kept;
      dates = newer;
    }
  }
  Schedule(*dates);
  return absl::OkStatus();
}

void AgentIdentity::Schedule(const security::CertificateDates& dates) {
  renew_at_ = RenewAt(dates, Chance());
  ask_again_ = std::clamp((dates.not_after - renew_at_) / 10, kSecond, kLongestPause);
}

security::TlsIdentity AgentIdentity::Tls() const {
  absl::MutexLock lock(&mutex_);
  return tls_;
}

absl::StatusOr<security::TlsKey> AgentIdentity::Key() const {
  return security::TlsKey::FromPem(Tls().key_pem.Reveal());
}

absl::Status AgentIdentity::Usable(Micros wall) const {
  const auto bundle = trust_->Get();
  QUELL_ASSIGN_OR_RETURN(const Peer self,
                         security::PeerFromCertificate(Tls().certificate_pem, *bundle, wall));
  return security::IsAllowed(self, "agent", *bundle, wall);
}

absl::Status AgentIdentity::Adopt(const std::string& certificate_pem, Micros wall) {
  QUELL_ASSIGN_OR_RETURN(const Peer self,
                         security::PeerFromCertificate(certificate_pem, *trust_->Get(), wall));
  if (self.role != "agent" || self.id != host_id_)
    return absl::PermissionDeniedError("the new certificate is made out for somebody else");
  QUELL_ASSIGN_OR_RETURN(const security::CertificateDates dates, security::DatesOf(certificate_pem));
  absl::MutexLock lock(&mutex_);
  QUELL_RETURN_IF_ERROR(security::CheckPair(tls_.key_pem.Reveal(), certificate_pem));
  QUELL_RETURN_IF_ERROR(disk_.WriteWhole(places_.state + "/agent.crt", certificate_pem));
  tls_.certificate_pem = certificate_pem;
  Schedule(dates);
  LogInfo("this host is certified until %s", FormatRfc3339(dates.not_after));
  return absl::OkStatus();
}

absl::Status AgentIdentity::OfferTrust(const std::string& signed_bundle, Micros wall) {
  QUELL_ASSIGN_OR_RETURN(v1::TrustBundle bundle, security::OpenTrustBundle(signed_bundle, pin_, wall));
  const uint64_t serial = bundle.serial();
  QUELL_RETURN_IF_ERROR(trust_->Replace(std::move(bundle)));
  absl::MutexLock lock(&mutex_);
  signed_bundle_ = signed_bundle;
  LogInfo("took the trust bundle %d", serial);
  return Annotate(disk_.WriteWhole(places_.state + "/trust.bundle", signed_bundle),
                  "keeping the trust bundle");
}

int AgentIdentity::CountAttempt() {
  absl::MutexLock lock(&mutex_);
  return ++attempts_;
}

void AgentIdentity::Welcomed() {
  absl::MutexLock lock(&mutex_);
  attempts_ = 0;
}

std::string AgentIdentity::KeyToRenew(Micros wall) {
  const auto key = Key();
  absl::MutexLock lock(&mutex_);
  if (!key.ok() || wall < renew_at_) return "";
  renew_at_ = wall + ask_again_;
  return key->PublicDer();
}

void AgentIdentity::Renewed(const std::string& certificate_der, Micros wall) {
  const auto pem = security::DerToPem(certificate_der);
  const absl::Status adopted = pem.ok() ? Adopt(*pem, wall) : pem.status();
  if (!adopted.ok())
    LogWarning("the certificate that the controller made is not taken: %s", adopted.message());
}

void AgentIdentity::RenewalRefused(const std::string& why) {
  LogWarning("the controller does not renew this host's certificate: %s", why);
}

void AgentIdentity::TakeTrust(const std::string& signed_bundle, Micros wall) {
  const absl::Status taken = OfferTrust(signed_bundle, wall);
  if (!taken.ok()) LogWarning("a trust bundle is not taken: %s", taken.message());
}

std::string AgentIdentity::TrustNewerThan(uint64_t serial) {
  if (trust_serial() <= serial) return "";
  absl::MutexLock lock(&mutex_);
  return signed_bundle_;
}

}  // namespace quell::agent
