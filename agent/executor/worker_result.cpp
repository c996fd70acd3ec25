#include "agent/executor/worker_result.h"

#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr int kMostItems = 256;
constexpr int kMostProcesses = 1000;
constexpr int kMostSessions = 400;
constexpr size_t kLongestText = 1024;
constexpr size_t kLongestName = 64;

std::string HowItEnded(const ExitStatus& exit) {
  if (exit.timed_out) return "the worker passed its deadline and was killed";
  if (exit.output_exceeded) return "the worker wrote more than it may and was killed";
  if (exit.signal != 0) return absl::StrCat("the worker was ended by signal ", exit.signal);
  if (exit.code != 0) return absl::StrCat("the worker exited with code ", exit.code);
  return "";
}

// PostgreSQL's own names have 63 bytes at most.
void CutNames(v1::PostgresSession& session) {
  for (std::string* name : {session.mutable_database(), session.mutable_role(), session.mutable_application(),
                            session.mutable_state(), session.mutable_backend_type(), session.mutable_client(),
                            session.mutable_kind()})
    *name = std::string(CutUtf8(*name, kLongestName));
}

}  // namespace

absl::StatusOr<v1::WorkerResult> ReadWorkerResult(const ExitStatus& exit) {
  const std::string ended = HowItEnded(exit);
  if (!ended.empty()) return absl::AbortedError(ended);
  v1::WorkerResult result;
  if (exit.output.empty() || !result.ParseFromString(exit.output)) {
    return absl::DataLossError("the worker ended without a result");
  }
  const bool bounded = result.evidence_size() <= kMostItems && result.before_size() <= kMostProcesses &&
                       result.after_size() <= kMostProcesses && result.sessions_size() <= kMostSessions &&
                       result.releases_size() <= 1;
  if (!bounded) return absl::ResourceExhaustedError("the worker's result is longer than it may be");
  result.set_reason(std::string(CutUtf8(result.reason(), kLongestText)));
  for (v1::PostgresSession& session : *result.mutable_sessions()) CutNames(session);
  return result;
}

void KeepEvidence(const v1::WorkerResult& result, uint64_t limit,
                  google::protobuf::RepeatedPtrField<v1::EvidenceItem>& out) {
  uint64_t used = 0;
  for (const v1::EvidenceItem& item : result.evidence()) {
    v1::EvidenceItem& kept = *out.Add();
    kept.set_name(std::string(CutUtf8(item.name(), kLongestName)));
    kept.set_missing(std::string(CutUtf8(item.missing(), kLongestText)));
    used += 64 + kept.name().size() + kept.missing().size();
    if (used + item.content().size() > limit) {
      kept.set_missing("it did not fit the budget of bytes");
      continue;
    }
    used += item.content().size();
    kept.set_content(item.content());
    kept.set_truncated(item.truncated());
  }
}

}  // namespace quell::agent
