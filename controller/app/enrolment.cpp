#include "controller/app/enrolment.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/join_token.h"

namespace quell::app {
namespace {

absl::Status Refused(std::string_view why) {
  return absl::PermissionDeniedError(absl::string_view(why.data(), why.size()));
}

}  // namespace

absl::StatusOr<Enrolment::Made> Enrolment::Issue(const std::string& id, const std::string& public_key) const {
  const Micros now = parts_.clock.Wall();
  const security::CertificateSpec spec =
      security::PeerSpec(parts_.trust.Get()->installation(), "agent", id, parts_.life, now);
  Made made;
  QUELL_ASSIGN_OR_RETURN(made.pem, security::IssueCertificate(spec, public_key, parts_.authority));
  QUELL_ASSIGN_OR_RETURN(made.der, security::PemToDer(made.pem));
  made.not_after = spec.not_after;
  return made;
}

// Found by the beginning of its hash; the whole is compared in constant time.
absl::StatusOr<v1::JoinToken> Enrolment::FindToken(const security::Secret& secret) {
  const std::string hash = Sha256(secret.Reveal());
  const auto row = parts_.reader.Find("token", security::TokenId(hash));
  if (!row.ok() && !absl::IsNotFound(row.status())) return row.status();
  v1::JoinToken token;
  if (!row.ok() || !token.ParseFromString(row->message) ||
      !(security::Secret(token.sha256()) == security::Secret(hash)))
    return Refused("there is no such token");
  return token;
}

// What the committed record says: the first certificate, however often it is asked for.
absl::StatusOr<Enrolment::Issued> Enrolment::Redeemed(const std::string& token_id) {
  QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, parts_.reader.Find("token", token_id));
  v1::JoinToken token;
  if (!token.ParseFromString(row.message)) return absl::DataLossError("a token's row cannot be parsed");
  Issued issued;
  issued.id = token.host_id();
  issued.name = token.host();
  QUELL_ASSIGN_OR_RETURN(issued.certificate_pem, security::DerToPem(token.certificate()));
  return issued;
}

absl::StatusOr<Enrolment::Issued> Enrolment::Enrol(const security::Secret& secret,
                                                   const std::string& public_key, const std::string& wish) {
  QUELL_RETURN_IF_ERROR(security::CheckPublicKey(public_key));
  QUELL_ASSIGN_OR_RETURN(const v1::JoinToken token, FindToken(secret));
  if (!wish.empty() && wish != token.host())
    return Refused(absl::StrCat("the token is for the host ", token.host(), ", not for ", wish));
  if (parts_.members.NamedInFile(token.host()))
    return Refused(absl::StrCat(token.host(), " has a certificate that `pki` made; revoke that first"));
  const std::string id = RandomUuid();
  QUELL_ASSIGN_OR_RETURN(const Made made, Issue(id, public_key));
  EngineInput input;
  input.source = absl::StrCat("agent:", id);
  v1::HostEnrolled& enrolled = *input.payload.mutable_host_enrolled();
  enrolled.set_token(token.id());
  enrolled.set_certificate(made.der);
  enrolled.set_key_sha256(Sha256(public_key));
  enrolled.mutable_host()->set_id(id);
  enrolled.mutable_host()->set_name(token.host());
  *enrolled.mutable_host()->mutable_labels() = token.labels();
  enrolled.mutable_host()->set_liveness(v1::UNSEEN);
  enrolled.mutable_host()->set_certificate_expires_us(made.not_after);
  const std::string request = engine::EnrolRequest(id);
  QUELL_RETURN_IF_ERROR(parts_.answers.RegisterAs(request));
  const bool posted = parts_.post(InputClass::kPerson, std::move(input));
  QUELL_ASSIGN_OR_RETURN(const engine::Answer answer,
                         parts_.answers.Wait(request, posted ? kPatience : absl::ZeroDuration()));
  if (answer.exit != 0) return Refused(answer.message);
  return Redeemed(answer.id);
}

