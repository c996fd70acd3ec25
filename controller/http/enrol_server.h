// EnrolServer: the listener for hosts that are not of the fleet yet, or whose certificate has expired (7401).
// HTTPS with the controller's own certificate, nothing asked of the client; not gRPC, and with threads of its
// own, so that what happens here never touches the agents' streams. Owned by main; runs threads until Stop()
// or its end.
//
//   GET  /v1/trust       the signed trust bundle, as bytes
//   GET  /v1/challenge   {"challenge": base64}
//   POST /v1/enrol       {"token": base64url, "public_key": base64, "host": "web-1"}; host may be absent
//   POST /v1/recover     {"id": uuid, "public_key": base64, "challenge": base64, "signature": base64}
//
// public_key is a SubjectPublicKeyInfo in DER. The last two answer {"id", "name", "certificate" (PEM)}, or
// {"error": one sentence} with 400, 403 or 503.
//
// Bounds: one request a connection, 16 KiB and 5 s each, the handshake included; eight answered at a time, 32
// waiting, four of one address; a further one is closed at once (quell_enrol_closed_total).
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/security/secret.h"
#include "controller/http/metrics.h"

namespace quell::http {

// Who decides; implemented by the app, and by tests. Called by the listener's threads; may block some
// seconds. PermissionDenied and InvalidArgument reach the host with their sentence.
class EnrolDesk {
 public:
  struct Issued {
    std::string id;    // the host's uuid
    std::string name;  // as the controller's record has it
    std::string certificate_pem;
  };
  virtual ~EnrolDesk() = default;
  virtual std::string TrustBundle() = 0;
  virtual std::string Challenge() = 0;
  // wish: the name that the host thinks it is to have; "": any.
  virtual absl::StatusOr<Issued> Enrol(const security::Secret& token, const std::string& public_key,
                                       const std::string& wish) = 0;
  virtual absl::StatusOr<Issued> Recover(const std::string& id, const std::string& public_key,
                                         const std::string& challenge, const std::string& signature) = 0;
};

struct EnrolOptions {
  std::string listen = "0.0.0.0:7401";  // port 0: any
  security::Secret key_pem;             // the controller's
  std::string certificate_pem;
};

class EnrolServer {
 public:
  // `desk` and `metrics` outlive the server.
  static absl::StatusOr<std::unique_ptr<EnrolServer>> Start(const EnrolOptions& options, EnrolDesk& desk,
                                                            Metrics& metrics);
  ~EnrolServer();
  EnrolServer(const EnrolServer&) = delete;
  EnrolServer& operator=(const EnrolServer&) = delete;

  int port() const;
  void Stop();  // idempotent

 private:
  struct Impl;
  explicit EnrolServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quell::http
