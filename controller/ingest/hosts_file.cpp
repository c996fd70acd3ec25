#include "controller/ingest/hosts_file.h"

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/security/pki.h"

namespace quell::ingest {

absl::Status HostsFile::LoadLocked() {
  looked_ = clock_.Monotonic();
  QUELL_ASSIGN_OR_RETURN(const std::vector<security::KnownHost> known, security::ReadHosts(path_));
  hosts_.clear();
  for (const security::KnownHost& host : known) {
    HostRecord& record = hosts_[host.id];
    record.id = host.id;
    record.name = host.name;
    auto labels = labels_.find(host.name);
    if (labels != labels_.end()) record.labels = labels->second;
  }
  return absl::OkStatus();
}

absl::Status HostsFile::Load() {
  absl::MutexLock lock(&mutex_);
  return LoadLocked();
}

void HostsFile::LoadAgain() {
  if (clock_.Monotonic() - looked_ < kSecond) return;
  absl::Status status = LoadLocked();
  if (!status.ok()) LogWarning("the list of hosts can't be read anew: %s", std::string(status.message()));
}

absl::StatusOr<HostRecord> HostsFile::Find(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  if (!hosts_.contains(id)) LoadAgain();
  auto found = hosts_.find(id);
  if (found == hosts_.end())
    return absl::NotFoundError(absl::StrCat("no host with the id ", id, " is known here"));
  return found->second;
}

std::string HostsFile::IdOf(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  LoadAgain();
  for (const auto& [id, host] : hosts_)
    if (host.name == name) return id;
  return "";
}

size_t HostsFile::size() const {
  absl::MutexLock lock(&mutex_);
  return hosts_.size();
}

}  // namespace quell::ingest
