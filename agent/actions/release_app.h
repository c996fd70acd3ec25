// A deployment's app under PM2, started anew from another release. PM2 keeps the paths that it resolved at an
// app's first start, so a plain restart would run the old release whatever `current` says; what it is told
// here is the explicit path of the release, by restartProcessId with new paths. The app's entry is never
// deleted: its id, environment, instances, logs and settings stay in the daemon, and a failure in between
// leaves an entry that can be started from the old paths again.
//
// One process at a time: the next one only when the one before it runs from the new release and has stayed up
// for a second. Owned by one Run, one thread.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/actions/release_place.h"
#include "agent/pm2/rpc.h"
#include "quell/v1/local.pb.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

inline constexpr Micros kStaysUp = kSecond;  // PM2's own min_uptime

class ReleaseApp {
 public:
  // Looks at the app: `to` is the release that it is to run from, `release` its open directory.
  // FailedPrecondition, with the reason, when it can't be started from there: it has no process in this
  // deployment, it was stopped by hand, its arguments name a release, `to` lacks its program.
  static absl::StatusOr<ReleaseApp> Look(const v1::WorkerRequest& request, const ReleaseDirectory& place,
                                         const std::string& to, int release, Clock& clock);

  std::vector<v1::Pm2Process> before() const;
  // Starts every process from the new release. Not OK: what went wrong, and with which; unknown() says
  // whether PM2 may have done it all the same.
  absl::Status Start(Micros deadline);
  // Starts those that Start() touched from where they ran before.
  absl::Status StartBack(Micros deadline);
  // Whether every process runs from the new release, by PM2's list and by /proc; the path of the first.
  absl::StatusOr<std::string> Running(Micros deadline);

  bool unknown() const { return unknown_; }
  std::vector<v1::Pm2Process> after() const { return after_; }
  Micros starting() const { return starting_; }  // spent in PM2's calls by Start()
  int environment_mentions() const { return environment_mentions_; }

 private:
  struct Mover {
    v1::Pm2App app;  // as it was
    pm2::StartPaths from, to;
    bool touched = false;
  };
  ReleaseApp(const v1::WorkerRequest& request, Clock& clock, std::string releases, std::string target)
      : request_(&request), clock_(&clock), releases_(std::move(releases)), target_(std::move(target)) {}
  absl::Status Add(const v1::Pm2App& app, const pm2::StartConfig& config, const ReleaseDirectory& place,
                   const std::string& to, int release);
  absl::Status Move(Mover& mover, const pm2::StartPaths& paths, Micros deadline);
  // Until another process than `old_pid` runs from `paths` and has stayed up; the app then.
  absl::StatusOr<v1::Pm2App> AwaitUp(const Mover& mover, int64_t old_pid, const pm2::StartPaths& paths,
                                     Micros deadline);
  absl::StatusOr<v1::Pm2App> Find(int64_t pm_id, Micros deadline);
  absl::Status RunsFrom(const v1::Pm2App& app, const pm2::StartPaths& paths) const;

  const v1::WorkerRequest* request_;
  Clock* clock_;
  std::string releases_;  // PATH/releases/
  std::string target_;    // PATH/releases/NAME
  std::unique_ptr<pm2::Pm2Client> client_;
  std::vector<Mover> movers_;
  std::vector<v1::Pm2Process> after_;
  Micros starting_ = 0;
  int environment_mentions_ = 0;
  bool unknown_ = false;
};

}  // namespace quell::agent
