// Enrolment: what the enrolment port and the agents' streams ask to be certified. Random and secret parts are
// made here; whether a token still lets somebody in is decided by the engine, in the one record that redeems,
// records and issues at once. Nothing is handed out before its record is committed.
//
// Owned by main. Thread-safe: the listener's threads call Enrol and Recover, which wait for the engine for up
// to kPatience; gRPC's threads call Renew, which does not wait.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/security/challenge.h"
#include "common/security/grpc_credentials.h"
#include "common/security/issue.h"
#include "controller/app/answers.h"
#include "controller/app/members.h"
#include "controller/app/rule_thread.h"
#include "controller/http/enrol_server.h"
#include "controller/ingest/server.h"
#include "controller/store/reader.h"

namespace quell::app {

class Enrolment final : public http::EnrolDesk {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(4);

  struct Parts {                    // references outlive it
    security::Authority authority;  // the agents'
    security::TrustHolder& trust;
    std::string signed_bundle;
    PostFunction post;
    Answers& answers;
    store::StoreReader& reader;
    Members& members;
    Clock& clock;
    Micros life = kDay;  // of a certificate
  };
  explicit Enrolment(Parts parts) : parts_(std::move(parts)) {}

  std::string TrustBundle() override { return parts_.signed_bundle; }
  std::string Challenge() override { return challenges_.Make(parts_.clock.Monotonic()); }
  absl::StatusOr<Issued> Enrol(const security::Secret& token, const std::string& public_key,
                               const std::string& wish) override;
  absl::StatusOr<Issued> Recover(const std::string& id, const std::string& public_key,
                                 const std::string& challenge, const std::string& signature) override;
  // As ingest::Renew says.
  void Renew(const ingest::HostRecord& host, const std::string& public_key,
             std::function<void(absl::StatusOr<ingest::RenewedCertificate>)> done);

 private:
  struct Made {
    std::string pem, der;
    Micros not_after = 0;
  };
  using MadeDone = std::function<void(absl::StatusOr<Made>)>;
  absl::StatusOr<Made> Issue(const std::string& id, const std::string& public_key) const;
  absl::StatusOr<v1::JoinToken> FindToken(const security::Secret& secret);
  absl::StatusOr<Issued> Redeemed(const std::string& token_id);
  void CertifyAnew(const std::string& id, const std::string& public_key, bool recovered, MadeDone done);

  // One certificate in 10 s for a host, five at once, by whatever way it asks: each is a record of the log.
  bool MayCertify(const std::string& id);

  const Parts parts_;
  absl::Mutex mutex_;
  std::map<std::string, Micros> certified_ ABSL_GUARDED_BY(mutex_);  // by host; at most as many as members
  const security::Challenges challenges_;
};

}  // namespace quell::app
