#include "agent/executor/release_book.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr std::string_view kMagic = "quellrb1";
constexpr uint64_t kLargestBook = 4 << 20;
constexpr int kMostReleases = 20;
constexpr int kMostDeployments = 64;

std::string Little32(uint32_t v) {
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(v >> (8 * i) & 0xff));
  return out;
}

bool Matches(const v1::DeploymentReleases& entry, const DeploymentKey& key) {
  return entry.user() == key.user && entry.deployment() == key.deployment && entry.path() == key.path;
}

// The entry of `key`; one of the same name at another path makes place for it. nullptr: there are too many.
v1::DeploymentReleases* EntryOf(v1::ReleaseBookFile& file, const DeploymentKey& key) {
  for (v1::DeploymentReleases& entry : *file.mutable_deployments()) {
    if (entry.user() != key.user || entry.deployment() != key.deployment) continue;
    if (entry.path() != key.path) entry.Clear();
    entry.set_user(key.user);
    entry.set_deployment(key.deployment);
    entry.set_path(key.path);
    return &entry;
  }
  if (file.deployments_size() >= kMostDeployments) return nullptr;
  v1::DeploymentReleases* entry = file.add_deployments();
  entry->set_user(key.user);
  entry->set_deployment(key.deployment);
  entry->set_path(key.path);
  return entry;
}

absl::Status TooMany() {
  return absl::ResourceExhaustedError(absl::StrCat("the book of releases has ", kMostDeployments,
                                                   " deployments; no further one is recorded"));
}

int IndexOf(const v1::DeploymentReleases& entry, std::string_view name) {
  for (int i = 0; i < entry.releases_size(); ++i) {
    if (entry.releases(i).name() == name) return i;
  }
  return -1;
}

void MoveToEnd(v1::DeploymentReleases& entry, std::string_view name) {
  const int at = IndexOf(entry, name);
  if (at < 0) return;
  v1::Release release = entry.releases(at);
  entry.mutable_releases()->DeleteSubrange(at, 1);
  *entry.add_releases() = std::move(release);
}

// Adds `release` unless it is there with this hash.
void Record(v1::DeploymentReleases& entry, const v1::Release& release) {
  const int at = IndexOf(entry, release.name());
  if (at >= 0 && entry.releases(at).tree_sha256() == release.tree_sha256()) return;
  if (at >= 0) entry.mutable_releases()->DeleteSubrange(at, 1);
  if (entry.current() != release.name()) MoveToEnd(entry, entry.current());
  *entry.add_releases() = release;
  if (entry.releases_size() > kMostReleases) entry.mutable_releases()->DeleteSubrange(0, 1);
}

}  // namespace

absl::Status ReleaseBook::Open() {
  if (path_.empty()) return status_;
  const auto damaged = [&](absl::string_view why) {
    status_ = absl::DataLossError(absl::StrCat("the book of releases ", path_, " can't be used: ", why));
    return status_;
  };
  const auto content = disk_.Read(path_, kLargestBook);
  if (absl::IsNotFound(content.status())) return status_ = absl::OkStatus();
  if (!content.ok()) return damaged(content.status().message());
  const std::string_view bytes = *content;
  if (bytes.size() < kMagic.size() + 4 || bytes.substr(0, kMagic.size()) != kMagic)
    return damaged("it is none");
  const std::string_view body = bytes.substr(kMagic.size() + 4);
  if (bytes.substr(kMagic.size(), 4) != Little32(Crc32c(body))) return damaged("its checksum is wrong");
  if (!file_.ParseFromArray(body.data(), static_cast<int>(body.size()))) return damaged("it is malformed");
  return status_ = absl::OkStatus();
}

const v1::DeploymentReleases* ReleaseBook::Find(const DeploymentKey& key) const {
  for (const v1::DeploymentReleases& entry : file_.deployments()) {
    if (Matches(entry, key)) return &entry;
  }
  return nullptr;
}

const v1::Release* ReleaseBook::FindRelease(const v1::DeploymentReleases& deployment, std::string_view name) {
  const int at = IndexOf(deployment, name);
  return at < 0 ? nullptr : &deployment.releases(at);
}

absl::Status ReleaseBook::NoteCurrent(const DeploymentKey& key, const std::string& current,
                                      const v1::Release* release) {
  QUELL_RETURN_IF_ERROR(status_);
  v1::ReleaseBookFile next = file_;
  v1::DeploymentReleases* entry = EntryOf(next, key);
  if (entry == nullptr) return TooMany();
  if (release != nullptr) Record(*entry, *release);
  entry->set_current(current);
  if (entry->rolled_back_to() != current) {
    entry->clear_rolled_back_from();
    entry->clear_rolled_back_to();
  }
  return Replace(std::move(next));
}

absl::Status ReleaseBook::NoteRollback(const DeploymentKey& key, const v1::ReleaseChange& change) {
  QUELL_RETURN_IF_ERROR(status_);
  v1::ReleaseBookFile next = file_;
  v1::DeploymentReleases* entry = EntryOf(next, key);
  if (entry == nullptr) return TooMany();
  if (!change.from().tree_sha256().empty()) Record(*entry, change.from());
  entry->set_current(change.from().name());
  entry->set_rolled_back_from(change.from().name());
  entry->set_rolled_back_to(change.to().name());
  return Replace(std::move(next));
}

absl::Status ReleaseBook::Replace(v1::ReleaseBookFile file) {
  const std::string body = file.SerializeAsString();
  const std::string bytes =
      absl::StrCat(absl::string_view(kMagic.data(), kMagic.size()), Little32(Crc32c(body)), body);
  if (bytes.size() > kLargestBook) return absl::ResourceExhaustedError("the book of releases is full");
  QUELL_RETURN_IF_ERROR(Annotate(disk_.WriteWhole(path_, bytes), "writing the book of releases"));
  file_ = std::move(file);
  return absl::OkStatus();
}

}  // namespace quell::agent
