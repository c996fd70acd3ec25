#include "controller/app/members.h"

#include "absl/strings/str_cat.h"

namespace quell::app {

void Members::Take(const v1::Host& host) {
  if (host.enrolled_us() == 0 && !host.revoked() && !host.deleted()) return;
  Member member;
  member.record.id = host.id();
  member.record.name = host.name();
  member.record.labels = Labels(std::vector<Labels::Pair>(host.labels().begin(), host.labels().end()));
  member.key_sha256 = host.enrolled_us() == 0 ? "" : host.key_sha256();
  member.revoked = host.revoked();
  member.deleted = host.deleted();
  absl::MutexLock lock(&mutex_);
  members_[host.id()] = std::move(member);
}

absl::StatusOr<ingest::HostRecord> Members::Find(const std::string& id) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = members_.find(id);
    if (found != members_.end()) {
      const Member& member = found->second;
      if (member.deleted)
        return absl::PermissionDeniedError(
            absl::StrCat("the host ", id, " was deleted; it is to enrol anew"));
      if (member.revoked)
        return absl::PermissionDeniedError(
            absl::StrCat("the agent of ", member.record.name, " (", id, ") is revoked"));
      return member.record;
    }
  }
  return file_.Find(id);
}

std::string Members::KeyOf(const std::string& id) const {
  absl::MutexLock lock(&mutex_);
  auto found = members_.find(id);
  return found == members_.end() ? "" : found->second.key_sha256;
}

bool Members::NamedInFile(const std::string& name) {
  const std::string id = file_.IdOf(name);
  if (id.empty()) return false;
  absl::MutexLock lock(&mutex_);
  auto found = members_.find(id);
  return found == members_.end() || !found->second.revoked;
}

}  // namespace quell::app
