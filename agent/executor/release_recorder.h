// ReleaseRecorder: sees to it that the releases of this host's deployments are in the book, and tells workers
// of rollbacks what they may go to. Deployments are those that sanctions name for release.rollback. Every
// 5 s a worker, running as the owner, says where each one's `current` leads; a release that has been current
// for 20 s (or was when this process first saw the deployment) is hashed once and recorded. What can't be
// hashed is logged, and tried again after 10 min. Owned by the Executor, one thread; never waits.
//
// Bound: one worker at a time, two minutes each; 64 deployments.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/executor/host_view.h"
#include "agent/executor/release_book.h"
#include "agent/executor/worker_starter.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

inline constexpr Micros kReleasesEvery = 5 * kSecond;

class ReleaseRecorder {
 public:
  struct Options {
    std::string book_path;
    uid_t own_uid = 0;
    bool root = false;  // may look as other users
    Micros every = kReleasesEvery;
    Micros settled = 20 * kSecond;
  };
  // `busy`: a command runs on that deployment; its link is not looked at then.
  ReleaseRecorder(Options options, Clock& clock, Disk& disk, WorkerStarter& starter, HostView& host,
                  std::function<bool(const DeploymentKey&)> busy);

  void Open();  // a damaged book is logged, and refuses rollbacks alone
  void Tick();
  // True when the worker was one of these.
  bool OnWorkerExit(uint64_t worker, const ExitStatus& exit);
  // Looks again at the next Tick.
  void LookSoon() { due_ = 0; }

  // What a worker is told of the deployment that these sanctions (all of the same one) name.
  // FailedPrecondition: they contradict one another, or the book can't be used.
  absl::StatusOr<v1::ReleasePlace> PlaceOf(const std::vector<SanctionEntry>& entries, bool by_person) const;
  // What a check found, against the book: the target is recorded as told, and without a person no rollback
  // follows another.
  absl::Status Judge(const DeploymentKey& key, const v1::ReleaseChange& change, bool by_person) const;
  absl::Status NoteRollback(const DeploymentKey& key, const v1::ReleaseChange& change) {
    return book_.NoteRollback(key, change);
  }

 private:
  struct Seen {
    std::string current;
    Micros since = 0;       // monotonic
    Micros not_before = 0;  // after a hash that failed
    std::string problem;    // as logged last
  };
  void Begin();
  void StartNext();
  bool StartLook(const DeploymentKey& key, const std::string& hash);
  void Take(const v1::WorkerResult& result);
  void Complain(const std::string& problem);

  const Options options_;
  Clock& clock_;
  WorkerStarter& starter_;
  HostView& host_;
  const std::function<bool(const DeploymentKey&)> busy_;
  ReleaseBook book_;
  std::deque<DeploymentKey> queue_;
  std::map<std::string, Seen> seen_;             // by user/deployment; since a look succeeded
  std::map<std::string, std::string> problems_;  // likewise; as logged last
  uint64_t worker_ = 0;                          // 0: none runs
  DeploymentKey looking_;
  std::string hashing_;  // the release that this look hashes; empty: none
  Micros due_ = 0;       // monotonic
};

}  // namespace quell::agent
