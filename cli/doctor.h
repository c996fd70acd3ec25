// `quell doctor`: what stands in the way of quell's doing its work, from the controller's own documents, each
// with the line that mends it. The diagnosis is pure. One thread.
#pragma once
#include "absl/time/time.h"
#include "cli/session.h"

namespace quell::cli {

// documents: {"status": …, "hosts": {"items": […]}, "rules": …, "policies": …, "receivers": …, "notices": …,
// "commands": …} as the controller gives them. The answer: {"well": bool, "findings": [{"well", "what",
// "why", "mend"}]}.
Json Diagnose(const Json& documents, absl::Time now);
std::string DiagnosisView(const Json& diagnosis, const ViewOptions& options);
// Asks, prints; 1 when anything is to be mended.
int RunDoctor(Session& session);

}  // namespace quell::cli