bool Enrolment::MayCertify(const std::string& id) {
  constexpr Micros kEvery = 10 * kSecond;
  constexpr Micros kAtOnce = 5;
  const Micros now = parts_.clock.Monotonic();
  absl::MutexLock lock(&mutex_);
  Micros& until = certified_[id];
  const Micros next = std::max(until, now) + kEvery;
  if (next > now + kAtOnce * kEvery) return false;
  until = next;
  return true;
}

// Once it is on record, and if nobody has put the host out by then.
void Enrolment::CertifyAnew(const std::string& id, const std::string& public_key, bool recovered,
                            MadeDone done) {
  if (!MayCertify(id)) return done(absl::ResourceExhaustedError("the host asks for certificates too often"));
  absl::StatusOr<Made> made = Issue(id, public_key);
  if (!made.ok()) return done(made.status());
  EngineInput input;
  input.source = absl::StrCat("agent:", id);
  v1::CertificateRenewed& renewed = *input.payload.mutable_certificate_renewed();
  renewed.set_host_id(id);
  renewed.set_expires_us(made->not_after);
  renewed.set_recovered(recovered);
  input.committed = [this, id, made = *std::move(made), done] {
    const absl::Status allowed = parts_.members.Find(id).status();
    done(allowed.ok() ? absl::StatusOr<Made>(made) : allowed);
  };
  if (!parts_.post(InputClass::kPerson, std::move(input)))
    done(absl::UnavailableError("the controller has no room for this now; ask again"));
}

void Enrolment::Renew(const ingest::HostRecord& host, const std::string& public_key,
                      std::function<void(absl::StatusOr<ingest::RenewedCertificate>)> done) {
  const std::string enrolled = parts_.members.KeyOf(host.id);
  if (enrolled.empty())
    return done(
        Refused("this certificate was made by `pki` and is renewed there; a host that enrols renews "
                "by itself"));
  if (security::CheckPublicKey(public_key) != absl::OkStatus() ||
      !(security::Secret(enrolled) == security::Secret(Sha256(public_key))))
    return done(Refused("the key is not the one that the host enrolled with"));
  CertifyAnew(host.id, public_key, false, [done = std::move(done)](absl::StatusOr<Made> made) {
    if (!made.ok()) return done(made.status());
    done(ingest::RenewedCertificate{made->der, made->not_after});
  });
}

absl::StatusOr<Enrolment::Issued> Enrolment::Recover(const std::string& id, const std::string& public_key,
                                                     const std::string& challenge,
                                                     const std::string& signature) {
  QUELL_RETURN_IF_ERROR(security::CheckPublicKey(public_key));
  if (!challenges_.Check(challenge, parts_.clock.Monotonic()))
    return Refused("the challenge is none of this controller's, or too old");
  const std::string enrolled = parts_.members.KeyOf(id);
  const bool its_own =
      !enrolled.empty() && security::Secret(enrolled) == security::Secret(Sha256(public_key)) &&
      security::VerifyTlsSignature(public_key, security::kRecoverContext, id + challenge, signature);
  if (!its_own) return Refused(absl::StrCat("no host ", id, " enrolled with this key"));
  // Its certificate has expired: that is what it comes for. All else is asked as ever.
  const Peer agent{.role = "agent", .id = id, .not_after = std::numeric_limits<Micros>::max()};
  QUELL_ASSIGN_OR_RETURN(const ingest::HostRecord host,
                         ingest::IsAllowed(agent, parts_.members, *parts_.trust.Get(), parts_.clock.Wall()));
  struct Waiting {
    absl::Notification arrived;
    absl::StatusOr<Made> made;
  };
  auto waiting =
      std::make_shared<Waiting>();  // shared with the store thread, which may come later than we wait
  CertifyAnew(id, public_key, true, [waiting](absl::StatusOr<Made> made) {
    waiting->made = std::move(made);
    waiting->arrived.Notify();
  });
  if (!waiting->arrived.WaitForNotificationWithTimeout(kPatience))
    return absl::DeadlineExceededError("the controller has not answered in time; ask again");
  QUELL_RETURN_IF_ERROR(waiting->made.status());
  return Issued{id, host.name, waiting->made->pem};
}

}  // namespace quell::app
