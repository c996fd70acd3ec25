// Members: which hosts may speak, and as whom: those of the hosts file (`pki`), and beside and before it what
// the log's records say: who enrolled, with which labels, who was revoked or deleted. Owned by main. Told
// after each commit by the store thread (Take); read by gRPC's threads and the enrolment port's. Thread-safe.
//
// Memory: one entry per host that ever enrolled or was put out (fleet::kMostHosts in force, and tombstones).
#pragma once
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/ingest/hosts_file.h"
#include "controller/ingest/ports.h"

namespace quell::app {

class Members final : public ingest::HostDirectory {
 public:
  explicit Members(ingest::HostsFile& file) : file_(file) {}
  // The host as its record stands now. What neither enrolled nor was put out is the file's business.
  void Take(const v1::Host& host);
  absl::StatusOr<ingest::HostRecord> Find(const std::string& id) override;
  // SHA-256 of the key it enrolled with; "" for others.
  std::string KeyOf(const std::string& id) const;
  // Whether the file gives this name to a host that is not put out.
  bool NamedInFile(const std::string& name);

 private:
  struct Member {
    ingest::HostRecord record;
    std::string key_sha256;
    bool revoked = false;
    bool deleted = false;
  };
  ingest::HostsFile& file_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Member> members_ ABSL_GUARDED_BY(mutex_);  // by id
};

}  // namespace quell::app
