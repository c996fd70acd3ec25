#include "controller/store/chain.h"

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/signing.h"

namespace quell::store {
namespace {

void AppendBigEndian(std::string& out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

absl::Status Verify(std::string_view context, std::string_view body, std::string_view key_id,
                    std::string_view signature, const KeyLookup& keys, const std::string& what) {
  const auto key = keys(key_id);
  if (!key.ok()) {
    return absl::DataLossError(
        absl::StrCat(what, " is signed by a key that is not trusted: ", key.status().message()));
  }
  if (!security::VerifySignature(*key, context, body, signature)) {
    return absl::DataLossError(absl::StrCat(what, " does not match its signature"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Genesis() { return std::string(32, '\0'); }

std::string NextChain(std::string_view previous, std::string_view header_bytes) {
  std::string both(previous);
  both.append(header_bytes);
  return Sha256(both);
}

std::string GroupBody(const GroupRow& group) {
  std::string body;
  AppendBigEndian(body, group.epoch);
  AppendBigEndian(body, group.first);
  AppendBigEndian(body, group.last);
  body += group.head;
  return body;
}

std::string SnapshotBody(const SnapshotRow& snapshot) {
  std::string body;
  AppendBigEndian(body, snapshot.epoch);
  AppendBigEndian(body, snapshot.seq);
  body += snapshot.head;
  body += Sha256(snapshot.bytes);
  body += Sha256(snapshot.digest);
  return body;
}

absl::Status VerifyGroupSignature(const GroupRow& group, const KeyLookup& keys) {
  return Verify(security::kLogContext, GroupBody(group), group.key_id, group.signature, keys,
                absl::StrCat("the commit group of records ", group.first, " to ", group.last));
}

absl::Status VerifySnapshotSignature(const SnapshotRow& snapshot, const KeyLookup& keys) {
  return Verify(kSnapshotContext, SnapshotBody(snapshot), snapshot.key_id, snapshot.signature, keys,
                absl::StrCat("the snapshot at record ", snapshot.seq));
}

}  // namespace quell::store
