// ReleaseBook: which releases ran on this host, by path and tree hash: the only ones that a rollback goes to.
// A file of the executor's state directory, { "quellrb1", uint32 CRC32C little-endian, ReleaseBookFile },
// replaced as a whole (temporary file, fsync, rename). Owned by the ReleaseRecorder, one thread.
//
// A file that can't be read is not overwritten: status() says why, no rollback is done and nothing is
// recorded until a person has looked at it. Nothing else depends on it.
//
// Bounds: 20 releases of a deployment (the oldest is dropped), 64 deployments (a 65th is not recorded), 4
// MiB.
#pragma once
#include <string>

#include "absl/status/status.h"
#include "common/base/disk.h"
#include "quell/v1/releases.pb.h"

namespace quell::agent {

struct DeploymentKey {
  std::string user;
  std::string deployment;
  std::string path;  // what was recorded at another path is forgotten
  bool operator==(const DeploymentKey&) const = default;
};

class ReleaseBook {
 public:
  // `path` empty: there is no book (in the simulator), and no rollback.
  ReleaseBook(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  absl::Status Open();
  const absl::Status& status() const { return status_; }

  // nullptr: nothing was recorded.
  const v1::DeploymentReleases* Find(const DeploymentKey& key) const;
  static const v1::Release* FindRelease(const v1::DeploymentReleases& deployment, std::string_view name);

  // `current` is what leads the deployment now, `release` its record when it was hashed just now. Order is
  // that in which releases became current: a new one (or one with another hash than recorded) goes to the
  // end, right after the one that was current before it; one that is known keeps its place. Not OK: nothing
  // has changed.
  absl::Status NoteCurrent(const DeploymentKey& key, const std::string& current, const v1::Release* release);
  // A rollback is about to begin: where it came from (recorded too, when its hash is known) and goes to.
  absl::Status NoteRollback(const DeploymentKey& key, const v1::ReleaseChange& change);

 private:
  absl::Status Replace(v1::ReleaseBookFile file);

  Disk& disk_;
  const std::string path_;
  absl::Status status_ = absl::UnavailableError("this executor keeps no book of releases");
  v1::ReleaseBookFile file_;
};

}  // namespace quell::agent
