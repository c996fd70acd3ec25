#include "common/base/status.h"
#include "common/security/trust.h"
#include "controller/ingest/ports.h"

namespace quell::ingest {

absl::StatusOr<HostRecord> IsAllowed(const Peer& agent, HostDirectory& hosts, const v1::TrustBundle& trust,
                                     Micros wall_now) {
  QUELL_RETURN_IF_ERROR(security::IsAllowed(agent, "agent", trust, wall_now));
  absl::StatusOr<HostRecord> host = hosts.Find(agent.id);
  if (absl::IsNotFound(host.status())) return absl::PermissionDeniedError(host.status().message());
  return host;
}

}  // namespace quell::ingest
