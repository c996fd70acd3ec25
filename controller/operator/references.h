// What people type for an incident or a command, resolved in one place: `#417`, `417`, `last`, an id or any
// unique prefix of one, "" for the only open one; `417.2`, `C-58`. NotFound says what there is instead.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "controller/operator/backend.h"

namespace quell::operators {

absl::StatusOr<v1::Incident> ResolveIncident(OperatorBackend& backend, std::string_view text);
absl::StatusOr<v1::CommandEntry> ResolveCommand(OperatorBackend& backend, std::string_view text);
// Plans are numbered together with commands, and named in the same way.
absl::StatusOr<v1::Plan> ResolvePlan(OperatorBackend& backend, std::string_view text);
// True for `417.2`, `#417.2`, `last.2`, `C-58` and 32 hex digits: what can only be a command.
bool LooksLikeCommand(std::string_view text);

absl::StatusOr<v1::Incident> ParseIncident(const engine::ProjectionRow& row);
absl::StatusOr<v1::CommandEntry> ParseCommand(const engine::ProjectionRow& row);
absl::StatusOr<v1::Plan> ParsePlan(const engine::ProjectionRow& row);

// Every host, revoked ones too, and some of them twice. The store's error when a page can't be had.
absl::Status EachHost(OperatorBackend& backend, const std::function<void(const v1::Host&)>& use);

}  // namespace quell::operators
