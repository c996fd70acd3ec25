// Plans among what people read: with the commands that they have begun. Stateless; any thread.
#pragma once
#include "absl/status/statusor.h"
#include "controller/operator/backend.h"
#include "controller/operator/json.h"

namespace quell::operators {

// A plan with its commands, in the order of its hosts.
absl::StatusOr<Json> FullPlan(OperatorBackend& backend, const v1::Plan& plan);
// Of an incident, oldest first; without their commands, which stand among the incident's.
absl::StatusOr<Json> PlansOf(OperatorBackend& backend, const v1::Incident& incident);
// Those that wait or run, newest first: what a list of commands begins with.
absl::StatusOr<Json> OpenPlans(OperatorBackend& backend);

}  // namespace quell::operators
