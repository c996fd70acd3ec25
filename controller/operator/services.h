// Services as people read them: those of the catalogue, or, without one, each app and each database of its
// own; with the hosts that they are on now and the incidents that are open. Any thread.
#pragma once
#include "absl/status/statusor.h"
#include "controller/operator/backend.h"
#include "controller/operator/json.h"

namespace quell::operators {

// An array. Unavailable when the hosts' series can't be read now: a part would look like the whole.
absl::StatusOr<Json> Services(OperatorBackend& backend);

// {"catalogue": a draft of catalogue.yaml from what is seen}
absl::StatusOr<Json> DraftDocument(OperatorBackend& backend);

}  // namespace quell::operators
