// What actions on a PM2 app have in common: its processes in the daemon's list, evidence of them. Functions;
// one thread.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/actions/evidence.h"
#include "agent/pm2/rpc.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

inline constexpr Micros kConnectWithin = 2 * kSecond;
inline constexpr Micros kWorkerMargin =
    100 * kMillisecond;  // to write the result before the parent's deadline

struct Pm2Session {
  std::unique_ptr<pm2::Pm2Client> client;
  std::vector<v1::Pm2App> listed;  // of the app's name, no modules
};
// The daemon of the request's pm2_home and user, and what it lists under `app`.
absl::StatusOr<Pm2Session> OpenPm2Session(const v1::WorkerRequest& request, const std::string& app,
                                          Micros within, Clock& clock);
// "the PM2 of deploy does not answer: …".
std::string NoPm2(const std::string& user, const absl::Status& status);

v1::Pm2Process ProcessOf(const v1::Pm2App& app);
// How long a restart of this app may take at most.
Micros RestartDeadlineOf(const v1::Pm2App& app);

struct Pm2Subject {
  std::string user, app;
  // Whom to look at when the daemon does not answer.
  std::vector<v1::Pm2Process> expected;
};
// Its description, the ends of its logs and what /proc says of its processes; at most 16 of them. `within`:
// what a daemon that hangs may cost.
void CollectPm2App(EvidenceCollector& collector, const v1::WorkerRequest& request, const Pm2Subject& subject,
                   Micros within, Clock& clock);

// A result that says why nothing was done.
v1::WorkerResult RefusedResult(std::string reason);
void Pause(Micros d);

}  // namespace quell::agent
