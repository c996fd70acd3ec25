// The tables beside the chain, as a commit writes them: list rows, rule states, blobs. Store thread only,
// inside its transaction.
#pragma once
#include <vector>

#include "absl/status/status.h"
#include "controller/engine/log_store.h"
#include "controller/store/sqlite.h"

namespace quell::store {

absl::Status WriteRows(Database& db, const std::vector<engine::ProjectionRow>& rows);
absl::Status WriteRuleStates(Database& db, const std::vector<v1::RuleState>& states);
// InvalidArgument when a blob's content does not have the hash it is filed under.
absl::Status WriteBlobs(Database& db, const std::vector<engine::Blob>& blobs);

}  // namespace quell::store
