// The log's hash chain and what is signed of it. Pure; any thread.
//
//   chain(0)        32 zero bytes
//   chain(n)        SHA256(chain(n-1) || stored header bytes of record n)
//   group body      epoch, first, last as 8 bytes big-endian each, then chain(last), under kLogContext
//   snapshot body   epoch, seq as 8 bytes big-endian each, chain(seq), SHA256(snapshot bytes),
//                   SHA256(digest), under kSnapshotContext
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quell::store {

inline constexpr std::string_view kSnapshotContext{"quell snapshot v1\0", 18};

// The raw public log key of an id, from the trust bundle; NotFound when it is not trusted.
using KeyLookup = std::function<absl::StatusOr<std::string>(std::string_view key_id)>;

std::string Genesis();
std::string NextChain(std::string_view previous, std::string_view header_bytes);

struct GroupRow {
  uint64_t epoch = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  std::string head;
  std::string key_id;
  std::string signature;
};
struct SnapshotRow {
  uint64_t epoch = 0;
  uint64_t seq = 0;
  std::string head;
  std::string digest;
  std::string bytes;
  std::string key_id;
  std::string signature;
};
std::string GroupBody(const GroupRow& group);
std::string SnapshotBody(const SnapshotRow& snapshot);
// DataLoss, naming the group or snapshot, when the signature does not hold.
absl::Status VerifyGroupSignature(const GroupRow& group, const KeyLookup& keys);
absl::Status VerifySnapshotSignature(const SnapshotRow& snapshot, const KeyLookup& keys);

}  // namespace quell::store
