// What a worker left behind, read as data from a process that the target's user could have steered: bounded
// in number and size before anything of it is kept. Pure.
#pragma once
#include "absl/status/statusor.h"
#include "common/base/process.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

// Its result; an error says how it ended without one.
absl::StatusOr<v1::WorkerResult> ReadWorkerResult(const ExitStatus& exit);

// Adds the result's evidence while it fits `limit` bytes in all; what doesn't is named and said to be
// missing.
void KeepEvidence(const v1::WorkerResult& result, uint64_t limit,
                  google::protobuf::RepeatedPtrField<v1::EvidenceItem>& out);

}  // namespace quell::agent
