// IngestServer: the listener for agents (7400): TLS 1.3 with client certificates, one AgentLink stream per
// host. Owned by main. Start and Stop by one thread; frames are decoded on gRPC's threads and handed to the
// shards.
//
// A stream is refused or ended with a status that says why: PERMISSION_DENIED (certificate, revoked, unknown
// host, another host's id), INVALID_ARGUMENT (malformed, unknown layout, out of order), RESOURCE_EXHAUSTED
// (oversized; no room), ABORTED (replaced by a newer stream of the host). Nothing of that touches another
// stream.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/security/grpc_credentials.h"
#include "controller/ingest/session.h"

namespace quell::ingest {

struct RenewedCertificate {
  std::string der;
  Micros not_after = 0;  // wall time
};
// Certifies the key of an allowed agent anew; `done` is called once, later, by any thread.
using Renew = std::function<void(const HostRecord& host, const std::string& public_key,
                                 std::function<void(absl::StatusOr<RenewedCertificate>)> done)>;

struct IngestParts {  // all outlive the server
  HostDirectory& hosts;
  ShardRouter& shards;
  SessionRegistry& registry;
  IngestCounters& counters;
  Clock& clock;
  std::shared_ptr<security::TrustHolder> trust;  // shared with whoever replaces the bundle
  std::function<Micros()> engine_now;            // any thread
  security::PeerSeen peer_seen;                  // may be empty
  Renew renew;                                   // empty: this controller certifies nobody
};

class IngestServer {
 public:
  IngestServer(IngestOptions options, IngestParts parts);
  ~IngestServer();
  // address: "0.0.0.0:7400"; port 0 takes a free one.
  absl::Status Start(const std::string& address, const security::TlsIdentity& identity);
  int port() const;
  // Ends all streams with UNAVAILABLE and closes the listener. Idempotent.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quell::ingest
