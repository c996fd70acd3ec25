// HostsFile: the hosts that were issued a certificate, read from the file that `quell-controller pki` writes.
// Read anew when an unknown id asks and the file has changed, at most once a second. Owned by main;
// thread-safe.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "controller/ingest/ports.h"

namespace quell::ingest {

class HostsFile final : public HostDirectory {
 public:
  // labels: by host name, from the controller's configuration.
  HostsFile(std::string path, std::map<std::string, Labels> labels, Clock& clock)
      : path_(std::move(path)), labels_(std::move(labels)), clock_(clock) {}
  // Reads the file; says what is wrong with it. Keeps what it had then.
  absl::Status Load();
  absl::StatusOr<HostRecord> Find(const std::string& id) override;
  // The id that stands beside this name; "" when it stands nowhere.
  std::string IdOf(const std::string& name);
  size_t size() const;

 private:
  absl::Status LoadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LoadAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const std::map<std::string, Labels> labels_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  std::map<std::string, HostRecord> hosts_ ABSL_GUARDED_BY(mutex_);
  Micros looked_ ABSL_GUARDED_BY(mutex_) = 0;  // monotonic
};

}  // namespace quell::ingest
