// ExecutorPort: how the link speaks with the executor beside it. Implemented over the local socket by
// agent/executor/client.h; owned by main, outlives the link. Thread-safe; no call waits.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "quell/v1/commands.pb.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

class ExecutorPort {
 public:
  virtual ~ExecutorPort() = default;
  // A SignedCommand's bytes, unopened. False: no executor is connected, or it takes no more now; nothing was
  // done.
  virtual bool Submit(std::string signed_command) = 0;
  virtual void Cancel(std::string command_id) = 0;
  // The executor may forget its reports up to this number of its journal.
  virtual void AckReports(uint64_t journal_seq) = 0;
  // SignedTrustBundle's bytes, unopened.
  virtual void SetTrustBundle(std::string signed_bundle) = 0;
  // The newest status; nullopt while no executor is connected.
  virtual std::optional<v1::ExecutorStatus> Status() = 0;

  // Both are set once, before the port is started, and called on the port's own thread.
  // on_status: the status changed, or the connection came or went.
  // on_report: a report came. False: it could not be kept; the port asks for it again later.
  virtual void SetCallbacks(std::function<void()> on_status,
                            std::function<bool(v1::CommandReport)> on_report) = 0;
};

}  // namespace quell::agent
