// One HTTPS exchange with a controller's enrolment port. Blocks for up to the request's time; any thread.
// TLS 1.3 alone; nothing of the environment (proxy, .netrc, certificate stores) has a part in it.
#pragma once
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace quell::agent {

struct HttpsRequest {
  std::string address;  // "host:7401"
  std::string path;
  std::string json;  // posted; empty: GET
  Micros at_most = 10 * kSecond;
};
struct HttpsAnswer {
  long status = 0;
  std::string body;  // at most 512 KiB
};

// Asked in the handshake about the certificate (PEM) that the server has shown and proved to hold; nothing is
// sent before it says OK. Its refusal is the exchange's. Empty: anybody may answer.
using CheckServer = std::function<absl::Status(const std::string& leaf_pem)>;

// Unavailable: nobody answered; the check's own status where it refused.
absl::StatusOr<HttpsAnswer> Exchange(const HttpsRequest& request, const CheckServer& check);

}  // namespace quell::agent
