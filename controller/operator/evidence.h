// What hosts took of a process before a command ended it, as people read it: items with their hashes, or why
// one is missing; the content of one while it is kept. Any thread; reads the store.
#pragma once
#include "absl/status/statusor.h"
#include "controller/operator/json.h"
#include "quell/v1/operator.pb.h"

namespace quell::operators {

// Items of one command, in the order in which the host reported them, the missing ones last: name, sha256
// (hex), bytes, expires_at, expired, missing. `bytes` and `expires_at` are null once the content has expired;
// sha256 and `expired` are null for a missing item.
absl::StatusOr<Json> EvidenceItems(OperatorBackend& backend, const v1::CommandEntry& command);

// Of all commands of an incident, or of one command; with `item` the content of that one: `content` is the
// text when `encoding` says utf-8, and base64 of the bytes when they are not UTF-8. NotFound says why there
// is none; InvalidArgument when several commands took an item of that name.
absl::StatusOr<Json> EvidenceDocument(OperatorBackend& backend, const v1::EvidenceRequest& request);

}  // namespace quell::operators
